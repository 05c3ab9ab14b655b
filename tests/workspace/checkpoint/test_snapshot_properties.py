"""Any tree comes back byte for byte, equal trees have one name and different ones two; also after kills."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kimi_agent.workspace.checkpoint import Checkpoints
from kimi_agent.workspace.git.command import Git
from tests.workspace.checkpoint.snapshot_trees import State, held, on_disk

NAMES = st.sampled_from([b"a", b"b", b"dir", b".hidden", b"sp ace", b"new\nline", b"\xff\xfe", b"x.py", b"-", b"~"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(b"/".join)
MODES = st.sampled_from([0o644, 0o644, 0o755, 0o600, 0o664, 0o700, 0o444, 0o777])
CONTENTS = st.one_of(st.just(b""), st.binary(max_size=40), st.sampled_from([b"a\r\nb\n", b"$Id$", b"same size"]))


@dataclass(frozen=True)
class Step:
    """What happens at a path: a file, a link or a folder is made of what stands there, or it goes."""

    path: bytes
    kind: str
    mode: int
    content: bytes


STEPS = st.builds(
    Step, PATHS, st.sampled_from(["file", "file", "file", "link", "folder", "gone", "chmod"]), MODES, CONTENTS
)


def clear(path: bytes) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def carry_out(root: bytes, step: Step) -> None:
    """Whatever stands in the way goes first; links are never followed."""
    *folders, last = step.path.split(b"/")
    at = root
    for name in folders:
        at = os.path.join(at, name)
        if not os.path.isdir(at) or os.path.islink(at):
            clear(at)
            os.mkdir(at)
    path = os.path.join(at, last)
    if step.kind == "chmod":
        if os.path.isfile(path) and not os.path.islink(path):
            os.chmod(path, step.mode)
        return
    clear(path)
    if step.kind == "file":
        with open(path, "wb") as file:
            file.write(step.content)
        os.chmod(path, step.mode)
    elif step.kind == "link":
        os.symlink(step.content.replace(b"\0", b"") or b"x", path)
    elif step.kind == "folder":
        os.mkdir(path)


def play(batches: list[list[Step]]) -> None:
    """One store sees every batch; what it says must be the disk, and what a store that saw nothing else says."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work = folder / "work"
        work.mkdir()
        environ = {"HOME": name, "PATH": os.environ["PATH"]}
        checkpoints = Checkpoints(work, folder / "store", environ=environ)
        seen: dict[str, State] = {}
        for batch in batches:
            for step in batch:
                carry_out(os.fsencode(work), step)
            taken = checkpoints.take()
            state = on_disk(work)
            assert taken.missed == ()
            assert held(checkpoints, taken.tree) == state
            assert checkpoints.take() == taken
            # One name for one state, whenever it was seen.
            assert seen.setdefault(taken.tree, state) == state
            assert list(seen.values()).count(state) == 1
        assert Checkpoints(work, folder / "fresh", environ=environ).take() == taken
        assert Checkpoints(work, folder / "store", environ=environ).take() == taken
        for tree, state in seen.items():
            expected = {path for path in {**seen[taken.tree], **state} if seen[taken.tree].get(path) != state.get(path)}
            assert {change.path for change in checkpoints.changes(tree, taken.tree)} == expected
        checkpoints.close()


BATCHES = st.lists(st.lists(STEPS, min_size=1, max_size=8), min_size=1, max_size=4)
LOOSE = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=2, deadline=None, database=None, suppress_health_check=LOOSE)
@given(BATCHES)
def test_any_tree_comes_back(batches: list[list[Step]]) -> None:
    play(batches)


@pytest.mark.long
@pytest.mark.timeout(900)
@settings(max_examples=250, deadline=None, database=None, suppress_health_check=LOOSE)
@given(BATCHES)
def test_any_of_many_trees_comes_back(batches: list[list[Step]]) -> None:
    play(batches)


TAKER = """
import os, pathlib, sys
from kimi_agent.workspace.checkpoint import Checkpoints
work, store = map(pathlib.Path, sys.argv[1:3])
checkpoints = Checkpoints(work, store, environ=dict(os.environ))
print("ready", flush=True)
sys.stdin.readline()
print(checkpoints.take().tree, flush=True)
checkpoints.collect(keep_days=1, max_bytes=int(sys.argv[3]))
print("done", flush=True)
"""


@pytest.mark.long
@pytest.mark.timeout(600)
def test_after_a_kill_at_any_moment_the_store_works(tmp_path: Path) -> None:
    """SIGKILL while a snapshot is taken or old ones are removed; what was reported before stays readable."""
    work, store = tmp_path / "work", tmp_path / "store"
    work.mkdir()
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    chance = random.Random(4)
    states: dict[str, State] = {}
    cut = 0
    for number in range(60):
        for each in range(chance.choice([1, 3, 150])):
            (work / f"f{chance.randrange(400)}").write_bytes(chance.randbytes(chance.randrange(3_000)) + bytes([each]))
        child = subprocess.Popen(
            [sys.executable, "-c", TAKER, str(work), str(store), str(10_000_000 if number % 2 else 1)],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert child.stdin
        assert child.stdout
        assert child.stdout.readline() == b"ready\n"
        child.stdin.write(b"\n")
        child.stdin.flush()
        time.sleep(chance.uniform(0, 0.35))
        child.send_signal(signal.SIGKILL)
        said = child.stdout.read().split()
        child.wait()
        child.stdin.close()
        child.stdout.close()
        cut += b"done" not in said
        if said:
            states[said[0].decode()] = on_disk(work)
        checkpoints = Checkpoints(work, store, environ=environ)
        taken = checkpoints.take()
        assert held(checkpoints, taken.tree) == on_disk(work)
        states[taken.tree] = on_disk(work)
        for tree, state in list(states.items())[-5:]:
            assert held(checkpoints, tree) == state
        checkpoints.close()
    assert cut > 10
    for tree, state in states.items():
        assert held(checkpoints, tree) == state
    checkpoints.collect(keep_days=1, max_bytes=1)
    assert held(checkpoints, taken.tree) == on_disk(work)
    Git(store, git_dir=store, environ=environ).run("fsck", "--full", "--no-dangling")
    assert not list(store.glob("objects/**/tmp_*"))
    checkpoints.close()


@pytest.mark.long
@pytest.mark.timeout(300)
def test_twenty_thousand_files_come_back(tmp_path: Path) -> None:
    work = tmp_path / "work"
    for folder in range(200):
        below = work / f"p{folder % 7}" / f"m{folder}"
        below.mkdir(parents=True)
        for number in range(100):
            (below / f"f{number}").write_text(f"{folder} {number}\n" * (number % 9))
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    checkpoints = Checkpoints(work, tmp_path / "store", environ=environ)
    first = checkpoints.take()
    (work / "p3" / "m3" / "f5").chmod(0o600)
    shutil.rmtree(work / "p1")
    second = checkpoints.take()
    assert held(checkpoints, second.tree) == on_disk(work)
    gone = [change for change in checkpoints.changes(first.tree, second.tree) if change.after is None]
    assert len(gone) == 2_900
    assert len(checkpoints.changes(first.tree, second.tree)) == 2_901
    checkpoints.close()
