"""After a kill at any system call of a commit, the next start brings the tree to old or new, never between."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.workspace.file_change import FileChange
from kimi_agent.workspace.transaction import journal
from kimi_agent.workspace.transaction.syscalls import FileSyscalls
from tests.golden_texts import Golden
from tests.workspace.fault_injection import (
    FOREVER,
    Killed,
    Run,
    WatchedSyscalls,
    assert_old_then_new,
    fail_then_kill,
    journals,
    open_files,
    read_tree,
    run_as_script,
    survives_here,
    survives_in_child,
    write_tree,
)

OLD = {"a.py": "644 old a\n", "bystander": "644 by\n", "gone.py": "644 going\n", "sub/b.py": "644 old b\n"}
NEW = {
    "a.py": "644 new a\n",
    "bystander": "644 by\n",
    "deep/er/new.py": "644 new\n",
    "moved.py": "644 going\n",
    "sub/b.py": "644 new b\n",
}
ALL = ("a.py", "deep/er/new.py", "gone.py", "sub/b.py", "moved.py")


def workspace(folder: Path) -> Path:
    return folder / "a workspace"


def prepare(folder: Path) -> None:
    write_tree(workspace(folder), OLD)


def content(what: str) -> bytes:
    return what.partition(" ")[2].encode()


def sha(what: str) -> str:
    return hashlib.sha256(content(what)).hexdigest()


def change(path: str) -> FileChange:
    return FileChange(path, sha(OLD[path]) if path in OLD else None, content(NEW[path]) if path in NEW else None)


def commit(folder: Path, changes: list[FileChange], syscalls: FileSyscalls) -> None:
    open_files(folder, syscalls).commit(changes)


def start(folder: Path, at: int = FOREVER) -> bool:
    """Start again, killed at call `at`; True if it lived to the end."""
    return survives_here(at, lambda syscalls: open_files(folder, syscalls).recover())


def sweep(base: Path, paths: Sequence[str], run: Run, starts: int) -> Iterator[list[Any]]:
    """Kill commits of `paths` at each call, and then `starts` starts at each call, before one may go through."""
    changes = [change(path) for path in paths]
    at, lived = 0, False
    while not lived:
        last, through = 0, False
        while not through:
            folder = base / f"{at} {last}"
            prepare(folder)
            lived = run(at, partial(commit, folder, changes))
            through = True
            for _ in range(starts):
                through = start(folder, last)
            start(folder)
            yield [at, lived, read_tree(workspace(folder)), journals(folder)]
            last += 1
        at += 1


def sweep_in_children(base: str) -> Iterator[list[Any]]:
    return sweep(Path(base), ALL, survives_in_child, 0)


def judge(rows: Iterable[list[Any]], paths: Sequence[str]) -> None:
    new = {name: text for name, text in OLD.items() if name not in paths}
    new |= {path: NEW[path] for path in paths if path in NEW}
    is_new, last = [], 0
    for at, lived, found, left in rows:
        assert left == [], at
        assert found in (OLD, new), at
        assert not lived or found == new, at
        is_new.append(found == new)
        last = at
    assert_old_then_new(is_new)
    assert last >= 10


def test_a_kill_at_any_call_leaves_old_or_new_after_the_next_start(tmp_path: Path) -> None:
    judge(run_as_script(sweep_in_children, tmp_path), ALL)


@pytest.mark.long
@pytest.mark.parametrize(
    ("paths", "starts"), [(ALL[1:3], 1), (ALL[2:4], 2), (ALL[:1], 1), (ALL[1:2], 1), (ALL[2:3], 1)]
)
def test_starts_that_are_killed_too_change_nothing_about_that(
    tmp_path: Path, paths: tuple[str, ...], starts: int
) -> None:
    judge(sweep(tmp_path, paths, survives_here, starts), paths)


@pytest.mark.parametrize(("call", "nth"), [("rename", 1), ("rename", 2), ("rename", 3), ("link", 3), ("write", 2)])
def test_a_kill_while_an_error_is_undone_leaves_the_old_tree_after_the_next_start(
    tmp_path: Path, call: str, nth: int
) -> None:
    for further in range(FOREVER):
        folder = tmp_path / str(further)
        prepare(folder)
        code = ""
        try:
            commit(folder, [change(path) for path in ALL], WatchedSyscalls(fail_then_kill(call, nth, further)))
        except Killed:
            pass
        except ToolError as error:
            code = error.code
        notes = open_files(folder).recover()
        assert not any("somebody else" in note for note in notes), further
        if further == 0 and read_tree(workspace(folder)) == NEW:
            continue  # gone before it could say that it wants to undo: then it is finished
        assert read_tree(workspace(folder)) == OLD, further
        if code:
            assert (code, further > 5) == ("io", True)
            return


def test_a_journal_whose_owner_lives_is_left_alone(tmp_path: Path) -> None:
    prepare(tmp_path)
    papers = tmp_path / "state/journal"
    entry = journal.JournalEntry(str(workspace(tmp_path)), "", "a.py", "a.py", None, "")
    paper = journal.write_journal(papers, journal.CommitRecord(str(workspace(tmp_path)), ".kimi-agent-x", (entry,)))
    temp = workspace(tmp_path) / ".kimi-agent-x.0.new"
    temp.write_text("half")
    start(tmp_path)
    assert temp.exists()
    paper.close()
    start(tmp_path)
    assert not temp.exists()
    assert journals(tmp_path) == []


def test_the_journal_of_another_workspace_is_left_for_its_own_start(tmp_path: Path) -> None:
    prepare(tmp_path)
    entry = journal.JournalEntry("/elsewhere", "", "a.py", "a.py", None, "")
    journal.write_journal(
        tmp_path / "state/journal", journal.CommitRecord("/elsewhere", ".kimi-agent-x", (entry,))
    ).close()
    assert open_files(tmp_path).recover() == []
    assert len(journals(tmp_path)) == 1


def test_a_torn_journal_means_that_nothing_was_touched(tmp_path: Path) -> None:
    prepare(tmp_path)
    papers = tmp_path / "state/journal"
    papers.mkdir(parents=True)
    (papers / "x.journal").write_text('P{"workspace": "')
    assert open_files(tmp_path).recover() == []
    assert journals(tmp_path) == []
    assert read_tree(workspace(tmp_path)) == OLD


def test_what_a_person_wrote_after_the_crash_is_not_run_over(tmp_path: Path, golden: Golden) -> None:
    prepare(tmp_path)
    root = workspace(tmp_path)
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
    (root / ".kimi-agent-x.0.new").write_bytes(content(NEW["a.py"]))
    (root / "sub/.kimi-agent-x.1.new").write_bytes(content(NEW["sub/b.py"]))
    (root / "sub/b.py").write_text("by a person\n")
    golden(*open_files(tmp_path).recover())
    assert read_tree(workspace(tmp_path)) == OLD | {"a.py": NEW["a.py"], "sub/b.py": "644 by a person\n"}
