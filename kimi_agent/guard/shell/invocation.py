"""An invocation: one command that a shell text would run, with the state of the shell that it would run in."""

from dataclasses import dataclass
from functools import cached_property

from kimi_agent.guard.shell.expansion import ShellState, expand_word, unescape_pattern
from kimi_agent.guard.shell.syntax.tree import Redirect
from kimi_agent.guard.shell.syntax.words import ShellWords


@dataclass(frozen=True)
class Launch:
    """A launcher on the way to a command: its name, and all the words of its own command."""

    name: str
    words: ShellWords


@dataclass(frozen=True)
class Invocation:
    """One command that would run. `words` are its fields, its name first; () where there are only redirects.

    `fed` are the commands whose output it may read through a pipe, `substituted` those whose output is in its words,
    `documents` its here-documents and here-strings. `launchers` come outermost first. `remote` says that it runs on
    another machine or as somebody else. `certain` is False where only the run would show whether it runs at all.
    `is_pattern` says that the name was a pattern, and that of the files that fit it only the first is in `words`.
    """

    words: ShellWords
    state: ShellState
    redirects: tuple[Redirect, ...] = ()
    documents: ShellWords = ()
    fed: tuple["Invocation", ...] = ()
    substituted: tuple["Invocation", ...] = ()
    launchers: tuple[Launch, ...] = ()
    remote: bool = False
    certain: bool = True
    is_pattern: bool = False

    @cached_property
    def name(self) -> str:
        """The command's name without its folder, in the notation of fnmatch; "" where it is not known."""
        if not self.words:
            return ""
        value = expand_word(self.words[0], self.state)[0]
        return "" if value.starts_unknown else unescape_pattern(value.text).rpartition("/")[2]

    @property
    def args(self) -> ShellWords:
        """The words behind the name."""
        return self.words[1:]
