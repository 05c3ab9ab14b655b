"""Run options: the flags of one run, parsed, as a frozen value."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

OutputFormat = Literal["text", "json", "stream-json"]
InputFormat = Literal["text", "stream-json"]
OUTPUT_FORMATS: tuple[OutputFormat, ...] = ("text", "json", "stream-json")
INPUT_FORMATS: tuple[InputFormat, ...] = ("text", "stream-json")


@dataclass(frozen=True)
class RunOptions:
    """The flags of a run. None or "" means that it was not given; `resume` is None where no session was asked for.

    `resume` "" is the picker, "last" the newest session; `worktree` "" is one with a name that we choose; `sets` are
    `key=value` texts.
    """

    prompt: str = ""
    one_shot: bool = False
    resume: str | None = None
    fork: bool = False
    directory: str = ""
    worktree: str | None = None
    require_green: bool | None = None
    commit: bool | None = None
    pull_request: bool | None = None
    model: str | None = None
    base_url: str | None = None
    mode: str | None = None
    max_steps: int | None = None
    max_budget_usd: float | None = None
    max_tokens: int | None = None
    timeout_s: int | None = None
    wait_for_quota: bool | None = None
    thinking: bool | None = None
    trust: bool = False
    debug: bool = False
    quiet: bool = False
    output: OutputFormat = "text"
    input: InputFormat = "text"
    answer_file: str = ""
    add_dirs: Sequence[str] = ()
    sets: Sequence[str] = ()

    def settings(self) -> dict[str, Any]:
        """The flags that are settings, by their keys; None where not given."""
        return {
            "model": self.model,
            "base_url": self.base_url,
            "mode": self.mode,
            "max_steps": self.max_steps,
            "budget.run_usd": self.max_budget_usd,
            "budget.run_tokens": self.max_tokens,
            "timeout": self.timeout_s,
            "retry.wait_for_quota": self.wait_for_quota,
            "require_green": self.require_green,
            "commit.auto": self.commit,
            "commit.pull_request": self.pull_request,
            "thinking": self.thinking,
            "workspace.add_dirs": list(self.add_dirs) or None,
        }
