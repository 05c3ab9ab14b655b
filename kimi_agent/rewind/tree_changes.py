"""Tree changes of a session: each call or rewind that changed files, with the trees before and after it.

They are read from the log; what lies between two of them was changed by somebody else. Whether the call itself made
all that changed over its span, `authorship` says.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from kimi_agent.log.events import CallStarted, Checkpoint, Effect, Returned, Rewound, Said, Stamped
from kimi_agent.log.messages import Assistant, Call
from kimi_agent.log.store.log_scan import read_events


@dataclass(frozen=True)
class TreeChange:
    """The span from tree `before` to tree `after`, changed by a call or rewind of ours; others made what lies between.

    `seq` is the record that named `before`. The call is (answer, index), (0, 0) for a rewind. `after` is "" while it
    is not known: the call was cut off by a crash, and no snapshot was taken since. `failed` is why a snapshot could not
    be taken, so that what changed is not known. `missed` are paths that the snapshots may not hold, `unkept` names the
    list of what stood there at `before` and is not in that tree ("": not noted).

    `effect` is the call's ("" for a rewind, and where the call never started), `paths` the files that it named,
    `command` its shell text; it ran from `began` to `ended` (Unix seconds; 0 while that is not known), and `apart` is
    what was written apart from all else that it did (None: nobody looked).
    """

    seq: int
    before: str
    after: str
    answer: int
    index: int
    rewind: bool = False
    failed: str = ""
    missed: tuple[str, ...] = ()
    unkept: str = ""
    effect: Effect | Literal[""] = ""
    paths: tuple[str, ...] = ()
    command: str = ""
    began: float = 0.0
    ended: float = 0.0
    apart: tuple[str, ...] | None = None


def read_tree_changes(log: Iterable[Stamped]) -> list[TreeChange]:
    """The tree changes in order. A call between whose snapshots nothing changed has none."""
    found: list[TreeChange] = []
    open_: TreeChange | None = None
    calls: tuple[int, tuple[Call, ...]] = (0, ())
    for stamped in log:
        match stamped.event:
            case Said(Assistant(calls=made)):
                calls = stamped.seq, made
            case Checkpoint(tree, "before", answer, index, failed=failed, missed=missed, unkept=unkept):
                _add(found, open_, tree, stamped.at)
                command = _command(calls[1][index]) if answer == calls[0] and index < len(calls[1]) else ""
                open_ = TreeChange(stamped.seq, tree, "", answer, index, failed=failed, missed=missed, unkept=unkept)
                open_ = replace(open_, command=command, began=stamped.at)
            case CallStarted(answer, index, effect=effect, before=before) if open_ is not None:
                if (answer, index) == (open_.answer, open_.index):
                    open_ = replace(open_, effect=effect, paths=tuple(_relative(each.path) for each in before))
            case Checkpoint(tree, "after", failed=failed, missed=missed, apart=apart):
                if open_ is not None:
                    all_missed = tuple(dict.fromkeys((*open_.missed, *missed)))
                    open_ = replace(open_, failed=open_.failed or failed, missed=all_missed, apart=apart)
                    _add(found, open_, tree, stamped.at)
                open_ = None
            case Returned(answer, index) if open_ is not None and (answer, index) == (open_.answer, open_.index):
                if open_.failed:  # nobody looked whether anything changed
                    found.append(open_)
                open_ = None
            case Rewound(was=was, tree=tree) if was:
                began = open_ if open_ is not None and open_.before == was else None  # the rewind's own beginning
                _add(found, open_, was, stamped.at)
                open_ = None
                if was != tree:
                    failed = "" if tree else "going back ended without one"
                    back = TreeChange(stamped.seq, was, tree, 0, 0, rewind=True, failed=failed, ended=stamped.at)
                    found.append(replace(back, unkept=began.unkept, began=began.began) if began else back)
            case _:
                pass
    return found if open_ is None else [*found, open_]


def read_other_changes(own: Path, since: float) -> list[TreeChange]:
    """The tree changes of the sessions beside the folder `own` that were written to at `since` (Unix seconds) or later.

    A log that cannot be read is passed over: it is listed as damaged elsewhere.
    """
    found: list[TreeChange] = []
    for log in sorted(own.parent.glob("*/main.jsonl")):
        try:
            if log.parent != own and log.stat().st_mtime >= since:
                found += (each for each in read_tree_changes(read_events(log)) if not each.failed and each.before)
        except OSError:
            continue
    return found


def _add(found: list[TreeChange], change: TreeChange | None, after: str, at: float) -> None:
    """Close `change`, if one is open, with the tree of the next snapshot."""
    if change is not None and (change.failed or change.before != after):
        found.append(replace(change, after=after, ended=at))


def _command(call: Call) -> str:
    """The shell text among the arguments of a call, "" where it has none."""
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        return ""
    command = arguments.get("command", "") if isinstance(arguments, dict) else ""
    return " ".join(map(str, command)) if isinstance(command, list) else str(command or "")


def _relative(shown: str) -> str:
    """A path as trees spell it, from a fingerprint's (see `Files.shown`)."""
    return shown.removeprefix("./")
