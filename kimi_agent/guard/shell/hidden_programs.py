"""Finder of programs whose name a shell text hides: only the run would show what is run, so no deny rule can hold.

Names come from variables, patterns and substitutions (`$X y`, `c{ur,}l`), from what another program writes
(`base64 -d | sh`, `| xargs env`, `make -f -`, `find -exec {}`), and from code (`python3 -c`, `awk`, `vim -c`).
"""

import re

from kimi_agent.guard.shell.command_options import find_uncovered_words
from kimi_agent.guard.shell.denied_words import ANYWHERE, is_plain_word
from kimi_agent.guard.shell.expansion import expand_word, has_pattern
from kimi_agent.guard.shell.invocation import Invocation
from kimi_agent.guard.shell.invocations import ShellWalk, find_invocations
from kimi_agent.guard.shell.launchers import SHELL_PROGRAMS, find_launcher
from kimi_agent.guard.shell.syntax.words import word_text

_AWKS = frozenset({"awk", "gawk", "mawk", "nawk"})
_SEDS = frozenset({"sed", "gsed"})
_MAKES = frozenset({"make", "gmake", "bmake", "ninja", "just"})
_CODE_READERS = re.compile(
    r"(?:python|perl|ruby|node|nodejs|deno|bun|php|lua|tclsh|expect|osascript|julia|Rscript|R|guile|irb|groovy|elixir|iex"
    r"|raku|tsx|ts-node|jshell|dc|m4|ed|gdb|lldb|sqlite3|psql|mysql|gnuplot|octave|swift|pwsh|powershell)[\d.]*"
)
_CODE_OPTION = re.compile(
    r"-[a-zA-Z]*[cerEpnBM]\w*|--?(?:eval|execute|exec|print|command|ex|cmd|init|batch).*|eval|repl"
)
_EDITORS = frozenset(
    {"vi", "vim", "nvim", "ex", "view", "gvim", "vimdiff", "emacs", "emacsclient", "less", "man", "ag"}
)
_SCHEDULERS = frozenset({"at", "batch", "crontab"})
_STDIN = re.compile(r"-[a-zA-Z]*f-?|--(?:make)?file(?:=.*)?|--eval.*|-E.*|-|/dev/(?:stdin|fd/.*)|/proc/.*")
_SED_RUNS = re.compile(r"[/|,#:][gpmMiI0-9]*e[gpmMiI0-9w]*(?:\s|;|\}|$)|(?:^|[;{}\n\d$/!])\s*e(?:\s|$)")
# Code that computes and prints: it imports nothing that runs programs, and no name in it is made at run time.
_PRINTING_CODE = re.compile(
    r"(?!.*(?:__|\b(?:eval|exec\w*|open|compile|getattr|globals|locals|vars|modules|breakpoint|input|help|from)\b))"
    r"(?!.*\bimport\s+(?!(?:(?:json|sys|re|math)\s*,\s*)*(?:json|sys|re|math)\s*(?:;|\n|$))).*",
    re.DOTALL,
)


def hides_program_name(text: str, walk: ShellWalk | None = None) -> bool:
    """Whether `text` runs something whose name only the run would show, or cannot be read for sure.

    `walk` is that of `text` from `ANYWHERE`, for a caller that has it.
    """
    walk = walk or find_invocations(text, ANYWHERE)
    return bool(walk.unclear) or any(_is_hidden(made, walk) for made in walk.invocations if made.words)


def _is_hidden(made: Invocation, walk: ShellWalk) -> bool:
    name, texts = made.name, [word_text(word) for word in made.args]
    if made.is_pattern or _is_open(made) or name in {"source", "."} or name.startswith(("{}", ":::")):
        return True
    if name in SHELL_PROGRAMS | {"eval", "trap"}:
        return _is_open_shell(name, made, texts)
    if find_launcher([name, *texts]) is not None or name in {"find", "fd", "fdfind"}:
        return _is_open_launcher(name, made, walk)
    if name in _AWKS or name in _SEDS:
        unlisted = [word for word in find_uncovered_words((name, *texts)) if word[:1] != "-"]
        return bool(unlisted) and (name in _AWKS or any(map(_SED_RUNS.search, unlisted)))
    if name in _MAKES:
        return any(_STDIN.fullmatch(text) for text in texts) and _reads(made)
    if name in _EDITORS:
        return bool(find_uncovered_words((name, *texts)))
    return (name in _SCHEDULERS and _reads(made)) or (
        _CODE_READERS.fullmatch(name) is not None and _has_code(made, texts)
    )


def _is_open(made: Invocation) -> bool:
    """Whether the name is not one plain text. `cu$()rl` is curl: what is surely empty does not open it."""
    values = expand_word(made.words[0], made.state)
    if any(piece.kind == "variable" for piece in made.words[0]) and not any(value.has_unknown for value in values):
        return any(has_pattern(value.text) for value in values)
    return not is_plain_word(made.words[0])


def _is_open_shell(name: str, made: Invocation, texts: list[str]) -> bool:
    """Whether a shell reads a text that does not stand here: from a pipe, or out of a variable."""
    if not all(map(is_plain_word, made.args)):
        return True
    scripts = [text for text in texts if text[:1] not in {"-", "+", ""}]
    if name == "eval" or scripts:
        return any(text.startswith(("/dev/", "/proc/")) for text in scripts)
    return name in SHELL_PROGRAMS and (
        bool(made.fed) or not made.documents or not all(map(is_plain_word, made.documents))
    )


def _is_open_launcher(name: str, made: Invocation, walk: ShellWalk) -> bool:
    """Whether the command that a launcher runs comes from its input, or from a word that is open."""
    inner = [other for other in walk.invocations if any(launch.words == made.words for launch in other.launchers)]
    if name in {"find", "fd", "fdfind"}:
        return False  # `-exec {}` is a command of its own in the walk
    if not inner:
        return (_reads(made) and (name != "xargs" or bool(made.args))) or _has_open_words(made)
    return _has_open_words(made) and not inner[0].certain


def _has_open_words(made: Invocation) -> bool:
    return not all(map(is_plain_word, made.args[:3]))


def _reads(made: Invocation) -> bool:
    """Whether a command may have input: by a pipe, a document, a file, or as the last words that xargs adds."""
    redirected = any(redirect.operator.startswith("<") for redirect in made.redirects)
    by_words = any(launch.name in {"xargs", "parallel"} for launch in made.launchers)
    return bool(made.fed or made.documents) or redirected or by_words


def _has_code(made: Invocation, texts: list[str]) -> bool:
    """Whether an interpreter is given code on its command line or by its input that does more than compute."""
    script = next((at for at, text in enumerate(texts) if text[:1] != "-"), len(texts))
    inline = next((at for at, text in enumerate(texts[:script]) if _CODE_OPTION.fullmatch(text)), None)
    is_python = made.name.startswith("python")
    if inline is not None and is_python:
        if texts[inline] != "-c":
            return "c" in texts[inline]
        code = made.args[inline + 1 : inline + 2]
        return not all(is_plain_word(word) and _PRINTING_CODE.fullmatch(word_text(word)) for word in code)
    if inline is not None:
        return True
    if script < len(texts) and texts[script] != "-":
        return False
    computes = is_python and not made.fed and all(_PRINTING_CODE.fullmatch(word_text(word)) for word in made.documents)
    return _reads(made) and not computes
