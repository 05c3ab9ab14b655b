"""Whose file is it: what stood there before, what others saved meanwhile, what only one end of a move is known of."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kimi_agent.app.publishing import AutoCommit
from kimi_agent.log.event_parts import Fingerprint
from kimi_agent.log.events import CallStarted, Checkpoint, Effect, Notice, Opened, Returned, Said, Stamped, TurnEnded
from kimi_agent.log.messages import Assistant, Call, user_message
from kimi_agent.log.store.session import Session
from kimi_agent.log.views import Evidence, Result, TestReport
from kimi_agent.rewind.rewinder import Rewinder
from kimi_agent.rewind.tree_changes import read_other_changes
from kimi_agent.workspace.checkpoint import Checkpoints
from tests.rewind.rewindable_session import Play, begin, named, stands, write

Act = Callable[[Path], object]
TAG = "Signature: 8a477f597d28d172789f06886806bc55\n"


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    """A session in a repository of its own, its snapshots kept by git."""
    play = begin(tmp_path, git=True)
    sh("git init -q")(play.root)
    yield play
    play.close()


def sh(script: str) -> Act:
    """A call that runs a script in the workspace; the home of git is the folder above it."""

    def do(root: Path) -> None:
        home = {"HOME": str(root.parent), "XDG_CONFIG_HOME": str(root.parent / ".config"), "EMAIL": "a@b.c"}
        subprocess.run(["sh", "-ec", script], cwd=root, check=True, env={**os.environ, **home})

    return do


def turn(
    play: Play,
    act: Act,
    *,
    command: str = "make",
    paths: Sequence[str] = (),
    at: float = 1000.0,
    took_s: float = 0.1,
    apart: tuple[str, ...] | None = None,
) -> int:
    """A turn of one call that ran so long; with `paths` it is an edit that names them.

    `apart` was written apart from the rest; by default nobody looked.
    """
    play.clock[0] = at
    start = play.session.emit(Said(user_message("go"))).seq
    made = (Call("f", "edit" if paths else "shell", f'{{"command": "{command}"}}'),)
    answer = play.session.emit(Said(Assistant("", None, made))).seq
    before = play.checkpoints.take([str(play.root / path) for path in paths])
    play.session.emit(Checkpoint(before.tree, "before", answer, unkept=before.unkept))
    effect: Effect = "write" if paths else "execute"
    play.session.emit(CallStarted(answer, 0, made[0].name, effect, tuple(Fingerprint(path, "") for path in paths)))
    act(play.root)
    play.clock[0] = at + took_s
    after = play.checkpoints.take([str(play.root / path) for path in paths], newly_ignored=True)
    if after.tree != before.tree:
        play.session.emit(Checkpoint(after.tree, "after", answer, apart=apart))
    play.session.emit(Returned(answer, 0, Result("ok")))
    play.session.emit(TurnEnded("done", 2))
    return start


def undo(play: Play) -> tuple[str, ...]:
    """Take the last turn back; the notes of the plan."""
    plan = asyncio.run(play.rewinder.plan_undo())
    assert plan.yours == ()
    asyncio.run(play.rewinder.carry_out(plan))
    return plan.notes


def redo(play: Play) -> None:
    asyncio.run(play.rewinder.carry_out(asyncio.run(play.rewinder.plan_redo())))


UNHIDDEN = {
    "tracked now": (".gitignore:.env\n", ".env", "git add -f .env"),
    "tracked and committed": (".gitignore:.env\n", ".env", "git add -f .env; git commit -qm x"),
    "all tracked, litter too": (".gitignore:node_modules\n.env\n", "node_modules/m .env", "git add -f ."),
    "the repository moved away": (
        ".git/info/exclude:secrets.txt\n",
        "secrets.txt",
        "mkdir ../bk; mv .git ../bk; git init -q",
    ),
    "the repository removed": (".git/info/exclude:secrets.txt\n", "secrets.txt", "rm -rf .git"),
    "a cache no more": (f"target/CACHEDIR.TAG:{TAG}", "target/t target/u/v", "rm target/CACHEDIR.TAG; echo x>more"),
    "global file": ("../.config/git/ignore:g.glob\n", "g.glob", "rm ../.config/git/ignore; echo x>more"),
    "rules that ignore themselves": (".gitignore:.gitignore\n*.dat\n", "x.dat", "rm .gitignore; echo x>more"),
    "a rule that stood twice": (".gitignore:*.dat\n!x.dat\n*.dat\n", "x.dat", "printf '*.dat\\n!x.dat\\n' >.gitignore"),
    "rules put the other way round": (".gitignore:!x.dat\n*.dat\n", "x.dat", "printf '*.dat\\n!x.dat\\n' >.gitignore"),
    "a class": (".gitignore:[[:upper:]]*.cfg\n", "Up.cfg", "rm .gitignore"),
    "an escaped blank": (".gitignore:trail\\ \n", "trail\\ ", "rm .gitignore"),
    "a byte order mark": (".gitignore:\ufeff*.dat\n", "x.dat", "rm .gitignore"),
    "rules of a subfolder": ("sub/.gitignore:*\n", "sub/deep/x", "rm sub/.gitignore; echo x>sub/more"),
    "core.excludesFile": ("../.gitconfig:[core]\nexcludesFile = ~/own\n", "own.glob", "rm ../own ../.gitconfig"),
}


@pytest.mark.parametrize("case", UNHIDDEN)
def test_what_only_comes_into_sight_is_not_deleted(play: Play, case: str) -> None:
    rules, files, script = UNHIDDEN[case]
    place, _, text = rules.partition(":")
    write("../own", "own.glob\n")(play.root)
    write(place, text)(play.root)
    for file in files.replace("\\ ", "\0").split():
        write(file.replace("\0", " "), f"precious {file}")(play.root)
    before = stands(play.root)
    turn(play, sh(f"echo agent >agents; {script}"))
    after = stands(play.root)
    undo(play)
    assert stands(play.root).items() >= {path: text for path, text in before.items() if path in after}.items()
    assert not (play.root / "agents").exists()
    redo(play)
    assert stands(play.root) == after


def test_a_new_file_among_ignored_ones_is_still_the_agents(play: Play) -> None:
    write(".gitignore", "*.env\ndist/\n")(play.root)
    write("conf/x.env", "precious")(play.root)
    write("dist/y", "built")(play.root)
    turn(play, sh("echo x >conf/new.py; mkdir dist/z; echo z >dist/z/z; mkdir made; echo m >made/m"))
    notes = undo(play)
    assert sorted(stands(play.root)) == [".gitignore", "conf/x.env", "dist/y", "dist/z/z"]
    assert notes == ()


@pytest.mark.parametrize("script", ["echo '*.local' >.gitignore", "mkdir d; echo '*' >d/.gitignore; echo x >d/own"])
def test_redo_touches_only_what_the_undo_restored(play: Play, script: str) -> None:
    (play.root / "d").mkdir()
    turn(play, sh(script.replace("mkdir d; ", "")))
    write("settings.local", "mine")(play.root)
    write("d/settings", "mine")(play.root)
    after = stands(play.root)
    undo(play)
    redo(play)
    assert stands(play.root) == after
    undo(play)
    redo(play)
    assert stands(play.root) == after


@pytest.mark.parametrize(
    "script",
    [
        f"printf '{TAG}' >t/CACHEDIR.TAG; rm t/mine",  # a cache's tag is in no snapshot, so it stays
        f"rm t/mine; rm -r t/d; printf '{TAG}' >t/CACHEDIR.TAG; echo d >t/d",
    ],
)
def test_redo_takes_back_what_undo_restored_into_an_ignored_place(play: Play, script: str) -> None:
    write("t/mine", "1")(play.root)
    write("t/d/x", "1")(play.root)
    before = stands(play.root)
    turn(play, sh(script))
    after = stands(play.root)
    for _ in range(2):
        undo(play)
        assert stands(play.root)["t/mine"] == before["t/mine"]
        redo(play)
        assert stands(play.root) == after


def test_what_undo_restored_into_an_ignored_place_stays_when_undone_again(play: Play) -> None:
    write("t/mine", "1")(play.root)
    start = turn(play, sh(f"printf '{TAG}' >t/CACHEDIR.TAG; rm t/mine; echo x >new"))
    for _ in range(2):
        asyncio.run(play.rewinder.carry_out(asyncio.run(play.rewinder.plan(start, "code"))))
        assert sorted(stands(play.root)) == ["t/CACHEDIR.TAG", "t/mine"]
    write("t/mine", "2")(play.root)
    assert asyncio.run(play.rewinder.plan_redo()).yours == ("t/mine",), "the person changed it since"


def test_an_edit_owns_the_paths_that_it_names(play: Play) -> None:
    write("a.txt", "1")(play.root)
    turn(play, sh("echo agent >named; echo MINE >mine; echo MINE >>a.txt"), paths=["named"])
    undo(play)
    assert sorted(stands(play.root)) == ["a.txt", "mine"]
    assert (play.root / "a.txt").read_text() == "1MINE\n"


@pytest.mark.parametrize("command", ["sleep 3", "sleep 1; cat a.txt | grep x", "true && ls -la"])
def test_a_command_that_only_reads_or_waits_is_no_author(play: Play, command: str) -> None:
    write("a.txt", "1")(play.root)
    turn(play, sh("echo MINE >mine; echo MINE >>a.txt"), command=command)
    undo(play)
    assert sorted(stands(play.root)) == ["a.txt", "mine"]
    assert (play.root / "a.txt").read_text() == "1MINE\n"


LONG = {
    "make": ["out/gen.c", "src/app.py"],
    "gen -o out/gen.c": ["src/app.py"],
    "sed -i s/a/b/ src/*.py": ["out/gen.c"],
    "gen --into=out/": ["src/app.py"],
}


@pytest.mark.parametrize("command", LONG)
def test_what_a_long_command_does_not_name_is_left_unless_the_person_says_yes(play: Play, command: str) -> None:
    write("src/app.py", "1")(play.root)
    turn(play, sh("mkdir out; echo g >out/gen.c; echo 2 >src/app.py"), command=command, took_s=30)
    plan = asyncio.run(play.rewinder.plan_undo())
    assert list(plan.unsure) == LONG[command]
    assert sorted(each.path for each in plan.diff) == ["out/gen.c", "src/app.py"]
    done = asyncio.run(play.rewinder.carry_out(plan))
    assert list(done.kept) == LONG[command]
    redo(play)
    asyncio.run(play.rewinder.carry_out(asyncio.run(play.rewinder.plan_undo()), unsure=True))
    assert sorted(stands(play.root)) == ["src/app.py"]
    assert (play.root / "src/app.py").read_text() == "1"


@pytest.mark.parametrize(
    ("command", "unsure"),
    [
        ("make", ["src/app.py"]),
        ("pytest src/app.py", ["src/app.py"]),  # it names the file only to read it
        ("tar cf all.tar *", ["src/app.py"]),
        ("npm ci; gen >src/app.py; npm test", []),
        ("npm ci; gen -o src/app.py; npm test", []),
        ("npm ci; gen | tee -a 'src/app.py'; npm test", []),
    ],
)
def test_what_a_long_command_wrote_in_a_row_is_its_own_and_what_lies_apart_is_asked_about(
    play: Play, command: str, unsure: list[str]
) -> None:
    write("src/app.py", "1")(play.root)
    act = sh("mkdir out; for each in 1 2 3; do echo g >out/$each; done; echo 2 >src/app.py")
    turn(play, act, command=command, took_s=30, apart=("src/app.py",))
    plan = asyncio.run(play.rewinder.plan_undo())
    assert list(plan.unsure) == unsure
    asyncio.run(play.rewinder.carry_out(plan))
    assert sorted(stands(play.root)) == ["src/app.py"]
    assert (play.root / "src/app.py").read_text() == ("2\n" if unsure else "1")


def test_a_file_that_an_editor_has_open_is_left_unless_the_person_says_yes(play: Play) -> None:
    write("open.py", "1")(play.root)
    write(".open.py.swp", "vim")(play.root)
    turn(play, sh("echo 2 >open.py; echo x >new"))
    assert asyncio.run(play.rewinder.plan_undo()).unsure == ("open.py",)


def other_session(play: Play) -> Play:
    """A second session in the same workspace."""
    opened = Opened("t", str(play.root), "kimi", "0")
    clock = [1.0]
    session = Session.create(play.folder / "state/t", opened, now=lambda: clock[0], sync=lambda fd: None)
    return replace(play, session=session, rewinder=Rewinder(session, play.checkpoints, play.files), clock=clock)


def test_sessions_at_the_same_time_do_not_take_back_each_others_work(play: Play) -> None:
    other = other_session(play)

    def meanwhile(root: Path) -> None:
        turn(other, sh("echo theirs >edited"), paths=["edited"], at=1001.0)
        turn(other, sh("echo either >run"), command="gen run", at=1002.0)
        write("ours", "ours")(root)

    turn(play, meanwhile, command="build ours", took_s=5)
    assert len(read_other_changes(play.session.folder, 0)) == 2
    plan = asyncio.run(play.rewinder.plan_undo())
    assert (named(plan.diff), plan.yours, plan.unsure) == (["D ours", "D run"], (), ("run",))
    asyncio.run(play.rewinder.carry_out(plan))
    assert sorted(stands(play.root)) == ["edited", "run"]
    other.session.close()


def test_what_another_sessions_command_wrote_at_other_times_is_ours(play: Play) -> None:
    other = other_session(play)

    def meanwhile(root: Path) -> None:
        turn(play, write("ours", "ours"), command="gen", at=1010.0, apart=())
        write("theirs", "theirs")(root)

    turn(other, meanwhile, command="build", at=1000.0, took_s=30, apart=("ours",))
    undo(play)
    assert sorted(stands(play.root)) == ["theirs"]
    undo(other)
    assert stands(play.root) == {}
    other.session.close()


def test_another_sessions_rewind_is_not_taken_back_by_ours(play: Play) -> None:
    other = other_session(play)
    turn(other, sh("echo theirs >theirs"), at=900.0)

    def meanwhile(root: Path) -> None:
        other.clock[0] = 1001.0
        undo(other)
        write("ours", "ours")(root)

    turn(play, meanwhile, took_s=1.5)
    undo(play)
    assert stands(play.root) == {}
    other.session.close()


@pytest.mark.parametrize("name", ["git~1", ".git.", ".git:x", "d/.GIT ", ".g\u200cit"])
def test_a_name_that_may_mean_git_is_named_and_the_rest_goes_back(play: Play, name: str) -> None:
    turn(play, lambda root: (write(name, "x")(root), write("other", "1")(root)))
    notes = undo(play)
    assert sorted(stands(play.root)) == [name]
    assert any("not kept" in note for note in notes)


@pytest.mark.parametrize(
    "script",
    [
        "echo '*.log' >.gitignore; echo more >>i.log",
        f"mkdir -p t; echo '*.log' >.gitignore; printf '{TAG}' >c/CACHEDIR.TAG; echo more >>c/i.log; echo more >>i.log",
    ],
)
def test_our_own_change_to_what_is_ignored_now_is_ours(play: Play, script: str) -> None:
    write("i.log", "1\n")(play.root)
    write("c/i.log", "1\n")(play.root)
    before = stands(play.root)
    turn(play, sh(script))
    after = stands(play.root)
    undo(play)
    # Of a cache nothing is kept, so its tag stays.
    assert {path: text for path, text in stands(play.root).items() if path != "c/CACHEDIR.TAG"} == before
    redo(play)
    assert stands(play.root) == after


def test_a_tracked_ignored_file_that_is_untracked_and_edited_is_ours(play: Play) -> None:
    write(".gitignore", "*.cfg\n")(play.root)
    write("k.cfg", "1\n")(play.root)
    sh("git add -f k.cfg .gitignore; git commit -qm x")(play.root)
    before = stands(play.root)
    turn(play, sh("git rm -q --cached k.cfg; echo more >>k.cfg"))
    undo(play)
    assert stands(play.root) == before


@pytest.mark.parametrize(
    ("script", "kept"),
    [
        ("mv .git .git.bak; git init -q; git add -A; git commit -qm fresh", ".git.bak"),
        ("mv .git .git.bak", ".git.bak"),
        ("mv sub/.git sub/git-backup", "sub/git-backup"),
    ],
)
def test_a_repository_that_was_moved_is_never_half_undone(play: Play, script: str, kept: str) -> None:
    commit = "git init -q; echo 1 >f; git add f; git commit -qm first"
    sh(f"{commit}; mkdir sub; cd sub; {commit}")(play.root)
    turn(play, sh(f"echo x >made; {script}"))
    notes = undo(play)
    assert not (play.root / "made").exists()
    sh(f"git --git-dir={kept} log -1 --format=%s | grep -q first; git --git-dir={kept} fsck --strict")(play.root)
    assert any(kept in note for note in notes)


@pytest.mark.parametrize(
    "rules",
    [".gitignore:*.key\n", "s/.gitignore:*.key\n", ".git/info/exclude:my.key\n"],
    ids=["top", "in it", "exclude"],
)
def test_a_moved_folder_with_ignored_files_is_left_whole_and_named(play: Play, rules: str) -> None:
    place, _, text = rules.partition(":")
    write("s/a", "1")(play.root)
    write("s/deep/b", "2")(play.root)
    write(place, text)(play.root)
    write("s/deep/my.key", "precious")(play.root)
    turn(play, sh("echo x >made; mv s s2"))
    after = stands(play.root)
    notes = undo(play)
    assert stands(play.root) == {path: text for path, text in after.items() if path != "made"}
    assert any("s to s2" in note for note in notes)
    redo(play)
    assert stands(play.root) == after


@pytest.mark.parametrize(
    ("old", "script"),
    [
        ("d.log", "mv d.log d.txt"),
        ("dist/deep/d", "mv dist out"),
        ("dist/deep/d", "mkdir -p src; mv dist/deep src/; rmdir dist"),
        ("x.log", "rm .gitignore; mv x.log x.txt"),
        ("x.log", "mv -f x.log kept.txt; chmod 600 mode.txt"),
    ],
)
def test_ignored_files_that_were_moved_into_sight_are_not_deleted(play: Play, old: str, script: str) -> None:
    write(".gitignore", "*.log\ndist\n")(play.root)
    write(old, "precious")(play.root)
    write("kept.txt", "1")(play.root)
    write("mode.txt", "1")(play.root)
    for each in (old, "mode.txt"):
        os.utime(play.root / each, (900, 900))
    turn(play, sh(f"echo x >made; {script}"))
    after = stands(play.root)
    notes = undo(play)
    assert [text for text in stands(play.root).values() if "precious" in text], "it is the only copy"
    assert not (play.root / "made").exists()
    assert (play.root / "mode.txt").stat().st_mode & 0o777 == 0o644
    assert any("moved here" in note for note in notes)
    assert any(note.startswith("not brought back") and old.partition("/")[0] in note for note in notes)
    redo(play)
    assert stands(play.root) == after


def test_a_moved_nested_repository_is_left_whole(play: Play) -> None:
    write("s/a", "1")(play.root)
    sh("git init -q s")(play.root)
    turn(play, sh("mv s s2"))
    undo(play)
    assert sorted(stands(play.root))[-1] == "s2/a"
    assert not (play.root / "s").exists()


def test_what_undo_does_not_cover_is_said(play: Play) -> None:
    write(".gitignore", "*.log\n")(play.root)
    write("gone.log", "x")(play.root)
    (play.root / "empty").mkdir()
    (play.root / "uploads").mkdir()
    turn(play, sh("rm gone.log; rmdir empty; mkdir made; git init -q clone; echo x >clone/x; echo x >uploads/f"))
    notes = undo(play)
    assert (play.root / "uploads").is_dir()
    assert not (play.root / "uploads/f").exists()
    assert notes == (
        "left, for repositories are no part of undo: clone/.git",
        "not brought back, for undo does not cover them (ignored or no part of a snapshot): gone.log",
        "left, for undo does not cover them (empty folders): made/",
        "not brought back, for undo does not cover them (empty folders): empty/",
    )


def test_a_file_in_place_of_which_there_is_a_pipe_is_left_and_the_rest_goes_back(play: Play) -> None:
    write("f", "1")(play.root)
    turn(play, sh("rm f; mkfifo f; echo x >other"))
    notes = undo(play)
    assert not (play.root / "other").exists()
    assert notes == ("left, for something else than a file is there: f",)


def test_the_persons_text_that_a_call_copied_is_not_lost_with_the_copy(play: Play) -> None:
    write("b", "the person's")(play.root)
    turn(play, sh("cp b a"))
    write("b", "the person's, newer")(play.root)
    plan = asyncio.run(play.rewinder.plan_undo())
    assert plan.yours == ("a",)


def commit(play: Play) -> set[str]:
    """What `--commit` takes of this session's changes."""
    assert isinstance(play.checkpoints, Checkpoints)
    passed = TestReport("passed", "pytest", "pyproject.toml", "pytest", 0, 1.0)
    evidence = Evidence("verified", files=("agents",), last=passed)
    home = {**os.environ, "HOME": str(play.folder)}
    made = asyncio.run(AutoCommit(play.root, play.session, play.checkpoints, "current", home).commit(evidence))
    return set(made.files) if made else set()


COMMITTED = {
    "git add -f conf.local": "make",
    "rm target/CACHEDIR.TAG": "make",
    "rm .gitignore": "make",
    "echo MINE >mine": "sleep 3",
}


@pytest.mark.parametrize("script", COMMITTED)
def test_a_commit_takes_what_the_agent_changed_and_nothing_that_came_into_sight(play: Play, script: str) -> None:
    write("../.gitconfig", "[user]\nname = n\nemail = a@b.c\n")(play.root)
    write(".gitignore", "*.local\n")(play.root)
    sh("git add .gitignore; git commit -qm begin")(play.root)
    write("conf.local", "secret")(play.root)
    write("target/t", "built")(play.root)
    write("target/CACHEDIR.TAG", TAG)(play.root)
    turn(play, write("agents", "1"))
    turn(play, sh(script), command=COMMITTED[script])
    assert commit(play) == {"agents"} | ({".gitignore"} if script == "rm .gitignore" else set())


def test_a_commit_names_what_it_leaves_for_the_person_may_have_written_it(play: Play) -> None:
    write("../.gitconfig", "[user]\nname = n\nemail = a@b.c\n")(play.root)
    sh("git commit -q --allow-empty -m begin")(play.root)
    turn(play, sh("echo 1 >agents; echo 1 >mine; echo 1 >package.json"), command="npm i >agents", took_s=9)
    heard: list[Stamped] = []
    play.session.listen(heard.append)
    assert commit(play) == {"agents", "package.json"}
    notices = [each.event.text for each in heard if isinstance(each.event, Notice)]
    assert notices[0] == "Not committed, for you may have written them while a command ran: mine"


def comes_back(folder: Path, closed: str) -> bool:
    """Whether a file that a call changed and then closed, or its folder, is as before after an undo."""
    play = begin(folder, git=True)
    write("a.txt", "1")(play.root)
    write("d/x", "1", 0o600)(play.root)
    before = stands(play.root)
    turn(play, sh(f"echo 2 >a.txt; echo 2 >d/x; echo other >other; chmod 000 {closed}"))
    undo(play)
    play.close()
    return stands(play.root) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user who may not read")
@pytest.mark.parametrize("closed", ["a.txt", "d"])
def test_what_a_call_made_unreadable_comes_back(closed: str) -> None:
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    assert comes_back(folder / "root", closed), "and all modules are loaded, which the other user may not read"
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgid(65534)
            os.setuid(65534)
            code = 0 if comes_back(folder / "nobody", closed) else 2
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    shutil.rmtree(folder)
    assert code == 0
