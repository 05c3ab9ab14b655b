"""Permission rules as a person writes them: `shell(git log)`, `write(docs/**)`, `run_tests`.

tool            every call of the tool; `tool` may also be an effect: read, write, execute, network
shell(words)    one simple command that begins with these words (`shell(git log:*)` is the same)
shell(=words)   exactly this command
shell(..) in F  the command in the folder F of the workspace (`in F/**`: or below it); without it an allowance holds in
                the workspace's top folder and in the one that the session was started in, a denial everywhere
tool(glob)      calls whose paths all fit: `*` stops at `/`, `**` does not; without a `/` it fits at any depth;
                a folder that fits takes what is in it along; `/x` and `~/x` are paths of the machine

What is not understood is refused: a denial that holds nothing would be worse than none.
"""

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kimi_agent.errors import UserError
from kimi_agent.tool import Tool

PULL_REQUEST_TOOL = "pull_request"
"""What --pr does: no tool of the model's, but rules speak for it."""

_FORM = re.compile(r"([A-Za-z_][\w.-]*)(?:\((.+)\))?(?:\s+in\s+(\S(?:.*\S)?))?", re.DOTALL)
_EFFECTS = ("read", "write", "execute", "network")
_PATH_EFFECTS = ("read", "write")
# How other agents call what is meant.
_FOREIGN_TOOLS = {
    **dict.fromkeys(("bash", "command", "terminal", "run", "exec", "run_command", "execute_command"), "shell"),
    **dict.fromkeys(("edit", "multiedit", "notebookedit", "patch", "create", "update", "replace"), "write"),
    **dict.fromkeys(("view", "cat", "open"), "read"),
    **dict.fromkeys(("grep", "search", "glob", "find", "ls", "list"), "read"),
    **dict.fromkeys(("webfetch", "websearch", "fetch", "web"), "network"),
    **dict.fromkeys(("test", "tests"), "run_tests"),
}


@dataclass(frozen=True)
class Rule:
    """One rule; `text` as written. `words` for the shell, `glob` for paths, neither for a whole tool.

    `folder` is the one of the workspace in which an allowed command may run ("." is its top, "a/**" takes those below
    along), None where the rule names none.
    """

    text: str
    tool: str
    words: tuple[str, ...] = ()
    exact: bool = False
    glob: str = ""
    folder: str | None = None

    @property
    def covers_tool(self) -> bool:
        """Whether it covers every call of its tool."""
        return not self.words and not self.glob

    def matches_path(self, path: str, *, any_case: bool) -> bool:
        """Whether `path` ("/" between its parts) is one that the glob names; a denial holds in any case."""
        return re.fullmatch(_glob_regex(self.glob), path, re.DOTALL | (re.IGNORECASE if any_case else 0)) is not None

    def holds_in(self, folder: str) -> bool:
        """Whether it names `folder`, a path of the workspace ("." is its top)."""
        if self.folder is None:
            return False
        wanted = os.path.normpath(self.folder.removesuffix("/**"))
        below = self.folder.endswith("/**") and (wanted == "." or folder.startswith(wanted + "/"))
        return folder == wanted or below

    @property
    def literal_folder(self) -> str:
        """The beginning of the glob up to its first pattern: whole components ("" for none)."""
        parts = self.glob.removesuffix("/**").split("/")
        count = next((at for at, part in enumerate(parts) if re.search(r"[*?]", part)), len(parts))
        return "/".join(parts[:count])


@dataclass(frozen=True)
class Rules:
    """What the person allowed and denied beforehand."""

    allow: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()

    @classmethod
    def parse(cls, allow: Iterable[str] = (), deny: Iterable[str] = (), *, home: str = "") -> "Rules":
        """Raises UserError for a rule that cannot be read."""
        allowed, denied = (tuple(parse_rule(text, home=home) for text in texts) for texts in (allow, deny))
        return cls(allowed, denied)


def parse_rule(text: str, *, home: str = "") -> Rule:
    """Read one rule. Raises UserError."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        examples = "shell(git log), write(docs/**) or run_tests"
        raise UserError(f"The rule {text[:200]!r} cannot be read; write it like {examples}.")
    tool, inner, folder = match[1], (match[2] or "").strip(), match[3]
    if folder is not None and (tool != "shell" or not inner):
        raise UserError(f"The rule {text[:200]!r} cannot be read; only shell(...) takes a folder after it.")
    if folder is not None and (
        folder.startswith(("/", "~")) or ".." in folder.split("/") or "*" in folder.removesuffix("/**")
    ):
        raise UserError(f"The rule {text[:200]!r} must name a folder of the workspace, like tools or tools/**.")
    if not inner:
        return Rule(text.strip(), tool)
    if tool != "shell":
        return Rule(text.strip(), tool, glob=_read_glob(text, inner, home))
    from kimi_agent.guard.shell.simple_command import ComplexCommand, parse_simple_command  # a start without rules

    command = parse_simple_command(re.sub(r":\*$| \*$", "", inner.removeprefix("=")))
    if isinstance(command, ComplexCommand):
        raise UserError(f"The rule {text[:200]!r} must hold plain words of one command; it holds {command.why}.")
    if command.words[0].startswith("-"):
        raise UserError(f"The rule {text[:200]!r} must begin with the name of a command.")
    return Rule(text.strip(), tool, words=command.words, exact=inner.startswith("="), folder=folder)


def _read_glob(text: str, inner: str, home: str) -> str:
    """The glob of a path rule. Raises UserError for a form that would hold nothing."""
    if home and (inner == "~" or inner.startswith("~/")):
        inner = home + inner[1:]
    if inner.startswith(("~", "//")) or ".." in inner.split("/"):
        mend = "write a path of the workspace (src/**), or one of the machine with one / or ~/ in front"
        raise UserError(f"The rule {text[:200]!r} cannot be read; {mend}.")
    if found := re.search(r"[\[\]{}]|^!", inner):
        mend = "write ? for one character" if found[0] in "[]" else "write a rule for each"
        raise UserError(f"The rule {text[:200]!r} holds {found[0]}, which rules do not know; {mend}.")
    return inner


def check_rule(rule: Rule, tools: Mapping[str, Tool]) -> None:
    """Refuse a rule that could hold nothing: an unknown tool, or paths for one that names none. Raises UserError."""
    inner = f"({rule.glob or ' '.join(rule.words)})" if not rule.covers_tool else ""
    if rule.tool not in tools and rule.tool not in (*_EFFECTS, PULL_REQUEST_TOOL):
        meant = _meant_tool(rule.tool, tools)
        hint = f"did you mean {meant}{inner}?" if meant else f"there are {', '.join(sorted(tools))}."
        raise UserError(f"The rule {rule.text[:200]!r} names no tool; {hint}")
    if not rule.glob:
        return
    if rule.tool == PULL_REQUEST_TOOL or (rule.tool in tools and not tools[rule.tool].names_paths):
        raise UserError(f"The rule {rule.text[:200]!r} names paths, but {rule.tool} takes none; write {rule.tool}.")
    if rule.tool in _EFFECTS and rule.tool not in _PATH_EFFECTS:
        raise UserError(f"The rule {rule.text[:200]!r} names paths; for a command did you mean shell{inner}?")


def _meant_tool(name: str, tools: Mapping[str, Tool]) -> str:
    """The tool or effect that somebody meant by `name`, "" where nothing is like it."""
    known = [*tools, *_EFFECTS]
    folded = name.casefold().replace("-", "_")
    if folded in known:
        return folded
    meant = _FOREIGN_TOOLS.get(folded, "")
    return meant or next(iter(difflib.get_close_matches(folded, known, 1)), "")


def _glob_regex(pattern: str) -> str:
    """A glob as a regular expression over a path; what fits takes along what is in it, so `x/**` means `x` too."""
    bare = pattern.removesuffix("/").removesuffix("/**") or "**"
    made = "" if "/" in pattern.removesuffix("/") else "(?:.*/)?"
    for part in re.split(r"(\*\*/|\*\*|\*|\?)", bare.removeprefix("./")):
        made += {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part))
    return f"{made}(?:/.*)?"
