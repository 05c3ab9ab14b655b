"""After a kill at any system call of a commit, the next start brings the tree to old or new, never between.

Run as a script it forks what is to die and prints one JSON line for each kill.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.workspace.confined_open import ConfinedOpener
from kimi_agent.workspace.file_change import FileChange
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.files.outputs import Outputs
from kimi_agent.workspace.files.seen_files import SeenFiles
from kimi_agent.workspace.transaction import journal
from kimi_agent.workspace.transaction.syscalls import FileSyscalls

OLD = {"a.py": "old a\n", "bystander": "by\n", "gone.py": "going\n", "sub/b.py": "old b\n"}
NEW = {"a.py": "new a\n", "bystander": "by\n", "deep/er/new.py": "new\n", "moved.py": "going\n", "sub/b.py": "new b\n"}
FOREVER = 10**6


class Killed(BaseException):
    """Stands for a kill within one process: it comes at every further call, so no handler can do anything."""


def gone() -> None:
    raise Killed


def killed() -> None:
    os._exit(9)


class Dying(FileSyscalls):
    """Real system calls (without the wait for the disk) until the one numbered `last`; it and all after it `end`."""

    def __init__(self, last: int, end: Callable[[], None]) -> None:
        super().__init__(ConfinedOpener())
        self._left = last
        self._end = end

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if name.startswith("_"):
            return value
        if self._left == 0:
            self._end()
        self._left -= 1
        return (lambda fd: None) if name == "sync" else value


def opened(
    folder: Path, last: int = FOREVER, end: Callable[[], None] = gone, syscalls: FileSyscalls | None = None
) -> Files:
    outputs, seen_files = Outputs(folder / "state/outputs"), SeenFiles(lambda seen: None)
    papers = folder / "state/journal"
    return Files(
        folder / "ws",
        outputs=outputs,
        seen_files=seen_files,
        home=folder,
        journal=papers,
        syscalls=syscalls or Dying(last, end),
    )


def prepare(folder: Path) -> None:
    for name, text in OLD.items():
        path = folder / "ws" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def change(path: str) -> FileChange:
    before = hashlib.sha256(OLD[path].encode()).hexdigest() if path in OLD else None
    return FileChange(path, before, NEW[path].encode() if path in NEW else None)


ALL = ("a.py", "deep/er/new.py", "gone.py", "sub/b.py", "moved.py")


def contents(folder: Path) -> dict[str, str]:
    root = folder / "ws"
    return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


def in_child(folder: Path, at: int, changes: list[FileChange]) -> bool:
    """Commit in a child that is killed at call `at`; True if it lived to the end."""
    child = os.fork()
    if child == 0:
        try:
            opened(folder, at, killed).commit(changes)
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9), code
    return code == 0


def in_this_process(folder: Path, at: int, changes: list[FileChange]) -> bool:
    try:
        opened(folder, at).commit(changes)
    except Killed:
        return False
    return True


def recovered(folder: Path, at: int) -> bool:
    """Start again, killed at call `at`; True if it lived to the end."""
    try:
        opened(folder, at).recover()
    except Killed:
        return False
    return True


def sweep(
    base: Path, paths: Sequence[str], commit: Callable[[Path, int, list[FileChange]], bool], recoveries: int
) -> Iterator[list[Any]]:
    """Kill commits of `paths` at each call, and then `recoveries` starts at each call, before one may go through."""
    changes = [change(path) for path in paths]
    at, lived = 0, False
    while not lived:
        second, through = 0, False
        while not through:
            folder = base / f"{at} {second}"
            prepare(folder)
            lived = commit(folder, at, changes)
            through = True
            for _ in range(recoveries):
                through = recovered(folder, second)
            recovered(folder, FOREVER)
            left = [str(path) for path in (folder / "state").rglob("*.journal")]
            left += [str(path) for path in (folder / "ws").rglob("*") if path.is_dir() and not any(path.iterdir())]
            yield [at, lived, contents(folder), left]
            second += 1
        at += 1


def judge(told: Iterable[list[Any]], paths: Sequence[str]) -> None:
    new = {name: text for name, text in OLD.items() if name not in paths}
    new |= {path: NEW[path] for path in paths if path in NEW}
    seen, last = [], 0
    for at, lived, found, left in told:
        assert left == [], at
        assert found in (OLD, new), at
        assert not lived or found == new, at
        seen.append(found == new)
        last = at
    assert seen[0] is False
    assert seen[-1] is True
    assert seen == sorted(seen), "once it is new it stays new"
    assert last >= 10


def test_a_kill_at_any_call_leaves_old_or_new_after_the_next_start(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(Path(journal.__file__).parents[3])}
    command = [sys.executable, __file__, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    assert run.stderr == ""
    judge((json.loads(line) for line in run.stdout.splitlines()), ALL)


@pytest.mark.long
@pytest.mark.parametrize(
    ("paths", "recoveries"), [(ALL[1:3], 1), (ALL[2:4], 2), (ALL[:1], 1), (ALL[1:2], 1), (ALL[2:3], 1)]
)
def test_starts_that_are_killed_too_change_nothing_about_that(
    tmp_path: Path, paths: tuple[str, ...], recoveries: int
) -> None:
    judge(sweep(tmp_path, paths, in_this_process, recoveries), paths)


class Failing(Dying):
    """Its `at`-th call to `name` fails; from then on it lives for `last` calls more."""

    def __init__(self, name: str, at: int, last: int) -> None:
        super().__init__(FOREVER, gone)
        self._name = name
        self._at = at
        self._last = last

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_"):
            return object.__getattribute__(self, name)
        self._at -= name == self._name
        if self._at == 0 and name == self._name:
            self._left = self._last
            raise OSError(5, "Input/output error")
        return super().__getattribute__(name)


@pytest.mark.parametrize(("call", "at"), [("rename", 1), ("rename", 2), ("rename", 3), ("link", 3), ("write", 2)])
def test_a_kill_while_an_error_is_undone_leaves_the_old_tree_after_the_next_start(
    tmp_path: Path, call: str, at: int
) -> None:
    outcomes = []
    for last in range(FOREVER):
        folder = tmp_path / str(last)
        prepare(folder)
        try:
            opened(folder, syscalls=Failing(call, at, last)).commit([change(path) for path in ALL])
        except Killed:
            notes = opened(folder).recover()
        except ToolError as error:
            outcomes.append(error.code)
            notes = opened(folder).recover()
        assert not any("somebody else" in note for note in notes), last
        if last == 0 and contents(folder) == NEW:
            continue  # gone before it could say that it wants to undo: then it is finished
        assert contents(folder) == OLD, last
        assert not (folder / "ws/deep").exists(), last
        if outcomes:
            assert (outcomes, last > 5) == (["io"], True)
            return


def test_a_journal_whose_owner_lives_is_left_alone(tmp_path: Path) -> None:
    prepare(tmp_path)
    papers = tmp_path / "state/journal"
    entry = journal.JournalEntry(str(tmp_path / "ws"), "", "a.py", "a.py", None, "")
    paper = journal.write_journal(papers, journal.CommitRecord(str(tmp_path / "ws"), ".kimi-agent-x", (entry,)))
    temp = tmp_path / "ws/.kimi-agent-x.0.new"
    temp.write_text("half")
    recovered(tmp_path, FOREVER)
    assert temp.exists()
    paper.close()
    recovered(tmp_path, FOREVER)
    assert not temp.exists()
    assert list(papers.iterdir()) == []


def test_the_journal_of_another_workspace_is_left_for_its_own_start(tmp_path: Path) -> None:
    prepare(tmp_path)
    entry = journal.JournalEntry("/elsewhere", "", "a.py", "a.py", None, "")
    journal.write_journal(
        tmp_path / "state/journal", journal.CommitRecord("/elsewhere", ".kimi-agent-x", (entry,))
    ).close()
    assert opened(tmp_path).recover() == []
    assert len(list((tmp_path / "state/journal").iterdir())) == 1


def test_a_torn_journal_means_that_nothing_was_touched(tmp_path: Path) -> None:
    prepare(tmp_path)
    papers = tmp_path / "state/journal"
    papers.mkdir(parents=True)
    (papers / "x.journal").write_text('P{"workspace": "')
    assert opened(tmp_path).recover() == []
    assert list(papers.iterdir()) == []
    assert contents(tmp_path) == OLD


def test_what_a_person_wrote_after_the_crash_is_not_run_over(tmp_path: Path) -> None:
    prepare(tmp_path)
    root = tmp_path / "ws"
    entries = tuple(
        journal.JournalEntry(str(root), *each)
        for each in (
            ("", "a.py", "a.py", sha(OLD["a.py"]), sha(NEW["a.py"])),
            ("sub", "b.py", "sub/b.py", sha(OLD["sub/b.py"]), sha(NEW["sub/b.py"])),
        )
    )
    paper = journal.write_journal(tmp_path / "state/journal", journal.CommitRecord(str(root), ".kimi-agent-x", entries))
    paper.mark("R")
    paper.close()
    (root / ".kimi-agent-x.0.new").write_text(NEW["a.py"])
    (root / "sub/.kimi-agent-x.1.new").write_text(NEW["sub/b.py"])
    (root / "sub/b.py").write_text("by a person\n")
    assert opened(tmp_path).recover() == [
        "finished a change that was cut short: a.py, sub/b.py",
        "sub/b.py: changed by somebody else meanwhile, left as it is",
    ]
    assert contents(tmp_path) == OLD | {"a.py": NEW["a.py"], "sub/b.py": "by a person\n"}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    for line in sweep(Path(sys.argv[1]), ALL, in_child, 0):
        print(json.dumps(line), flush=True)
