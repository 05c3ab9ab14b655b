"""Values of a rewind: the turns to go back to, the plan that is shown, and the outcome."""

from dataclasses import dataclass
from typing import Literal

from kimi_agent.log.views import FileDiff

RewindScope = Literal["chat", "code", "both"]
ConflictChoice = Literal["refuse", "keep", "overwrite"]


@dataclass(frozen=True)
class RewindTurn:
    """A turn not taken back: `number` counts from 1, `seq` is its prompt's record, `files` what its calls changed."""

    number: int
    seq: int
    prompt: str
    at: float
    files: tuple[str, ...]


@dataclass(frozen=True)
class RewindPlan:
    """Going back to just before record `to`; with `undoes` it takes the Rewound of that seq back.

    `diff` shows what would become of the files as they are now; those named in `yours` were changed by somebody else
    meanwhile: they are refused, kept or overwritten, as `carry_out` is asked. Those in `unsure` were written while a
    command ran, perhaps by somebody else: they are left unless a person says yes. `lost_messages` leave the chat.
    `paths` are the files asked for, () for all; `now` is the tree that was looked at, "" where no files are in it.
    """

    to: int
    what: RewindScope
    diff: tuple[FileDiff, ...] = ()
    yours: tuple[str, ...] = ()
    lost_messages: int = 0
    undoes: int = 0
    notes: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    now: str = ""
    unsure: tuple[str, ...] = ()


@dataclass(frozen=True)
class RewindOutcome:
    """How many files were restored, which of the person's own were kept, and the prompt that was taken back."""

    restored: int
    kept: tuple[str, ...] = ()
    prompt: str = ""
