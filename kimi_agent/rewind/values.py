"""What is planned, shown and done when somebody goes back."""

from dataclasses import dataclass
from typing import Literal

from kimi_agent.log.views import FileDiff

What = Literal["chat", "code", "both"]
Yours = Literal["refuse", "keep", "overwrite"]


@dataclass(frozen=True)
class Turn:
    """A turn that stands: `number` counts from 1, `seq` is the record of its prompt, `files` what its calls changed."""

    number: int
    seq: int
    prompt: str
    at: float
    files: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """Going back to just before record `to`; with `undoes` it takes the Rewound of that seq back.

    `diff` shows what would become of the files as they are now; those named in `yours` were changed by somebody else
    meanwhile: they are refused, kept or overwritten as `carry_out` is told. `lost_messages` leave the conversation.
    `paths` are the files asked for, () for all; `now` is the tree that was looked at, "" where no files are in it.
    """

    to: int
    what: What
    diff: tuple[FileDiff, ...] = ()
    yours: tuple[str, ...] = ()
    lost_messages: int = 0
    undoes: int = 0
    notes: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    now: str = ""


@dataclass(frozen=True)
class Done:
    """How many files were restored, which of the person's own were kept, and the prompt that was taken back."""

    restored: int
    kept: tuple[str, ...] = ()
    prompt: str = ""
