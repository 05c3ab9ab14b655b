"""No process outlives the run that started it, however it hides and however the run ends."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kimi_agent.workspace.process import process_tree
from kimi_agent.workspace.process.process_runner import ProcessRunner
from kimi_agent.workspace.process.process_table import has_proc, parse_ps_output, read_process_table
from kimi_agent.workspace.process.process_tree import kill_leftover_runs
from tests.builders import make_runner

pytestmark = pytest.mark.skipif(not has_proc(), reason="looks for survivors in /proc")

# Forks twice, starts its own session, wipes nothing or all of its environment; prints when the daemon is up.
DAEMON = """
import os, sys, signal, time
up, ready = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if "wipe" in sys.argv:
            os.write(ready, b"x")
            os.execve("/bin/sleep", ["sleep", "999" + sys.argv[1]], {})
        os.write(ready, b"x")
        time.sleep(999)
    os._exit(0)
os.read(up, 1)
print("up", flush=True)
"""


@pytest.fixture
def token() -> str:
    """A number that stands in the command line of what a test starts, and nowhere else."""
    return str(10**11 + secrets.randbelow(10**11))


@pytest.fixture
async def runner(workspace: Path, tmp_path: Path) -> AsyncIterator[ProcessRunner]:
    (tmp_path / "daemon.py").write_text(DAEMON)
    runner = make_runner(workspace, tmp_path)
    yield runner
    await runner.aclose()


def alive(token: str) -> list[int]:
    """The living processes with `token` in their command line."""
    found = []
    for pid, process in read_process_table().items():
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if token.encode() in line and not process.zombie and pid != os.getpid():
            found.append(pid)
    return found


def zombies() -> set[int]:
    return {pid for pid, each in read_process_table().items() if each.zombie and each.ppid == os.getpid()}


def daemon(tmp_path: Path, token: str, *more: str) -> str:
    return f"'{sys.executable}' -S -E '{tmp_path}/daemon.py' {token} {' '.join(more)}"


async def cancelled_when_up(runner: ProcessRunner, command: str, token: str) -> None:
    """Run `command` and cancel it as soon as it prints."""
    up = asyncio.Event()
    running = asyncio.create_task(runner.shell(command, timeout_s=60, on_output=lambda line: up.set()))
    await up.wait()
    assert alive(token)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_timeout_leaves_nobody(runner: ProcessRunner, tmp_path: Path, token: str) -> None:
    before = zombies()  # what tests of other rooms left to this process, a subreaper by now
    command = f"(setsid sleep {token} &); setsid sleep {token} & sleep {token} & echo up; sleep {token}"
    done = await runner.shell(command, timeout_s=1)
    assert done.timed_out
    assert done.text.startswith("up\n")
    assert alive(token) == []
    assert zombies() <= before
    assert list((tmp_path / "running").iterdir()) == []


async def test_who_ignores_sigterm_is_killed_after_two_seconds(runner: ProcessRunner, token: str) -> None:
    done = await runner.shell(f"trap '' TERM; echo up; sleep {token}; sleep {token}", timeout_s=0.5)
    assert done.timed_out
    assert alive(token) == []


@pytest.mark.parametrize("wipe", ["", "wipe"])
async def test_a_cancelled_daemon_is_dead_before_the_next_run(
    runner: ProcessRunner, tmp_path: Path, token: str, wipe: str
) -> None:
    before = zombies()
    await cancelled_when_up(runner, f"{daemon(tmp_path, token, wipe)}; sleep {token}", token)
    await runner.wait_until_dead()
    assert alive(token) == []
    assert zombies() <= before
    assert (await runner.shell("echo next", timeout_s=30)).text == "next\n"


@pytest.mark.parametrize("wipe", ["", "wipe"])
async def test_a_daemon_lives_on_after_its_command_and_ends_with_the_session(
    runner: ProcessRunner, tmp_path: Path, token: str, wipe: str
) -> None:
    done = await runner.shell(f"{daemon(tmp_path, token, wipe)} >log; cat log", timeout_s=60)
    assert (done.exit_code, done.text) == (0, "up\n")
    assert "still running in the background" in done.note
    assert len(alive(token)) == 1
    assert (await runner.shell("true", timeout_s=30)).note == ""
    assert len(alive(token)) == 1
    runner.kill_all()
    assert alive(token) == []
    assert list((tmp_path / "running").iterdir()) == []


async def test_a_later_timeout_spares_an_earlier_background_process(runner: ProcessRunner, token: str) -> None:
    await runner.shell(f"sleep {token} >/dev/null 2>&1 &", timeout_s=30)
    await runner.shell("sleep 999", timeout_s=0.2)
    assert len(alive(token)) == 1


async def test_too_much_output_kills_the_tree(runner: ProcessRunner, token: str) -> None:
    done = await runner.shell(f"sleep {token} & yes", timeout_s=60)
    assert (done.exit_code, done.cut_off, done.timed_out) == (None, True, False)
    assert 64 * 1024 * 1024 < done.total_bytes < 65 * 1024 * 1024
    assert done.text.startswith("y\ny\n")
    assert alive(token) == []


async def test_closing_wakes_who_still_waits(runner: ProcessRunner, token: str) -> None:
    up = asyncio.Event()
    running = asyncio.create_task(
        runner.shell(f"echo up; sleep {token}", timeout_s=60, on_output=lambda line: up.set())
    )
    await up.wait()
    await runner.aclose()
    assert (await running).exit_code == 137
    assert alive(token) == []


async def test_a_fork_bomb_is_ended_by_its_timeout(runner: ProcessRunner, token: str) -> None:
    # Bounded in depth, or a broken test would take the machine.
    bomb = f"b() {{ [ $1 -gt 6 ] && exec sleep {token}; b $(($1 + 1)) & b $(($1 + 1)) & wait; }}; b 0"
    done = await runner.shell(bomb, timeout_s=1)
    assert done.timed_out
    assert alive(token) == []


async def test_a_process_that_someone_else_started_is_neither_killed_nor_reaped(
    runner: ProcessRunner, tmp_path: Path, token: str
) -> None:
    with (
        subprocess.Popen(["sleep", token]) as other,
        subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"], start_new_session=True) as ended,
    ):
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # a zombie now, as asyncio's children are for a moment
        await runner.shell(f"{daemon(tmp_path, token)} >/dev/null", timeout_s=30)
        runner.kill_all()
        assert alive(token) == [other.pid]
        assert ended.wait() == 7
        other.kill()


async def test_two_runners_do_not_touch_each_other(
    runner: ProcessRunner, workspace: Path, tmp_path: Path, token: str
) -> None:
    other = make_runner(workspace, tmp_path / "other")
    await runner.shell("echo x", timeout_s=30)
    await other.shell(f"{daemon(tmp_path, token)} >/dev/null", timeout_s=30)
    running = asyncio.create_task(runner.shell("sleep 999", timeout_s=60))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    runner.kill_all()
    assert len(alive(token)) == 1
    await other.aclose()
    assert alive(token) == []


async def test_a_run_within_a_run_is_found_by_the_outer_one(
    runner: ProcessRunner, workspace: Path, tmp_path: Path, token: str
) -> None:
    inner = f"""
import asyncio, os
from pathlib import Path
from tests.builders import make_runner
async def main():
    here = Path({str(workspace)!r})
    runner = make_runner(here, here)
    await runner.shell({daemon(tmp_path, token) + " >/dev/null"!r}, timeout_s=60)
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    repository = str(Path(process_tree.__file__).parents[3])
    await runner.run([sys.executable, "-c", inner], timeout_s=60, env={"PYTHONPATH": repository})
    assert len(alive(token)) == 1
    runner.kill_all()
    assert alive(token) == []


OWNER = """
import asyncio, os, sys
from pathlib import Path
from tests.builders import make_runner
async def main(root, state, command):
    runner = make_runner(root, state)
    await runner.shell(command, timeout_s=60, on_output=lambda line: print(line, flush=True))
asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
"""


def test_what_a_killed_owner_left_is_swept_at_the_next_start(workspace: Path, tmp_path: Path, token: str) -> None:
    (tmp_path / "daemon.py").write_text(DAEMON)
    command = f"{daemon(tmp_path, token)}; env -i sleep {token} & sleep {token}"
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(workspace), str(tmp_path), command],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(process_tree.__file__).parents[3])},
    )
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        assert kill_leftover_runs(tmp_path / "running") == 0  # it lives: not ours to end
        assert alive(token)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    assert kill_leftover_runs(tmp_path / "running") >= 2
    assert alive(token) == []
    assert list((tmp_path / "running").iterdir()) == []
    assert kill_leftover_runs(tmp_path / "running") == 0


def test_a_sweep_touches_nothing_without_the_mark(tmp_path: Path, token: str) -> None:
    register = tmp_path / "running"
    with (
        subprocess.Popen(["true"]) as dead,
        subprocess.Popen(["sleep", token], start_new_session=True) as innocent,
    ):
        os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)
        register.mkdir()
        record = process_tree.run_record_json(process_tree.ProcessTree(leader=innocent.pid), owner=dead.pid)
        (register / "stale").write_text(record)
        (register / "torn").write_text(record[:20])
        (register / "garbage").write_bytes(b"\xff[]")
        assert kill_leftover_runs(register) == 0
        assert alive(token) == [innocent.pid]
        innocent.kill()
    assert list(register.iterdir()) == []


def test_a_sweep_of_a_folder_that_is_not_there_is_quiet(tmp_path: Path) -> None:
    assert kill_leftover_runs(tmp_path / "never") == 0


def test_the_answer_of_ps_is_read_where_there_is_no_proc() -> None:
    table = parse_ps_output("    1     0     1 Ss\n   42     1    42 R+\n  43    42    42 Z+\ngarbage\n")
    assert {pid: (each.ppid, each.sid, each.zombie) for pid, each in table.items()} == {
        1: (0, 1, False),
        42: (1, 42, False),
        43: (42, 42, True),
    }


def test_a_process_with_a_wild_name_is_read(tmp_path: Path) -> None:
    program = tmp_path / "a) S 1 (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "999"]) as started:
        deadline = time.monotonic() + 30
        while b"999" not in Path(f"/proc/{started.pid}/cmdline").read_bytes():
            assert time.monotonic() < deadline
        assert read_process_table()[started.pid].ppid == os.getpid()
        started.kill()
