"""Tree changes of a session: each call or rewind that changed files, with the trees before and after it. Pure.

They are read from the log; what lies between two of them was changed by somebody else.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from kimi_agent.log.events import Checkpoint, Returned, Rewound, Stamped


@dataclass(frozen=True)
class TreeChange:
    """The span from tree `before` to tree `after`, changed by a call or rewind of ours; others made what lies between.

    `seq` is the record that named `before`. The call is (answer, index), (0, 0) for a rewind. `after` is "" while it
    is not known: the call was cut off by a crash, and no snapshot was taken since. `failed` is why a snapshot could not
    be taken, so that what changed is not known. `missed` are paths that the snapshots may not hold.
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
    """The tree changes in order. A call between whose snapshots nothing changed has none."""
    found: list[TreeChange] = []
    open_: TreeChange | None = None
    for stamped in log:
        match stamped.event:
            case Checkpoint(tree, "before", answer, index, failed=failed, missed=missed):
                _add(found, open_, tree)
                open_ = TreeChange(stamped.seq, tree, "", answer, index, failed=failed, missed=missed)
            case Checkpoint(tree, "after", failed=failed, missed=missed):
                if open_ is not None:
                    all_missed = tuple(dict.fromkeys((*open_.missed, *missed)))
                    _add(found, replace(open_, failed=open_.failed or failed, missed=all_missed), tree)
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
    return found if open_ is None else [*found, open_]


def _add(found: list[TreeChange], change: TreeChange | None, after: str) -> None:
    """Close `change`, if one is open, with the tree of the next snapshot."""
    if change is not None and (change.failed or change.before != after):
        found.append(replace(change, after=after))
