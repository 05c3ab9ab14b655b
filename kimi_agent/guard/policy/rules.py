"""Permission rules as a person writes them: `shell(git log)`, `write(docs/**)`, `run_tests`.

tool            every call of the tool; `tool` may also be an effect: read, write, execute, network
shell(words)    one simple command that begins with these words (`shell(git log:*)` is the same)
shell(=words)   exactly this command
tool(glob)      calls whose paths all fit: `*` stops at `/`, `**` does not; without a `/` it fits at any depth;
                a folder that fits takes what is in it along
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from kimi_agent.errors import UserError
from kimi_agent.guard.shell.command_options import find_uncovered_words
from kimi_agent.guard.shell.denied_words import Denial, match_denied_words
from kimi_agent.guard.shell.simple_command import ComplexCommand, parse_simple_command

_FORM = re.compile(r"([A-Za-z_][\w.-]*)(?:\((.+)\))?", re.DOTALL)


@dataclass(frozen=True)
class Rule:
    """One rule; `text` as written. `words` for the shell, `glob` for paths, neither for a whole tool."""

    text: str
    tool: str
    words: tuple[str, ...] = ()
    exact: bool = False
    glob: str = ""

    @property
    def covers_tool(self) -> bool:
        """Whether it covers every call of its tool."""
        return not self.words and not self.glob

    def allows_command(self, words: tuple[str, ...]) -> bool:
        """Whether this allowance is for the simple command `words`: a wrapper's does not cover what it wraps."""
        if self.exact:
            return words == self.words
        return words[: len(self.words)] == self.words and set(find_uncovered_words(words)) <= set(self.words)

    def denies_command(self, command: str) -> Denial:
        """Whether this denial is for `command`, however it is spelled or wrapped; "ask" where it cannot be told."""
        return match_denied_words(self.words, command)

    def matches_path(self, path: str, *, any_case: bool) -> bool:
        """Whether `path` ("/" between its parts) is one that the glob names; a denial holds in any case."""
        return re.fullmatch(_glob_regex(self.glob), path, re.DOTALL | (re.IGNORECASE if any_case else 0)) is not None


@dataclass(frozen=True)
class Rules:
    """What the person allowed and denied beforehand."""

    allow: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()

    @classmethod
    def parse(cls, allow: Iterable[str] = (), deny: Iterable[str] = ()) -> "Rules":
        """Raises UserError for a rule that cannot be read."""
        return cls(tuple(map(parse_rule, allow)), tuple(map(parse_rule, deny)))


def parse_rule(text: str) -> Rule:
    """Read one rule. Raises UserError."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        examples = "shell(git log), write(docs/**) or run_tests"
        raise UserError(f"The rule {text[:200]!r} cannot be read; write it like {examples}.")
    tool, inner = match[1], (match[2] or "").strip()
    if not inner:
        return Rule(text.strip(), tool)
    if tool != "shell":
        if inner.startswith("~") or ".." in inner.split("/"):
            raise UserError(f"The rule {text[:200]!r} cannot be read; write paths from the workspace, or from / on.")
        return Rule(text.strip(), tool, glob=inner)
    command = parse_simple_command(re.sub(r":\*$| \*$", "", inner.removeprefix("=")))
    if isinstance(command, ComplexCommand):
        raise UserError(f"The rule {text[:200]!r} must hold plain words of one command; it holds {command.why}.")
    if command.words[0].startswith("-"):
        raise UserError(f"The rule {text[:200]!r} must begin with the name of a command.")
    return Rule(text.strip(), tool, words=command.words, exact=inner.startswith("="))


def _glob_regex(pattern: str) -> str:
    """A glob as a regular expression over a path."""
    bare = pattern.removesuffix("/")
    made = "" if "/" in bare else "(?:.*/)?"
    for part in re.split(r"(\*\*/|\*\*|\*|\?)", bare.removeprefix("./")):
        made += {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part))
    return f"{made}(?:/.*)?"
