"""A real bug of a real project through the whole program, and the same run killed again and again.

Needs the package index: `python -m pytest tests/real -m real -s`. KILLS sets how often the second test kills (60).
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.real, pytest.mark.timeout(3600)]

HERE = Path(__file__).resolve().parent
PROGRAM = (sys.executable, "-P", "-m", "kimi_agent")
PATIENCE_S = 300
MARK = '''
import os
from kimi_agent.tool import Context, tool

@tool(effect="write")
async def mark(ctx: Context) -> str:
    """Write down this call."""
    fd = os.open({path!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (ctx.call_id + "\\n").encode())
    os.close(fd)
    return "marked " + ctx.call_id  # the same words each time would be a loop to the loop guard
'''


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """xmltodict 0.14.1 as its sdist has it, with the tests of 0.14.2."""
    folder = tmp_path_factory.mktemp("sdist")
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "-d", str(folder))
    for version in ("0.14.1", "0.14.2"):
        subprocess.run((*pip, f"xmltodict=={version}"), check=True, timeout=PATIENCE_S)
        with tarfile.open(folder / f"xmltodict-{version}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    old, new = folder / "xmltodict-0.14.1", folder / "xmltodict-0.14.2"
    shutil.rmtree(old / "tests")
    shutil.copytree(new / "tests", old / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("xmltodict.egg-info", "__pycache__"):
        shutil.rmtree(old / name, ignore_errors=True)
    return old


@dataclass(frozen=True)
class Place:
    """A repository of its own, with a home of its own beside it."""

    repository: Path
    home: Path
    environ: Mapping[str, str]

    @property
    def marks(self) -> list[str]:
        path = self.home / "marks.txt"
        return path.read_text().split() if path.exists() else []

    @property
    def said(self) -> Path:
        return self.home.parent / "said.txt"

    @property
    def logs(self) -> list[Path]:
        return sorted((self.home / "state").rglob("*.jsonl"))

    def records(self) -> dict[Path, bytes]:
        """The complete records of every log file, byte for byte."""
        return {path: data[: data.rfind(b"\n") + 1] for path in self.logs for data in [path.read_bytes()]}

    def count(self) -> int:
        """How many complete records there are."""
        return sum(path.read_bytes().count(b"\n") for path in self.logs)

    def tests_pass(self) -> bool:
        argv = (sys.executable, "-m", "unittest", "-q", "tests.test_xmltodict", "tests.test_dicttoxml")
        env = {**self.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(argv, cwd=self.repository, env=env, capture_output=True, check=False).returncode == 0


def place(folder: Path, source: Path, base_url: str) -> Place:
    repository = folder / "xml to dict"
    shutil.copytree(source, repository)
    home = folder / "home"
    (home / "tools").mkdir(parents=True)
    (home / "tools/mark.py").write_text(MARK.format(path=str(home / "marks.txt")))
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", "-C", str(repository))
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "0.14.1 with the tests of 0.14.2")):
        subprocess.run((*git, *words), check=True)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("KIMI_", "MOONSHOT_"))}
    environ |= {"KIMI_BASE_URL": base_url, "KIMI_AGENT_HOME": str(home), "PYTHONPATH": str(HERE.parent.parent)}
    return Place(repository, home, environ)


@dataclass(frozen=True)
class Mock:
    base_url: str
    log: Path

    def complaints(self) -> list[str]:
        """What the strict server did not take."""
        return self.log.read_text().splitlines()[1:]


@contextmanager
def mock(tape: Path, folder: Path) -> Iterator[Mock]:
    log = folder / "mock.txt"
    env = {**os.environ, "PYTHONPATH": str(HERE.parent.parent)}
    with log.open("wb") as out:
        server = subprocess.Popen((*PROGRAM, "mock", str(tape)), stdout=out, stderr=out, env=env)
    try:
        end = time.monotonic() + 60
        while not log.read_bytes().endswith(b"\n"):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end
            time.sleep(0.05)
        yield Mock(log.read_text().split("\n")[0].strip(), log)
    finally:
        server.terminate()
        server.wait(10)


def start(at: Place, *words: str, prompt: bytes) -> subprocess.Popen[bytes]:
    """The program on `prompt`; what it says goes to a file, which no surviving child can hold us up with."""
    said = at.said.open("wb")
    process = subprocess.Popen(
        (*PROGRAM, "-p", "-y", *words),
        cwd=at.repository,
        env=at.environ,
        stdin=subprocess.PIPE,
        stdout=said,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    said.close()
    assert process.stdin is not None
    with process.stdin as pipe:
        pipe.write(prompt)
    return process


def test_a_real_bug_goes_from_red_to_green(source: Path, tmp_path: Path) -> None:
    with mock(HERE / "fix.jsonl", tmp_path) as server:
        at = place(tmp_path / "run", source, server.base_url)
        assert not at.tests_pass()
        began = time.monotonic()
        process = start(at, prompt=(HERE / "issue.md").read_bytes())
        process.wait(PATIENCE_S)
        took_s = time.monotonic() - began
        print(f"\n{at.said.read_text()}\nxmltodict 0.14.1: exit {process.returncode} after {took_s:.1f} s")
        assert server.complaints() == []
    assert process.returncode == 0
    assert at.tests_pass()
    changed = subprocess.run(("git", "status", "--short"), cwd=at.repository, capture_output=True, check=True).stdout
    assert changed == b" M xmltodict.py\n"


def test_a_run_that_is_killed_again_and_again_loses_and_repeats_nothing(source: Path, tmp_path: Path) -> None:
    wanted = int(os.environ.get("KILLS", "60"))
    rng = random.Random(os.environ.get("SEED", "1"))
    landed: Counter[str] = Counter()
    kills = rounds = 0
    issue = (HERE / "issue.md").read_bytes()
    with mock(HERE / "killed.jsonl", tmp_path) as server:
        whole_s = _undisturbed(place(tmp_path / "whole", source, server.base_url), issue)
        while kills < wanted:
            rounds += 1
            at = place(tmp_path / f"round {rounds}", source, server.base_url)
            done = False
            while not done:
                before = at.records()
                process = start(at, *(("-c",) if before else ()), prompt=b"Go on." if before else issue)
                done = not _killed(process, _instant(at, rng, whole_s) if kills < wanted else lambda: False)
                _check(at, before)
                if done:
                    assert process.returncode == 0, at.said.read_text()
                else:
                    kills += 1
                    landed[_last_event(at)] += 1
                assert server.complaints() == []
            assert at.tests_pass(), f"round {rounds} ended red"
            assert _survivors(at) == []
    print(f"\nan undisturbed run takes {whole_s:.1f} s; {kills} kills in {rounds} sessions, each ended green")
    print("the last complete record when the kill came:")
    for name, count in landed.most_common():
        print(f"  {name:<14} {count:>4}")


def _undisturbed(at: Place, issue: bytes) -> float:
    began = time.monotonic()
    process = start(at, prompt=issue)
    process.wait(PATIENCE_S)
    assert process.returncode == 0, at.said.read_text()
    assert at.tests_pass()
    assert len(at.marks) == len(set(at.marks)) == 11
    return time.monotonic() - began


def _instant(at: Place, rng: random.Random, whole_s: float) -> Callable[[], bool]:
    """When to kill: at some time, or as soon as some number of further records is in the log."""
    if rng.random() < 0.4:
        end = time.monotonic() + rng.uniform(0, whole_s)
        return lambda: time.monotonic() >= end
    count = at.count() + rng.randint(1, 30)
    return lambda: at.count() >= count


def _killed(process: subprocess.Popen[bytes], due: Callable[[], bool]) -> bool:
    """Kill the process when it is `due`; False where it ended by itself before."""
    end = time.monotonic() + PATIENCE_S
    while not due():
        if process.poll() is not None:
            return False
        assert time.monotonic() < end, "the run hangs"
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def _survivors(at: Place) -> list[str]:
    """Processes that still live in the repository (where /proc shows them)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(at.repository):
                found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


def _check(at: Place, before: Mapping[Path, bytes]) -> None:
    after = at.records()
    for path, records in before.items():
        assert after[path].startswith(records), f"a complete record of {path.name} was lost or changed"
    marks = at.marks
    assert len(marks) == len(set(marks)), f"a call ran twice: {marks}"


def _last_event(at: Place) -> str:
    lines = [line for data in at.records().values() for line in data.split(b"\n") if line]
    if not lines:
        return "(nothing yet)"
    for name in ("Opened", "Said", "Requested", "CallStarted", "Returned", "Seen", "TurnEnded", "Recovered", "Noted"):
        if f'"{name}"'.encode() in lines[-1]:
            return name
    return "other"
