"""Access rules: the paths that no tool may see or write, in no mode, by whatever spelling it gets there."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Literal

from kimi_agent.errors import ToolError
from kimi_agent.printable import escape_path
from kimi_agent.workspace.paths import ResolvedPath, is_beneath

PathDenial = Callable[[str], str]
"""The text of the rule that denies an absolute, resolved path; "" where none does."""

HiddenReason = Literal["", "private", "ignored", "denied", "sensitive"]
"""Why a search does not show what a file holds: it is ours, or ignored, a rule denies it, or its name says that it
holds secrets."""


def deny_nothing(_: str) -> str:
    """The denial of a session without rules."""
    return ""


def check_guarded(resolved: ResolvedPath, spelling: str) -> None:
    """Raises ToolError (git_internal, refused) for a path that no tool writes, with or without a person's yes."""
    if resolved.guarded == "git":
        text = f"{escape_path(spelling)} lies in .git, which only git itself may write; nothing was written"
        raise ToolError("git_internal", text, "use git commands in the shell")
    if resolved.guarded == "project":
        text = f"{escape_path(spelling)} lies in .kimi-agent, which decides what may run here; nothing was written"
        raise ToolError("refused", text, "tell the user what you want in it: a person must edit it")


@dataclass(frozen=True)
class AccessRules:
    """What is closed to tools: `private` are our own files and folders (configuration and state), as real paths.

    A workspace below `worktrees` (which lies in one of them) is the person's all the same. The two denials are asked
    where a file is opened, so a rule on a file holds whatever the arguments of the call named. `closed_unplanned`
    gives the reason why a call may not write a path that its plan does not name.
    """

    private: tuple[str, ...] = ()
    worktrees: str = ""
    denied_reading: PathDenial = deny_nothing
    denied_writing: PathDenial = deny_nothing
    closed_unplanned: PathDenial = deny_nothing

    def is_private(self, path: str, workspace: str) -> bool:
        """Whether a resolved path is ours; the files of the `workspace` itself are not."""
        if not any(is_beneath(path, folder) for folder in self.private):
            return False
        ours = bool(self.worktrees) and is_beneath(workspace, self.worktrees) and workspace != self.worktrees
        return not (ours and is_beneath(path, workspace))

    def private_below(self, folder: str, workspace: str) -> tuple[str, ...]:
        """The private files and folders below a resolved `folder`, for a search to pass over."""
        below = (path for path in self.private if is_beneath(path, folder) and path != folder)
        return tuple(path for path in below if self.is_private(path, workspace))

    def check_private(self, path: str, workspace: str) -> None:
        """Raises ToolError (refused) for a resolved path that is ours."""
        if self.is_private(path, workspace):
            text = f"{escape_path(path)} belongs to kimi-agent itself and is closed to tools"
            raise ToolError("refused", text, "big results are read as output:ID")

    def check_reading(self, path: str, shown: str) -> None:
        """Raises ToolError (denied) for a resolved path that a rule of the person's denies to be read."""
        if rule := self.denied_reading(path):
            text = f"the rule {rule} denies reading {escape_path(shown)}"
            raise ToolError("denied", text, "go on without it; only the user can change the rule")

    def check_writing(self, path: str, shown: str) -> None:
        """Raises ToolError (denied) for a resolved path that a rule of the person's denies to be written."""
        if rule := self.denied_writing(path):
            text = f"the rule {rule} denies writing {escape_path(shown)}; nothing was written"
            raise ToolError("denied", text, "go on without it; only the user can change the rule")
        if why := self.closed_unplanned(path):
            text = f"{escape_path(shown)} was not named by this call and is not written: {why}"
            raise ToolError("denied", text, "tell the user what you need there")

    def for_call(self, planned: Collection[str], refusal: PathDenial) -> "AccessRules":
        """These rules for a call that was judged: `refusal` says why it may not write a path that is not `planned`."""
        return replace(self, closed_unplanned=lambda path: "" if path in planned else refusal(path))
