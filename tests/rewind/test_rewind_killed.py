"""A rewind that is killed: what the next start finishes is in the session's log, what it takes back is not."""

import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from kimi_agent.app.crash_recovery import close_interrupted_call, recover_files
from kimi_agent.log.events import CallStarted, Checkpoint, Returned, Rewound, Said, TurnEnded
from kimi_agent.log.messages import Assistant, Call, user_message
from kimi_agent.log.sessions import Sessions
from kimi_agent.log.store.session import Session
from kimi_agent.log.views import Result
from kimi_agent.rewind.rewinder import Rewinder
from kimi_agent.workspace.checkpoint import Snapshot
from kimi_agent.workspace.transaction.syscalls import FileSyscalls
from tests.rewind.rewindable_session import InMemory
from tests.workspace.fault_injection import (
    FOREVER,
    Killed,
    WatchedSyscalls,
    kill_from,
    kill_here,
    open_files,
    read_tree,
)
from tests.workspace.fault_injection import journals as left_journals

OLD = {"kept": "644 kept", "changed": "644 old", "deep/gone": "600 gone"}
NEW = {"kept": "644 kept", "changed": "644 new", "made/here": "644 made"}
"""The tree before and after the turn that is taken back."""


class MortalSnapshots(InMemory):
    """Snapshots of which one kills the process that takes it: the one after so many others."""

    def __init__(self, root: Path, left: int = FOREVER) -> None:
        super().__init__(root)
        self.left = left

    def take(self, also: Sequence[str] = (), *, newly_ignored: bool = False) -> Snapshot:
        self.left -= 1
        if self.left < 0:
            kill_here()
        return super().take(also, newly_ignored=newly_ignored)


@dataclass
class Scene:
    """A workspace in `folder`, its sessions and its snapshots; the last session has a turn to take back."""

    folder: Path
    checkpoints: MortalSnapshots
    sessions: Sessions

    @property
    def root(self) -> Path:
        return self.folder / "a workspace"

    def rewinder(self, session: Session, syscalls: FileSyscalls | None = None) -> Rewinder:
        return Rewinder(session, self.checkpoints, open_files(self.folder, syscalls))

    def recover(self) -> list[str]:
        self.checkpoints.left = FOREVER
        return recover_files(self.folder / "state" / "journal", self.sessions, self.checkpoints)


def put(root: Path, tree: dict[str, str]) -> None:
    for path in [each for each in root.rglob("*") if each.is_file()]:
        path.unlink()
    for folder in sorted((each for each in root.rglob("*") if each.is_dir()), reverse=True):
        folder.rmdir()
    for name, what in tree.items():
        mode, _, text = what.partition(" ")
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
        (root / name).chmod(int(mode, 8))


def scene(folder: Path) -> Scene:
    root = open_files(folder).root
    sessions = Sessions(folder / "state", root, now=lambda: 1.0, rng=random.Random(1))
    set_up = Scene(folder, MortalSnapshots(root), sessions)
    session = sessions.create(model="kimi", version="0")
    session.emit(Said(user_message("change it")))
    answer = session.emit(Said(Assistant("", None, (Call("f:0", "shell", "{}"),)))).seq
    put(root, OLD)
    before = set_up.checkpoints.take()
    session.emit(Checkpoint(before.tree, "before", answer, 0, unkept=before.unkept))
    session.emit(CallStarted(answer, 0, "shell", "execute"))
    put(root, NEW)
    session.emit(Checkpoint(set_up.checkpoints.take().tree, "after", answer, 0))
    session.emit(Returned(answer, 0, Result("ok")))
    session.emit(TurnEnded("done", 1))
    session.close()
    return set_up


Go = Callable[[Rewinder], Coroutine[None, None, None]]


async def undo(rewinder: Rewinder) -> None:
    await rewinder.carry_out(await rewinder.plan_undo())


async def undo_one_file(rewinder: Rewinder) -> None:
    await rewinder.carry_out(await rewinder.plan(2, "code", paths=["changed"]))


def run_killed(set_up: Scene, go: Go, syscalls: FileSyscalls, snapshots: int) -> bool:
    """Go back, killed by a system call or by the snapshot after so many; True if it lived to the end."""
    session = set_up.sessions.resume("last")
    set_up.checkpoints.left = snapshots
    try:
        asyncio.run(go(set_up.rewinder(session, syscalls)))
    except Killed:
        return False
    finally:
        session.close()  # the lock goes with the process
    return True


def rewinds(set_up: Scene) -> list[Rewound]:
    return [each.event for each in set_up.sessions.log("last") if isinstance(each.event, Rewound)]


def judge_next_start(set_up: Scene, whole: Rewound, old: dict[str, str]) -> bool:
    """Whether the rewind was finished; then it is recorded as one that nobody disturbed, and can be redone."""
    set_up.recover()
    assert left_journals(set_up.folder) == []
    found = read_tree(set_up.root)
    assert found in (dict(sorted(old.items())), dict(sorted(NEW.items())))
    if found == dict(sorted(NEW.items())):
        assert rewinds(set_up) == []
        return False
    assert rewinds(set_up) == [whole]
    session = set_up.sessions.resume("last")
    try:
        close_interrupted_call(session, set_up.checkpoints, session.take_past())
        rewinder = set_up.rewinder(session)

        async def redo() -> None:
            plan = await rewinder.plan_redo()
            assert plan.yours == ()
            await rewinder.carry_out(plan)

        asyncio.run(redo())
    finally:
        session.close()
    assert read_tree(set_up.root) == dict(sorted(NEW.items()))
    return True


@pytest.mark.parametrize(
    ("go", "old", "every"),
    [(undo, OLD, 5), (undo_one_file, {**NEW, "changed": OLD["changed"]}, 2)],
    ids=["all", "one file"],
)
def test_a_rewind_that_the_next_start_finishes_is_recorded_as_a_whole_one(
    tmp_path: Path, go: Go, old: dict[str, str], every: int
) -> None:
    undisturbed = scene(tmp_path / "whole")
    assert run_killed(undisturbed, go, WatchedSyscalls(), FOREVER)
    (whole,) = rewinds(undisturbed)
    finished = []
    for at in itertools.count(0, every):
        set_up = scene(tmp_path / str(at))
        lived = run_killed(set_up, go, WatchedSyscalls(kill_from(at, kill_here)), FOREVER)
        finished.append(judge_next_start(set_up, whole, old))
        if lived:
            break
    assert finished == sorted(finished)
    assert 1 < finished.index(True) < len(finished) - 2


def test_a_kill_in_the_snapshot_behind_the_files_is_recorded_too(tmp_path: Path) -> None:
    undisturbed = scene(tmp_path / "whole")
    assert run_killed(undisturbed, undo, WatchedSyscalls(), FOREVER)
    set_up = scene(tmp_path / "killed")
    assert not run_killed(set_up, undo, WatchedSyscalls(), 4)  # two for the plan, two before the files go back
    assert read_tree(set_up.root) == dict(sorted(OLD.items()))
    assert rewinds(set_up) == []
    assert judge_next_start(set_up, rewinds(undisturbed)[0], OLD)


def test_a_session_that_is_open_elsewhere_is_recorded_by_a_later_start(tmp_path: Path) -> None:
    set_up = scene(tmp_path)
    assert not run_killed(set_up, undo, WatchedSyscalls(), 4)
    session = set_up.sessions.resume("last")
    set_up.recover()
    assert len(left_journals(tmp_path)) == 1
    session.close()
    assert rewinds(set_up) == []
    set_up.recover()
    assert len(rewinds(set_up)) == 1
    assert left_journals(tmp_path) == []


def test_the_note_of_a_session_that_was_removed_is_dropped(tmp_path: Path) -> None:
    set_up = scene(tmp_path)
    assert not run_killed(set_up, undo, WatchedSyscalls(), 4)
    set_up.sessions.remove("last")
    assert set_up.recover() == []
    assert left_journals(tmp_path) == []
