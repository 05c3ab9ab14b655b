"""Values of a session's worktree, and a sentence about what its removal would lose."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.errors import UserError
from kimi_agent.printable import escape_path, format_count
from kimi_agent.workspace.worktrees.unsaved_work import UnsavedWork

_MOST_SHOWN = 10


class WorktreeNotRemoved(UserError):
    """A worktree was not removed, since its work would be lost; the text says what that is, and the mend."""

    def __init__(self, text: str) -> None:
        super().__init__(text, 1)


@dataclass(frozen=True)
class Worktree:
    """A worktree on the disk. `workspace` is where its session works: as deep in it as in the tree it came from.

    `notes` are sentences for the person.
    """

    path: Path
    branch: str
    name: str
    workspace: Path
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ListedWorktree:
    """A worktree in a list. `branch` is "" for a detached HEAD.

    `unmerged` are commits that no other branch, remote or tag holds, those of a detached HEAD or that were reset away
    among them ("abc1234 subject"; at most 20, `ahead` counts all); `work` is what only its folder holds. `gone` says
    that this was removed by hand, `cut_off` that its .git was, so that nobody looked into it; `locked` holds the
    reason of a lock, or "yes".
    """

    name: str
    path: Path
    branch: str
    ahead: int
    unmerged: tuple[str, ...]
    work: UnsavedWork
    gone: bool = False
    cut_off: bool = False
    locked: str = ""

    @property
    def merged(self) -> bool:
        """Whether all its commits are held elsewhere too."""
        return self.ahead == 0


def describe_losses(found: ListedWorktree) -> str:
    """Describe what its removal would lose, "" for nothing."""
    reasons = []
    if found.locked:
        reasons.append("it is locked" + (f" ({escape_path(found.locked)})" if found.locked != "yes" else ""))
    if found.ahead:
        count = format_count(found.ahead, "commit")
        reasons.append(f"{count} that nothing else holds: {_some(found.unmerged, found.ahead)}")
    work = found.work
    if work.trouble:
        reasons.append(f"nobody can tell what it holds: {work.trouble}")
    if work.under_way:
        reasons.append(f"{work.under_way} is under way")
    for paths, kind in (
        (work.dirty, "uncommitted work on {}"),
        (work.ignored, "{} that git ignores"),
        (work.nested, "work in {} within it"),
        (work.unreadable, "{} that cannot be read"),
    ):
        if paths:
            one, many = ("repository", "repositories") if paths is work.nested else ("file", "files")
            reasons.append(f"{kind.format(format_count(len(paths), one, many))}: {_some(paths, len(paths))}")
    return "; ".join(reasons)


def _some(texts: Sequence[str], count: int) -> str:
    shown = ", ".join(escape_path(text, 100) for text in texts[:_MOST_SHOWN])
    return f"{shown} and {count - _MOST_SHOWN:,} more" if count > _MOST_SHOWN else shown
