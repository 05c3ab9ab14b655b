"""Process trees: finds all processes of a run, kills them, and sweeps those that a killed predecessor left.

A run's processes are known by their session, their parents, and a mark in their environment, so that a daemon which
forks twice and starts its own session is found too. On Linux we are a "subreaper": orphans come to us and not to
init, so one that has wiped its environment is still found as our child. Where there is no /proc (macOS) a daemon
that left its group and its parents is not found.
"""

import contextlib
import ctypes
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kimi_agent.log.store.durable_io import read_whole
from kimi_agent.workspace.process import process_table
from kimi_agent.workspace.process.process_table import ProcessInfo, has_proc, machine_id, read_process

_PR_SET_CHILD_SUBREAPER = 36
_FORGET_S = 30 * 86_400


@dataclass
class ProcessTree:
    """The processes of one run: its mark, the pid of its first process, when that began, and those seen so far.

    `ours` says that the first process is a child of this process, and not a record of someone else's.
    """

    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    leader: int = 0
    since: int = 0
    ours: bool = False
    seen: set[tuple[int, int]] = field(default_factory=set)

    def begun(self, pid: int) -> None:
        """Note its first process, a child of ours that leads a session."""
        first = read_process(pid)
        self.leader, self.since, self.ours = pid, first.start if first else 0, True


def adopt_orphans() -> None:
    """Have the kernel give orphaned descendants to us, so that they can be found and reaped (Linux; else nothing)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def find_live_processes(trees: Sequence[ProcessTree]) -> dict[int, ProcessInfo]:
    """Find the live processes of `trees`, and reap the dead ones that were left to us."""
    table = process_table.read_process_table()
    found: set[int] = set()
    for tree in trees:
        members = _members(tree, table)
        tree.seen |= {(pid, table[pid].start) for pid in members}
        found |= members
    _reap(trees, table)
    return {pid: table[pid] for pid in found if not table[pid].zombie}


def send_signal(trees: Sequence[ProcessTree], number: signal.Signals) -> set[int]:
    """Send a signal to every process of `trees`; gives the pids that could be sent it."""
    alive = find_live_processes(trees)
    if number is signal.SIGKILL:
        # The groups first: the kernel kills a group in one go, so that a fork bomb cannot outrun us.
        for group in {each.sid for each in alive.values()}:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)
    sent: set[int] = set()
    # Parents first, mostly: a shell that gets it before its child does not report the child's end.
    for pid in sorted(alive):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
            sent.add(pid)
    return sent


def kill_trees(trees: Sequence[ProcessTree], *, within_s: float) -> set[int]:
    """Kill `trees` and wait until they are dead; gives the pids that are still alive after `within_s` seconds."""
    end = time.monotonic() + within_s
    pause_s = 0.001
    while alive := send_signal(trees, signal.SIGKILL):
        if time.monotonic() > end:
            return alive
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 0.05)
    return set()


def _members(tree: ProcessTree, table: dict[int, ProcessInfo]) -> set[int]:
    """The pids in `table` that belong to `tree`."""
    me, own_session = os.getpid(), os.getsid(0)
    others = {pid: each for pid, each in table.items() if pid != me and each.sid != own_session}
    members = {pid for pid, each in others.items() if (pid, each.start) in tree.seen}
    leader = others.get(tree.leader)
    if leader and tree.ours and leader.ppid == me and leader.start == tree.since:
        members.add(leader.pid)
    for pid, each in others.items():
        if pid in members or each.start < tree.since:
            continue
        if not has_proc() and each.sid != tree.leader:
            continue  # asking `ps` about each process of the machine would take seconds
        marked = process_table.run_marks(pid)
        # A child of ours in a session of its own, without any mark: a daemon that wiped its environment and came to
        # us as an orphan. Process 1 gets the orphans of strangers too.
        stray = not marked and not each.zombie and each.ppid == me and tree.ours and me != 1
        if tree.mark in marked or stray:
            members.add(pid)
    return _with_descendants(members, others)


def _with_descendants(members: set[int], table: dict[int, ProcessInfo]) -> set[int]:
    """`members` with all that share a session with one of them or descend from one."""
    while True:
        sessions = {table[pid].sid for pid in members}
        more = {pid for pid, each in table.items() if each.sid in sessions or each.ppid in members} - members
        if not more:
            return members
        members = members | more


def _reap(trees: Sequence[ProcessTree], table: dict[int, ProcessInfo]) -> None:
    """Reap dead orphans that were adopted, and never a child that someone here started and waits for."""
    me, own_session = os.getpid(), os.getsid(0)
    started = {tree.leader for tree in trees}
    seen = {each for tree in trees for each in tree.seen}
    for pid, each in table.items():
        if not each.zombie or each.ppid != me or pid in started:
            continue
        # A child started here is in our session or leads its own; one that is neither was adopted.
        adopted = each.sid not in (pid, own_session)
        if adopted or (pid, each.start) in seen:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


@dataclass(frozen=True)
class _Record:
    """The record of a live run on disk: who owns it, and how to find its processes."""

    machine: str
    owner: int
    owner_start: int
    mark: str
    leader: int


def run_record_json(tree: ProcessTree, *, owner: int) -> str:
    """The record of a run as JSON."""
    process = read_process(owner)
    start = process.start if process else 0
    return json.dumps(asdict(_Record(machine_id(), owner, start, tree.mark, tree.leader)))


class RunRegister:
    """A folder with one small file for each live run, so that a later start can end what a kill -9 left behind."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def note(self, tree: ProcessTree) -> None:
        """Write down a run; where that is not possible the work goes on."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # By rename, so that a sweep beside us never reads half a record.
            fresh = self._folder / f".{tree.mark}"
            fresh.write_text(run_record_json(tree, owner=os.getpid()), "ascii")
            fresh.replace(self._folder / tree.mark)

    def drop(self, tree: ProcessTree) -> None:
        """Forget a run that left nothing behind."""
        with contextlib.suppress(OSError):
            (self._folder / tree.mark).unlink()


def kill_leftover_runs(register: Path) -> int:
    """Kill the processes that runs of dead owners left behind; gives the number that were found alive.

    A process is touched only if the mark of such a run is in its environment, or in that of a process of its
    session or among its ancestors.
    """
    swept = 0
    try:
        paths = sorted(path for path in register.iterdir() if not path.name.startswith("."))
    except OSError:
        return 0
    for path in paths:
        run = _read(path)
        if run is not None and run.machine != machine_id():
            if _age_s(path) < _FORGET_S:
                continue  # another container or machine with the same home
        elif run is not None:
            if _alive(run):
                continue
            tree = ProcessTree(run.mark, run.leader)
            swept += len(find_live_processes([tree]))
            kill_trees([tree], within_s=2.0)
        with contextlib.suppress(OSError):
            path.unlink()
    return swept


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _read(path: Path) -> _Record | None:
    """The record in `path`, or None where there is no whole one (the write of it was cut short)."""
    try:
        held = json.loads(read_whole(path).decode("ascii"))
        owner, start, leader = (int(held[name]) for name in ("owner", "owner_start", "leader"))
        return _Record(str(held["machine"]), owner, start, str(held["mark"]), leader)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _alive(run: _Record) -> bool:
    """Whether the owner of a run still lives (and is not a later process with the same pid)."""
    if has_proc():
        owner = read_process(run.owner)
        return owner is not None and owner.start == run.owner_start and not owner.zombie
    try:
        os.kill(run.owner, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
