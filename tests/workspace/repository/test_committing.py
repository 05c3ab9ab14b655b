"""Auto-commit: the agent's own changes, on a branch, and nothing of the person's."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from kimi_agent.log.views import Evidence
from kimi_agent.workspace.checkpoint import Checkpoints
from kimi_agent.workspace.repository.agent_changes import AgentChange, chain_states, find_agent_changes
from kimi_agent.workspace.repository.blob_writer import FileContent
from kimi_agent.workspace.repository.commit_message import (
    CommitContext,
    branch_slug,
    subject_line,
    write_commit_message,
)
from kimi_agent.workspace.repository.git_commit import BranchChoice, CommitResult, NotCommitted, commit_agent_changes
from tests.golden_texts import Golden
from tests.workspace.own_repository import OwnRepository, own_repository

STORY = CommitContext(
    "Fix the parser", "s-1", Evidence("verified", tree="abc123def456789", passed=14, fixed=("t.py::test_a",))
)


@pytest.fixture
def own(tmp_path: Path) -> OwnRepository:
    return own_repository(tmp_path)


def changed(path: str, before: str | bytes | None, after: str | bytes | None, mode: int = 0o644) -> AgentChange:
    def content(text: str | bytes | None) -> FileContent | None:
        return None if text is None else FileContent(text.encode() if isinstance(text, str) else text, mode)

    return AgentChange(path, content(before), content(after))


def committed(
    own: OwnRepository, *changes: AgentChange, branch: BranchChoice = "own", at: str = "", story: CommitContext = STORY
) -> CommitResult:
    return commit_agent_changes(own.root / at, changes, story, branch=branch, environ=own.environ)


def refusal(own: OwnRepository, changes: Sequence[AgentChange] = (changed("a", None, "x"),)) -> str:
    with pytest.raises(NotCommitted) as refused:
        committed(own, *changes)
    return str(refused.value)


def test_the_agents_change_alone_is_committed_on_a_branch_of_its_own(own: OwnRepository, golden: Golden) -> None:
    start = own.commit({"a.py": "one\n", "b.py": "b\n", "staged.py": "s\n", "gone.py": "g\n"})
    own.write("b.py", "the person's\n")
    own.write("new-of-theirs.txt", "mine\n")
    own.write("staged.py", "staged\n")
    own.git("add", "staged.py")
    own.write("a.py", "two\n")
    own.write("sub/new.py", "n\n").chmod(0o755)
    (own.root / "gone.py").unlink()

    done = committed(
        own,
        changed("a.py", "one\n", "one and a half\n"),
        changed("sub/new.py", None, "n\n", 0o755),
        changed("a.py", "one and a half\n", "two\n"),
        changed("gone.py", "g\n", None),
        changed("came-and-went", None, "x"),
        changed("came-and-went", "x", None),
    )

    assert (done.base, done.files) == ("main", ("a.py", "gone.py", "sub/new.py"))
    assert own.git("rev-parse", "main", "HEAD~", "kimi-agent/fix-the-parser").split() == [start, start, done.commit]
    assert own.git("show", "--format=%an <%ae>|%cn", "--name-status", "HEAD").split("\n") == [
        "Ada <ada@example.com>|Ada",
        "",
        "M\ta.py",
        "D\tgone.py",
        "A\tsub/new.py",
    ]
    assert own.git("ls-tree", "HEAD", "sub/new.py").startswith("100755")
    assert own.git("status", "--porcelain", "--branch").split("\n") == [
        "## kimi-agent/fix-the-parser",
        " M b.py",
        "M  staged.py",
        "?? new-of-theirs.txt",
    ]
    golden(*done.sentences, own.git("log", "-1", "--format=%B").rstrip(), COMMIT=done.commit[:10])
    assert own.git("log", "-1", "--format=%(trailers:key=Kimi-Agent-Session,valueonly)").strip() == "s-1"

    again = committed(own, changed("a.py", "two\n", "three\n"))

    assert (again.branch, again.base) == ("kimi-agent/fix-the-parser", "")
    assert own.git("rev-parse", "HEAD~") == done.commit


def test_the_persons_edits_in_the_same_file_stay_out_of_the_commit(own: OwnRepository, golden: Golden) -> None:
    lines = [f"line {number}\n" for number in range(1, 21)]
    text = "".join(lines)
    theirs = text.replace("line 2\n", "line 2, theirs\n")
    both = theirs.replace("line 18\n", "line 18, the agent's\n")
    own.commit({"far.txt": text, "near.txt": text, "staged.txt": text, "clash.txt": text, "untouched": "u"})
    for path in ("staged.txt", "clash.txt"):
        own.write(path, theirs)
        own.git("add", path)
    near = theirs.replace("line 2, theirs\n", "line 2, the agent's\n")
    for path, now in {
        "far.txt": both,
        "near.txt": near,
        "staged.txt": both,
        "clash.txt": both,
        "mine.txt": "b",
    }.items():
        own.write(path, now)

    done = committed(
        own,
        changed("far.txt", theirs, both),
        changed("near.txt", theirs, near),
        changed("staged.txt", theirs, both),
        changed("clash.txt", theirs, both),
        # Between two calls the person wrote into the file once more.
        changed("clash.txt", both.replace("10\n", "10, theirs\n"), both.replace("10\n", "10, the agent's\n")),
        changed("mine.txt", "a", "b"),
    )

    assert done.files == ("far.txt", "staged.txt")
    golden(*done.left_out)
    agents = text.replace("line 18\n", "line 18, the agent's\n")
    assert own.git("show", "HEAD:far.txt") + "\n" == agents
    assert own.git("show", "HEAD:staged.txt") + "\n" == agents
    assert own.git("show", ":staged.txt") + "\n" == both
    assert own.git("status", "--porcelain").split("\n") == [
        "MM clash.txt",
        " M far.txt",
        " M near.txt",
        "M  staged.txt",
        "?? mine.txt",
    ]
    assert own.git("diff", "--cached", "--numstat", "staged.txt") == "1\t1\tstaged.txt"


def test_line_endings_and_encodings_are_stored_as_the_repository_keeps_them(own: OwnRepository) -> None:
    attributes = "*.txt text=auto eol=crlf\n*.u16 text working-tree-encoding=UTF-16LE-BOM\n*.id ident\n*.bin -text\n"
    own.commit(
        {".gitattributes": attributes, "a.txt": "one\r\ntwo\r\n", "w.u16": "é\n".encode("utf-16"), "x.bin": "r\r\n"}
    )
    raw = {"plain": b"one\ntwo\n", "kept": b"one\r\ntwo\r\n"}
    own.commit(raw)
    own.write("plain", b"0\r\none\r\ntwo\r\n")  # an editor of the person's turned it, and they added a line
    own.write("a.txt", "one\r\nTWO\r\n")
    own.write("w.u16", "è\n".encode("utf-16"))
    own.write("new.txt", "n\r\n")
    own.write("new.bin", "n\r\n")
    own.write("kept", "one\r\nTWO\r\n")

    done = committed(
        own,
        changed("a.txt", "one\r\ntwo\r\n", "one\r\nTWO\r\n"),
        changed("w.u16", "é\n".encode("utf-16"), "è\n".encode("utf-16")),
        changed("new.txt", None, "n\r\n"),
        changed("new.bin", None, "n\r\n"),
        changed("kept", raw["kept"], b"one\r\nTWO\r\n"),
        changed("plain", b"0\r\none\r\ntwo\r\n", b"0\r\none\r\ntwo\r\nthree\r\n"),
    )

    stored = {path: own.git("cat-file", "-p", f"HEAD:{path}") for path in done.files}
    assert stored == {
        "a.txt": "one\nTWO",
        "kept": "one\r\nTWO\r",
        "new.bin": "n\r",
        "new.txt": "n",
        "plain": "one\ntwo\nthree",
        "w.u16": "è",
    }
    assert own.git("status", "--porcelain") == " M plain"


@pytest.mark.long
def test_the_persons_own_autocrlf_and_ignore_file_count(own: OwnRepository) -> None:
    own.commit({"a": "a\n"})
    (own.home / "ignored").write_text("*.tmp\n")
    own.git("config", "--global", "core.autocrlf", "true")
    own.git("config", "--global", "core.excludesFile", "~/ignored")

    done = committed(own, changed("new", None, "n\r\n"), changed("x.tmp", None, "x"))

    assert (done.files, [each.split(":")[0] for each in done.left_out]) == (("new",), ["Left out x.tmp"])
    assert own.git("cat-file", "-p", "HEAD:new") == "n"


def test_what_may_not_be_stored_is_left_out_and_named(own: OwnRepository, golden: Golden) -> None:
    own.commit({".gitattributes": "*.big filter=lfs diff=lfs\n", ".gitignore": "build/\n", "sub/f": "f", "x.env": ""})
    own.git("config", "filter.lfs.clean", f"touch '{own.home}/ran'; cat")
    own.git("config", "filter.lfs.required", "true")
    own.git("init", "--quiet", "nested")
    changes = [
        changed("photo.big", None, "0" * 100),
        changed("build/out", None, "o"),
        changed(".env", None, "KEY=1"),
        changed("nested/f", None, "f"),
        changed(".GIT/config", None, "[core]"),
        changed("link", None, "sub", mode=0),
        changed("link/f", None, "through"),
        changed("a\nb\x1b[31m", None, "odd"),
    ]

    done = committed(own, *changes)

    golden(*done.left_out)
    assert done.files == ("a\nb\x1b[31m", "link/f")
    assert not (own.home / "ran").exists()
    assert own.git("show", "HEAD:sub/f") == "f"
    assert "\x1b" not in own.git("log", "-1", "--format=%B")

    assert committed(own, *changes[:4]).sentences[0] == "Nothing to commit."


@pytest.mark.long
def test_links_modes_and_bytes_are_kept(own: OwnRepository) -> None:
    own.commit({"run": "r\n", "blob": b"\0\1\2", "data": b"\0\1", "theirs": "t\n"})
    own.write("data", b"\0theirs")

    done = committed(
        own,
        AgentChange("run", FileContent(b"r\n", 0o644), FileContent(b"r\n", 0o755)),
        AgentChange("link", None, FileContent(b"../any where", 0)),
        AgentChange(
            "theirs", FileContent(b"t\n", 0o755), FileContent(b"T\n", 0o755)
        ),  # the person's own chmod stays out
        changed("blob", b"\0\1\2", b"\0\xff\r\n"),
        changed("data", b"\0theirs", b"\0agents"),
    )

    assert done.files == ("blob", "link", "run", "theirs")
    assert len(done.left_out) == 1
    modes = {row.split("\t")[1]: row.split()[0] for row in own.git("ls-tree", "HEAD").split("\n")}
    assert modes == {"blob": "100644", "data": "100644", "link": "120000", "run": "100755", "theirs": "100644"}
    assert own.git("cat-file", "-p", "HEAD:link") == "../any where"
    assert own.git("cat-file", "-s", "HEAD:blob") == "4"


@pytest.mark.long
def test_a_folder_may_become_a_file_and_a_file_a_folder(own: OwnRepository) -> None:
    own.commit({"a": "a", "d/x": "x", "d/y": "y"})

    done = committed(
        own,
        changed("a", "a", None),
        changed("a/b", None, "b"),
        changed("d", None, "d"),
        changed("d/x", "x", None),
        changed("d/y", "y", None),
    )

    assert own.git("ls-tree", "-r", "--name-only", "HEAD").split() == ["a/b", "d"], done


def test_a_repository_in_the_middle_of_something_is_left_alone(own: OwnRepository, golden: Golden) -> None:
    own.commit({"a": "a"})
    refusals = []
    for name in ("MERGE_HEAD", "rebase-merge", "index.lock"):
        (own.root / ".git" / name).write_text("")
        refusals.append(refusal(own))
        (own.root / ".git" / name).unlink()
    golden(*refusals, ROOT=str(own.root))


@pytest.mark.long
def test_what_stands_in_the_way_is_named_with_its_mend(own: OwnRepository, golden: Golden) -> None:
    own.commit({"a": "a"})
    own.git("config", "--global", "--unset", "user.email")
    refusals = [refusal(own)]
    own.git("config", "user.email", "here@example.com")
    own.git("branch", "kimi-agent")
    refusals.append(refusal(own))
    own.git("branch", "-D", "kimi-agent")

    own.git("checkout", "-q", "-b", "other")
    own.commit({"a": "b"})
    own.git("checkout", "-q", "main")
    own.commit({"a": "c"})
    own.git("merge", "other", ok=False)
    (own.root / ".git/MERGE_HEAD").unlink()
    refusals.append(refusal(own))
    own.git("config", "core.bare", "true")
    golden(*refusals, refusal(own), ROOT=str(own.root))


def test_without_a_repository_nothing_is_committed(tmp_path: Path, golden: Golden) -> None:
    own = own_repository(tmp_path, init=False)
    golden(refusal(own), ROOT=str(own.root))
    own.git("init", "--quiet", at=own.home)
    (own.home / "project").mkdir()

    with pytest.raises(NotCommitted, match="There is no git repository"):  # the dotfiles of the home are none of ours
        commit_agent_changes(own.home / "project", [changed("a", None, "x")], STORY, environ=own.environ)


@pytest.mark.long
def test_the_first_commit_goes_to_the_branch_that_is_to_be(own: OwnRepository) -> None:
    own.write("staged", "s")
    own.git("add", "staged")

    done = committed(own, changed("a", None, "x"))

    assert (done.branch, done.base, done.files) == ("main", "", ("a",))
    assert own.git("rev-list", "--count", "main") == "1"
    assert own.git("diff", "--cached", "--name-status") == "A\tstaged"


def test_a_detached_head_gets_a_branch_and_a_named_branch_is_kept_if_asked(own: OwnRepository, golden: Golden) -> None:
    own.commit({"a": "a", "sub/a": "a"})
    own.git("branch", "kimi-agent/fix-the-parser")
    own.git("update-ref", "refs/remotes/origin/kimi-agent/fix-the-parser-2", "HEAD")
    own.git("checkout", "--quiet", "--detach")
    own.git("config", "commit.gpgSign", "true")
    hook = own.write(".husky/pre-commit", f"#!/bin/sh\ntouch '{own.home}/ran'\n")
    hook.chmod(0o755)
    own.git("config", "core.hooksPath", ".husky")
    own.git("config", "core.fsmonitor", f"touch '{own.home}/ran'")

    done = committed(own, changed("a", "a", "b"), at="sub")

    assert (done.branch, done.base, done.files) == ("kimi-agent/fix-the-parser-3", "", ("sub/a",))
    golden(*done.notes)
    assert not (own.home / "ran").exists()

    own.git("config", "--unset", "core.fsmonitor")
    own.git("checkout", "--quiet", "--force", "main")
    done = committed(own, changed("a", "a", "c"), branch="current")
    assert (done.branch, own.git("rev-parse", "main")) == ("main", done.commit)


@pytest.mark.long
def test_what_changed_between_snapshots_of_a_call_is_the_agents(own: OwnRepository, tmp_path: Path) -> None:
    own.commit({"a": "a\n", "b": "b\n"})
    checkpoints = Checkpoints(own.root, tmp_path / "store", environ=own.environ)
    before = checkpoints.take().tree
    own.write("a", "A\n").chmod(0o755)
    (own.root / "link").symlink_to("a")
    after = checkpoints.take().tree
    own.write("b", "the person's\n")  # between two calls
    again = checkpoints.take().tree
    (own.root / "link").unlink()
    last = checkpoints.take().tree

    ours = [*checkpoints.changes(before, after), *checkpoints.changes(again, last)]
    changes = find_agent_changes(checkpoints, ours)

    assert changes[0] == AgentChange("a", FileContent(b"a\n", 0o644), FileContent(b"A\n", 0o755))
    assert committed(own, *changes).files == ("a",)
    # The whole session once more, with what came since: HEAD holds a part of it.
    own.write("a", "AA\n")
    newer = checkpoints.take().tree
    more = [*ours, *checkpoints.changes(last, newer)]
    assert committed(own, *find_agent_changes(checkpoints, more)).files == ("a",)
    own.write("a", "a\n").chmod(0o644)
    more += checkpoints.changes(newer, checkpoints.take().tree)
    done = committed(own, *find_agent_changes(checkpoints, more))
    assert (done.files, done.left_out, own.git("cat-file", "-p", "HEAD:a")) == (("a",), (), "a")
    assert committed(own, *find_agent_changes(checkpoints, more)).sentences == ("Nothing to commit.",)


def test_changes_that_follow_on_one_another_are_one() -> None:
    steps = [("a", 1, 2), ("b", None, 1), ("a", 2, 3), ("b", 1, None), ("a", 4, 5)]
    assert chain_states(steps) == {"a": [[1, 2, 3], [4, 5]], "b": [[None, 1, None]]}


@pytest.mark.parametrize(
    ("title", "first", "name"),
    [
        ("", "Changes by kimi-agent", "changes-by-kimi-agent"),
        ("\n\n## Fix  the\tparser!\nmore", "Fix the parser!", "fix-the-parser"),
        ("x\x1b]0;evil\x07\x00y\u202e", "x]0;evily", "x-0-evily"),
        ("Größe prüfen", "Größe prüfen", "groe-prufen"),
        ("解析器を直して", "解析器を直して", "s-1"),
        ("word " * 40, "word " * 13 + "word…", "-".join(["word"] * 8)),
        ("y" * 100, "y" * 71 + "…", "s-1"),
    ],
)
def test_a_title_becomes_a_subject_and_a_branch(title: str, first: str, name: str) -> None:
    assert subject_line(title) == first
    assert branch_slug(title, "s-1") == name


def test_a_message_has_an_end(golden: Golden) -> None:
    evidence = Evidence("not_verified", failed=1, skipped=2, fixed=tuple(f"t{n}" for n in range(12)))
    text = write_commit_message(CommitContext("x", "", evidence), [(f"f{number}", "changed") for number in range(40)])
    golden(*text.splitlines()[-16:])
