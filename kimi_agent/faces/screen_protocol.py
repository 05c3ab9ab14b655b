"""Protocols between the REPL and a screen: a screen calls `ScreenHost`, the REPL calls `ReplScreen`."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from kimi_agent.faces.render.transcript import Transcript
from kimi_agent.faces.theme import Theme
from kimi_agent.log.questions import Decision, Question

KEY_HELP: tuple[tuple[str, str], ...] = (
    ("Enter", "send; while a turn runs: queue"),
    ("Alt-Enter, Ctrl-J, \\ Enter", "a new line"),
    ("Esc", "interrupt the model and its tools"),
    ("Esc Esc", "clear the line; on an empty one: list the turns to go back to"),
    ("Ctrl-C", "interrupt; else clear the line; twice: leave"),
    ("Ctrl-D", "leave, on an empty line"),
    ("Shift-Tab", "next mode: ask, accept-edits, plan"),
    ("Tab", "complete a command; while a turn runs: queue"),
    ("Up, Down, Ctrl-R", "history, search in it"),
    ("Ctrl-L, Ctrl-Z", "redraw, suspend"),
    ("?", "on an empty line: this sheet"),
)


class ScreenHost(Protocol):
    """The REPL as a screen uses it."""

    @property
    def theme(self) -> Theme: ...

    @property
    def transcript(self) -> Transcript: ...

    @property
    def prompts(self) -> Mapping[str, str]:
        """The commands from prompt files."""

    @property
    def busy_s(self) -> float | None:
        """How long the running turn, or other work that may be stopped, has run; None when none runs."""

    @property
    def queued(self) -> Sequence[str]:
        """What was typed and waits for its turn."""

    def pull(self, budget_s: float) -> tuple[list[str], bool]:
        """Draw what happened, for at most about `budget_s` seconds: the finished rows, and whether more waits."""

    def submit(self, text: str) -> None:
        """The person sent `text`."""

    def interrupt(self) -> None:
        """Stop the running turn."""

    def next_mode(self) -> None:
        """On to the next mode of approval."""

    def leave(self, exit_code: int) -> None:
        """End the REPL."""

    def status(self) -> Sequence[str]:
        """Mode, model and branch for the line below the prompt."""


class ReplScreen(Protocol):
    """A screen as the REPL uses it."""

    def columns(self) -> int: ...

    def wake(self) -> None:
        """Something happened: `pull` when it suits."""

    async def decide(self, question: Question) -> Decision:
        """Ask the person."""

    def prefill(self, text: str) -> None:
        """Offer `text` for the next prompt."""

    async def run(self) -> None:
        """Take keys until `stop`."""

    def stop(self) -> None: ...

    def unwritten_rows(self) -> list[str]:
        """Finished rows that `run` did not get to write."""
