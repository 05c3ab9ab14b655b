"""Tree changes of a session: each call or rewind that changed files, with the trees before and after it. Pure.

They are read from the log; what lies between two of them was changed by somebody else.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from kimi_agent.log.events import Checkpoint, Returned, Rewound, Stamped


@dataclass(frozen=True)
class TreeChange:
    """A call or rewind of ours that changed the tree from `before` to `after`; others made what lies between two.

    `seq` is the record that named `before`. The call is (answer, index), (0, 0) for a rewind. `after` is "" while it
    is not known: the call was cut off by a crash, and no snapshot was taken since. With `failed` (why) a snapshot could
    not be taken, so that what changed is not known. `missed` are paths that the snapshots may not hold.
    """

    seq: int
    before: str
    after: str
    answer: int
    index: int
    rewind: bool = False
    failed: str = ""
    missed: tuple[str, ...] = ()


def read_tree_changes(log: Iterable[Stamped]) -> list[TreeChange]:
    """The spans in order. A call between whose snapshots nothing changed has none."""
    found: list[TreeChange] = []
    open_: TreeChange | None = None
    for stamped in log:
        match stamped.event:
            case Checkpoint(when="before") as kept:
                _add(found, open_, kept.tree)
                place = kept.answer, kept.index
                open_ = TreeChange(stamped.seq, kept.tree, "", *place, failed=kept.failed, missed=kept.missed)
            case Checkpoint(when="after") as kept:
                if open_ is not None:
                    missed = tuple(dict.fromkeys((*open_.missed, *kept.missed)))
                    _add(found, replace(open_, failed=open_.failed or kept.failed, missed=missed), kept.tree)
                open_ = None
            case Returned(answer, index) if open_ is not None and (answer, index) == (open_.answer, open_.index):
                if open_.failed:  # nobody looked whether anything changed
                    found.append(open_)
                open_ = None
            case Rewound(was=was, tree=tree) if was:
                _add(found, open_, was)  # nothing is left of the rewind's own beginning: it named the same tree
                open_ = None
                if was != tree:
                    failed = "" if tree else "going back ended without one"
                    found.append(TreeChange(stamped.seq, was, tree, 0, 0, rewind=True, failed=failed))
            case _:
                pass
    if open_ is not None:
        found.append(open_)
    return found


def _add(found: list[TreeChange], span: TreeChange | None, after: str) -> None:
    """Close `span`, if one is open, with the tree that was kept next."""
    if span is not None and (span.failed or span.before != after):
        found.append(replace(span, after=after))
