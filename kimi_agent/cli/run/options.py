"""Run options: the flags of one run, parsed, as a frozen value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

OutputFormat = Literal["text", "json", "stream-json"]
InputFormat = Literal["text", "stream-json"]
OUTPUT_FORMATS: tuple[OutputFormat, ...] = ("text", "json", "stream-json")
INPUT_FORMATS: tuple[InputFormat, ...] = ("text", "stream-json")


@dataclass(frozen=True)
class RunOptions:
    """The flags of a run. None or "" means that it was not given; `resume` is None where no session was asked for.

    `resume` "" is the picker, "last" the newest session; `worktree` "" is one with a name that we choose. `settings`
    are the flags that are settings, by their keys, None where not given; `sets` are `key=value` texts.
    """

    prompt: str = ""
    one_shot: bool = False
    resume: str | None = None
    fork: bool = False
    directory: str = ""
    worktree: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    trust: bool = False
    debug: bool = False
    quiet: bool = False
    output: OutputFormat = "text"
    input: InputFormat = "text"
    answer_file: str = ""
    sets: Sequence[str] = ()
