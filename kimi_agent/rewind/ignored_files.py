"""Ignored files that snapshots were asked for: each goes back by those snapshots alone that can tell of it. Pure."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kimi_agent.workspace.checkpoint.tree_changes import Span
from kimi_agent.workspace.checkpoint.values import Kept, PathChange


class Trees(Protocol):
    """What is asked of the snapshots; blocking, and each may raise Unkept."""

    def changes(self, old: str, new: str) -> tuple[PathChange, ...]: ...
    def also(self, tree: str) -> tuple[str, ...]: ...
    def apart(self, tree: str) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Aside:
    """An ignored file that a call changed: the tree `first` holds it as it stood before, `last` is what we left.

    `mixed` says that somebody else may have changed it between calls of ours.
    """

    first: str
    last: Kept | None
    mixed: bool


def set_aside(done: Sequence[Span], trees: Trees) -> dict[str, Aside]:
    """The ignored files that these spans changed, or may have. Raises Unkept."""
    found: dict[str, Aside] = {}
    for span in done:
        if span.failed or not span.before or not (asked := trees.also(span.before)):
            continue
        held = set(trees.apart(span.before))
        if not span.after or trees.also(span.after) != asked:  # a call that was cut off: nobody looked at these again
            for path in held:
                first = found[path].first if path in found else span.before
                found[path] = Aside(first, None, mixed=True)
            continue
        held.update(trees.apart(span.after))
        for change in trees.changes(span.before, span.after):
            if change.path in held:
                known = found.get(change.path)
                mixed = known is not None and (known.mixed or known.last != change.before)
                found[change.path] = Aside(known.first if known else span.before, change.after, mixed)
    return found


def brought_back(
    aside: Mapping[str, Aside], now: str, trees: Trees, wanted: Callable[[str], bool], missed: Collection[str]
) -> tuple[list[PathChange], list[PathChange]]:
    """What to restore of them where they are not as they were: ours, and what somebody else changed meanwhile.

    The tree `now` was asked for all of them. Raises Unkept.
    """
    ours: list[PathChange] = []
    yours: list[PathChange] = []
    for tree in sorted({each.first for each in aside.values()}):
        for change in trees.changes(now, tree):
            file = aside.get(change.path)
            if file is not None and file.first == tree and wanted(change.path) and change.path not in missed:
                (yours if file.mixed or file.last != change.before else ours).append(change)
    return ours, yours
