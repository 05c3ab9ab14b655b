"""Going back and forward again: chat, files or both, with the person's own changes safe."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kimi_agent.errors import UserError
from kimi_agent.log.events import CallStarted, Checkpoint, Returned, Rewound, Said
from kimi_agent.log.messages import Assistant, Call, User, user_message
from kimi_agent.log.views import Result
from kimi_agent.rewind.rewind_note import rewind_note
from kimi_agent.rewind.rewind_plan import RewindOutcome
from kimi_agent.rewind.tree_changes import read_tree_changes
from tests.golden_texts import Golden
from tests.rewind.rewindable_session import Play, begin, delete, named, resumed, stands, write

BOTH = [pytest.param(False, id="in memory"), pytest.param(True, id="git", marks=pytest.mark.long)]


@pytest.fixture(params=BOTH)
def play(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Play]:
    """A session whose snapshots are kept in memory, and once more (that takes longer) by git."""
    play = begin(tmp_path, git=request.param)
    yield play
    play.close()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Play]:
    """A session whose snapshots are kept by git."""
    play = begin(tmp_path, git=True)
    yield play
    play.close()


def texts(play: Play) -> list[str]:
    return [each.text for each in play.session.conversation.messages() if isinstance(each, User)]


def rewound(play: Play) -> list[Rewound]:
    return [each.event for each in play.session.events() if isinstance(each.event, Rewound)]


def talk(play: Play) -> list[int]:
    """Three turns that write, change and delete."""
    (play.root / "mine").write_text("mine\n")
    return [
        play.turn("one", write("a.py", "1\n"), write("b.py", "1\n", 0o755)),
        play.turn("two", write("a.py", "2\n"), write("new/deep", "2\n", 0o600)),
        play.turn("three", delete("b.py", "mine"), write("a.py", "3\n")),
    ]


async def test_undo_takes_turn_by_turn_back_and_gives_the_prompts_again(play: Play) -> None:
    talk(play)
    all_ = stands(play.root)
    plan = await play.rewinder.plan_undo()
    assert (named(plan.diff), plan.yours, plan.what) == (["M a.py", "A b.py", "A mine"], (), "both")
    assert (plan.diff[0].added, plan.diff[0].removed, plan.diff[0].diff) == (1, 1, "@@ -1,1 +1,1 @@\n-3\n+2")
    assert plan.lost_messages == 5
    assert await play.rewinder.carry_out(plan) == RewindOutcome(3, (), "three")
    assert (play.root / "mine").read_text() == "mine\n"
    assert [turn.files for turn in play.rewinder.turns()] == [("a.py", "b.py"), ("a.py", "new/deep")]
    assert (await play.rewinder.carry_out(await play.rewinder.plan_undo())).prompt == "two"
    assert sorted(stands(play.root)) == ["a.py", "b.py", "mine"]
    assert not (play.root / "new").exists()
    assert (await play.rewinder.carry_out(await play.rewinder.plan_undo())).prompt == "one"
    assert sorted(stands(play.root)) == ["mine"]
    assert texts(play) == []
    with pytest.raises(UserError, match="nothing to undo"):
        await play.rewinder.plan_undo()
    for turns in (1, 2, 3):
        await play.rewinder.carry_out(await play.rewinder.plan_redo())
        assert len(texts(play)) == turns
    assert stands(play.root) == all_
    with pytest.raises(UserError, match="nothing to redo"):
        await play.rewinder.plan_redo()


async def test_all_of_it_works_after_a_resume_too(play: Play) -> None:
    talk(play)
    all_ = stands(play.root)
    play = resumed(play)
    await play.rewinder.carry_out(await play.rewinder.plan_undo())
    play = resumed(play)
    await play.rewinder.carry_out(await play.rewinder.plan_undo())
    assert texts(play) == ["one"]
    play = resumed(play)
    await play.rewinder.carry_out(await play.rewinder.plan_redo())
    play = resumed(play)
    await play.rewinder.carry_out(await play.rewinder.plan_redo())
    assert (texts(play), stands(play.root)) == (["one", "two", "three"], all_)


async def test_a_rewind_goes_to_any_turn_and_is_one_event(play: Play) -> None:
    seqs = talk(play)
    trees = [each.event.tree for each in play.session.events() if isinstance(each.event, Checkpoint)]
    turns = play.rewinder.turns()
    assert [(turn.number, turn.seq, turn.prompt, turn.files) for turn in turns] == [
        (1, seqs[0], "one", ("a.py", "b.py")),
        (2, seqs[1], "two", ("a.py", "new/deep")),
        (3, seqs[2], "three", ("a.py", "b.py", "mine")),
    ]
    done = await play.rewinder.carry_out(await play.rewinder.plan(seqs[1]))
    assert done == RewindOutcome(4, (), "two")
    assert play.checkpoints.take().tree == trees[4]
    (event,) = rewound(play)
    assert event == Rewound(seqs[1], "both", trees[-1], trees[4])
    assert [turn.prompt for turn in play.rewinder.turns()] == ["one"]


async def test_chat_alone_leaves_the_files_and_files_alone_leave_the_chat(play: Play, golden: Golden) -> None:
    seqs = talk(play)
    before = stands(play.root)
    chat = await play.rewinder.plan(seqs[1], "chat")
    assert (chat.diff, chat.lost_messages) == ((), 10)
    assert await play.rewinder.carry_out(chat) == RewindOutcome(0, (), "two")
    assert stands(play.root) == before
    await play.rewinder.carry_out(await play.rewinder.plan_redo())
    assert len(texts(play)) == 3
    code = await play.rewinder.carry_out(await play.rewinder.plan(seqs[1], "code"))
    assert code == RewindOutcome(4)
    assert len(texts(play)) == 3
    assert (play.root / "a.py").read_text() == "1\n"
    note = rewind_note(play.session.conversation)
    assert rewind_note(resumed(play).session.conversation) == note
    golden(str(note))


async def test_single_files_go_back_alone_and_come_back(play: Play, golden: Golden) -> None:
    seqs = talk(play)
    before = stands(play.root)
    plan = await play.rewinder.plan(seqs[0], paths=["a.py", "./new/"])
    assert (plan.what, named(plan.diff)) == ("code", ["D a.py", "D new/deep"])
    plan = await play.rewinder.plan(seqs[1], "both", paths=[str(play.root / "a.py")])
    assert await play.rewinder.carry_out(plan) == RewindOutcome(1)
    assert (play.root / "a.py").read_text() == "1\n"
    assert rewound(play)[-1].paths == ("a.py",)
    assert sorted(stands(play.root)) == ["a.py", "new/deep"]
    await play.rewinder.carry_out(await play.rewinder.plan_redo())
    assert stands(play.root) == before
    assert rewind_note(play.session.conversation) is None
    nothing = await play.rewinder.plan(seqs[0], paths=["mine2"])
    assert nothing.diff == ()
    assert await play.rewinder.carry_out(nothing) == RewindOutcome(0)
    assert len(rewound(play)) == 2, "nothing was done, so nothing is told"
    with pytest.raises(UserError, match="lies outside the workspace"):
        await play.rewinder.plan(seqs[0], paths=["../x"])
    golden(*nothing.notes)


async def test_what_the_person_changed_since_is_refused_kept_or_overwritten_as_told(play: Play, golden: Golden) -> None:
    seqs = talk(play)
    write("a.py", "by hand\n")(play.root)
    write("theirs", "untouched\n")(play.root)
    plan = await play.rewinder.plan(seqs[0])
    assert plan.yours == ("a.py",)
    assert "theirs" not in [file.path for file in plan.diff]
    before = stands(play.root)
    with pytest.raises(UserError, match=r"^a\.py changed") as caught:
        await play.rewinder.carry_out(plan)
    assert (stands(play.root), rewound(play)) == (before, [])
    assert await play.rewinder.carry_out(plan, yours="keep") == RewindOutcome(2, ("a.py",), "one")
    assert (play.root / "a.py").read_text() == "by hand\n"
    assert sorted(stands(play.root)) == ["a.py", "mine", "theirs"]
    await play.rewinder.carry_out(await play.rewinder.plan_redo())
    assert stands(play.root) == before
    done = await play.rewinder.carry_out(await play.rewinder.plan(seqs[0]), yours="overwrite")
    assert (done.kept, sorted(stands(play.root))) == ((), ["mine", "theirs"])
    assert play.checkpoints.read(rewound(play)[-1].was, "a.py") == b"by hand\n"
    await play.rewinder.carry_out(await play.rewinder.plan_redo())
    assert stands(play.root) == before
    golden(str(caught.value))


async def test_a_change_between_two_turns_is_the_persons_until_it_is_undone(play: Play) -> None:
    one = play.turn("one", write("a", "1"), write("b", "1"))
    write("a", "by hand")(play.root)
    write("b", "by hand")(play.root)
    play.turn("two", write("a", "2"), write("b", "1"))
    undo = await play.rewinder.plan_undo()
    assert undo.yours == ()
    back = await play.rewinder.plan(one)
    assert back.yours == ("a",), "the call took the change of b away, going back does not"
    await play.rewinder.carry_out(undo)
    assert (play.root / "a").read_text() == "by hand"
    assert (await play.rewinder.plan_undo()).yours == ("a", "b")


async def test_a_file_asked_for_by_name_that_only_the_person_changed_is_theirs(play: Play) -> None:
    write("mine", "1")(play.root)
    one = play.turn("one", write("a", "one"))
    write("mine", "2")(play.root)
    assert (await play.rewinder.plan(one)).yours == ()
    plan = await play.rewinder.plan(one, paths=["mine"])
    assert (named(plan.diff), plan.yours) == (["M mine"], ("mine",))
    await play.rewinder.carry_out(plan, yours="overwrite")
    assert (play.root / "mine").read_text() == "1"


async def test_a_file_of_the_person_in_the_way_is_asked_about_and_can_stay(play: Play) -> None:
    write("d/x", "1")(play.root)
    write("e", "1")(play.root)
    one = play.turn("one", delete("d/x"), lambda root: (root / "d").rmdir(), delete("e"), write("f", "1"))
    write("d", "by hand")(play.root)
    write("e/mine", "by hand")(play.root)
    before = stands(play.root)
    plan = await play.rewinder.plan(one)
    assert plan.yours == ("d", "e/mine")
    assert await play.rewinder.carry_out(plan, yours="keep") == RewindOutcome(1, ("d", "d/x", "e", "e/mine"), "one")
    assert sorted(stands(play.root)) == ["d", "e/mine"]
    await play.rewinder.carry_out(await play.rewinder.plan_redo())
    assert stands(play.root) == before
    await play.rewinder.carry_out(await play.rewinder.plan(one), yours="overwrite")
    assert sorted(stands(play.root)) == ["d/x", "e"]
    await play.rewinder.carry_out(await play.rewinder.plan_redo())
    assert stands(play.root) == before


async def test_what_the_person_wrote_and_a_call_moved_is_still_theirs(play: Play) -> None:
    one = play.turn("one", write("a", "1"))
    write("a", "by hand")(play.root)
    play.turn("two", lambda root: (root / "a").rename(root / "b"))
    assert (await play.rewinder.plan(one)).yours == ("b",)
    assert (await play.rewinder.plan_undo()).yours == ()


async def test_a_file_that_the_person_overwrote_is_not_asked_about_again(play: Play) -> None:
    play.turn("one", write("a", "1"))
    play.turn("two", write("a", "2"))
    write("a", "by hand")(play.root)
    plan = await play.rewinder.plan_undo()
    assert plan.yours == ("a",)
    await play.rewinder.carry_out(plan, yours="overwrite")
    assert (await play.rewinder.plan_undo()).yours == ()


async def test_a_file_that_changes_while_the_person_looks_at_the_plan_stops_it(play: Play, golden: Golden) -> None:
    talk(play)
    plan = await play.rewinder.plan_undo()
    write("elsewhere", "x")(play.root)
    write("a.py", "just now\n")(play.root)
    with pytest.raises(UserError, match=r"^a\.py changed") as caught:
        await play.rewinder.carry_out(plan, yours="overwrite")
    assert (play.root / "a.py").read_text() == "just now\n"
    write("a.py", "3\n")(play.root)
    assert (await play.rewinder.carry_out(plan)).restored == 3
    assert (play.root / "elsewhere").exists()
    golden(str(caught.value))


async def test_a_snapshot_that_failed_closes_the_way_past_it(play: Play, golden: Golden) -> None:
    one = play.turn("one", write("a", "1"))
    two = play.turn("two", write("b", "1"), failed="the disk is full")
    three = play.turn("three", write("c", "1"))
    said = []
    for to in (one, two):
        with pytest.raises(UserError) as caught:
            await play.rewinder.plan(to)
        said.append(str(caught.value))
    assert (await play.rewinder.plan(one, "chat")).lost_messages > 0
    await play.rewinder.carry_out(await play.rewinder.plan(three))
    assert sorted(stands(play.root)) == ["a", "b"]
    golden(*said)


async def test_a_snapshot_that_was_tidied_away_closes_the_way_past_it(play: Play, golden: Golden) -> None:
    talk(play)
    first = next(span for span in read_tree_changes(play.session.events()))
    play.session.emit(Said(user_message("other")))
    gone = "1" * 40
    play.session.emit(Checkpoint(gone, "before", 99, 0))
    play.session.emit(Checkpoint(first.before, "after", 99, 0))
    said = []
    for plan in (play.rewinder.plan_undo(), play.rewinder.plan(first.seq, "code")):
        with pytest.raises(UserError, match="turn 4") as caught:
            await plan
        said.append(str(caught.value))
    golden(*said)


@pytest.mark.long
async def test_a_snapshot_of_now_that_fails_stops_it(kept: Play) -> None:
    talk(kept)
    plan = await kept.rewinder.plan_undo()
    store = kept.folder / "state/store"
    os.rename(store, kept.folder / "state/away")
    store.write_text("in the way")
    before = stands(kept.root)
    with pytest.raises(UserError):
        await kept.rewinder.carry_out(plan)
    assert (stands(kept.root), rewound(kept)) == (before, [])


async def test_a_call_that_a_crash_cut_off_is_undone_too(play: Play) -> None:
    write("a", "0")(play.root)
    play.session.emit(Said(user_message("go")))
    answer = play.session.emit(Said(Assistant("", None, (Call("x", "shell", "{}"),)))).seq
    play.session.emit(Checkpoint(play.take().tree, "before", answer, 0))
    play.session.emit(CallStarted(answer, 0, "shell", "execute"))
    write("a", "half")(play.root)
    play = resumed(play)
    plan = await play.rewinder.plan_undo()
    assert (named(plan.diff), plan.yours, plan.unsure) == (["M a"], (), ("a",)), "nobody knows when the call ended"
    await play.rewinder.carry_out(plan, unsure=True)
    assert (play.root / "a").read_text() == "0"
    assert [span.rewind for span in read_tree_changes(play.session.events())] == [False, True]


async def test_a_path_that_cannot_be_restored_is_left_and_named(play: Play) -> None:
    play.turn("one", lambda root: (root / "p").mkdir(), write("p/x", "1"))
    two = play.turn("two", delete("p/x"), lambda root: (root / "p").rmdir(), write("p", "file"))
    (play.root / "p").unlink()
    (play.root / "p").mkdir()
    os.mkfifo(play.root / "p/x")  # no snapshot holds it
    plan = await play.rewinder.plan(two, "code")
    assert (plan.diff, plan.notes) == ((), ("left, for something else than a file is there: p/x",))
    assert (await play.rewinder.carry_out(plan)).restored == 0
    os.unlink(play.root / "p/x")
    await play.rewinder.carry_out(await play.rewinder.plan(two), yours="overwrite")
    assert (play.root / "p/x").read_text() == "1"


async def test_a_file_that_was_only_ignored_before_is_not_deleted(kept: Play, golden: Golden) -> None:
    write(".gitignore", ".env\n*.log\n")(kept.root)
    write(".env", "SECRET=1")(kept.root)
    write("run.log", "precious")(kept.root)
    kept.turn("go", write(".gitignore", "*.tmp\n"), write("new.py", "x"))
    plan = await kept.rewinder.plan_undo()
    assert named(plan.diff) == ["M .gitignore", "D new.py"]
    await kept.rewinder.carry_out(plan)
    assert sorted(stands(kept.root)) == [".env", ".gitignore", "run.log"]
    golden(*plan.notes)


async def test_a_file_that_is_ignored_since_comes_back_and_is_not_run_over(kept: Play) -> None:
    write("data", "1")(kept.root)
    write("gone", "1")(kept.root)
    write("same", "1")(kept.root)
    kept.turn("go", write(".gitignore", "data\ngone\nsame\n"), delete("gone"))
    write("data", "by hand")(kept.root)
    plan = await kept.rewinder.plan_undo()
    assert (named(plan.diff), plan.yours) == (["D .gitignore", "M data", "A gone"], ("data",))
    await kept.rewinder.carry_out(plan, yours="overwrite")
    assert sorted(stands(kept.root)) == ["data", "gone", "same"]
    await kept.rewinder.carry_out(await kept.rewinder.plan_redo())
    assert (kept.root / "data").read_text() == "by hand"
    assert sorted(stands(kept.root)) == [".gitignore", "data", "same"]


@pytest.mark.long
async def test_what_is_too_big_to_keep_is_named_and_left(kept: Play, golden: Golden) -> None:
    write("big", "small")(kept.root)
    kept.turn("go", lambda root: (root / "big").write_bytes(bytes(30_000_000)), write("a", "1"))
    plan = await kept.rewinder.plan_undo()
    assert named(plan.diff) == ["D a"]
    await kept.rewinder.carry_out(plan)
    assert (kept.root / "big").stat().st_size == 30_000_000
    golden(*plan.notes)


async def test_links_modes_and_swaps_go_back_and_forward(kept: Play) -> None:
    def shell(command: str) -> object:
        return lambda root: subprocess.run(["sh", "-ec", command], cwd=root, check=True)

    write("run.sh", "x", 0o644)(kept.root)
    write("d/x", "x")(kept.root)
    write("secret", "s", 0o600)(kept.root)
    (kept.root / "l").symlink_to("d/x")
    before = kept.take().tree
    one = "chmod 755 run.sh; rm -r d; echo d > d; ln -sfn run.sh l; mv secret open; chmod 640 open"
    kept.turn("go", shell(one), shell("rm run.sh; mkdir run.sh; echo > run.sh/y; ln -s ../l run.sh/z"))  # type: ignore[arg-type]
    after = kept.take().tree
    plan = await kept.rewinder.plan_undo()
    assert named(plan.diff) == ["D d", "A d/x", "M l", "D open", "A run.sh", "D run.sh/y", "D run.sh/z", "A secret"]
    await kept.rewinder.carry_out(plan)
    assert (kept.checkpoints.take().tree, stands(kept.root)) == (before, kept.trees[before])
    await kept.rewinder.carry_out(await kept.rewinder.plan_redo())
    assert (kept.checkpoints.take().tree, stands(kept.root)) == (after, kept.trees[after])


async def test_a_mode_alone_and_a_kind_are_said_in_words(play: Play, golden: Golden) -> None:
    write("a", "x", 0o755)(play.root)
    write("b", "x")(play.root)

    def link(root: Path) -> None:
        (root / "b").unlink()
        (root / "b").symlink_to("a")

    play.turn("go", write("a", "x", 0o644), link)
    plan = await play.rewinder.plan_undo()
    assert named(plan.diff) == ["M a", "M b"]
    golden(*plan.notes)


async def test_the_model_must_read_again_what_was_taken_back(play: Play) -> None:
    seen_files = play.files.seen_files
    write("a", "0")(play.root)
    zero = play.files.fingerprints([str(play.root / "a")])[0].sha256
    seen_files.record("a", zero, ranges=[(1, 1)], whole=True)
    play.turn("go", write("a", "1"))
    one = play.files.fingerprints([str(play.root / "a")])[0].sha256
    seen_files.record("a", one, whole=True, by="write")
    await play.rewinder.carry_out(await play.rewinder.plan(play.rewinder.turns()[0].seq, "code"))
    known = seen_files.known("a")
    assert known is not None
    assert (known.sha256, known.ranges, known.whole) == (zero, (), False)
    play = resumed(play)
    assert play.files.seen_files.known("a") == known
    assert play.files.changed() == []


async def test_what_was_read_in_turns_that_are_gone_was_not_read(play: Play) -> None:
    write("a", "0")(play.root)
    sha = play.files.fingerprints([str(play.root / "a")])[0].sha256
    play.turn("one")
    play.files.seen_files.record("a", sha, ranges=[(1, 5)])
    two = play.turn("two")
    play.files.seen_files.record("a", sha, ranges=[(1, 9)], whole=True)
    play.files.seen_files.record("b", sha, whole=True)
    known = play.files.seen_files.known("a")
    await play.rewinder.carry_out(await play.rewinder.plan(two))
    now = play.files.seen_files.known("a")
    assert now is not None
    assert (now.ranges, now.whole, play.files.seen_files.known("b")) == (((1, 5),), False, None)
    play = resumed(play)
    assert play.files.seen_files.known("a") == now
    await play.rewinder.carry_out(await play.rewinder.plan_redo())
    assert play.files.seen_files.known("a") == known


async def test_nothing_comes_back_once_something_was_said(play: Play, golden: Golden) -> None:
    talk(play)
    await play.rewinder.carry_out(await play.rewinder.plan_undo())
    redo = await play.rewinder.plan_redo()
    play.turn("instead", write("a.py", "other\n"))
    with pytest.raises(UserError, match="nothing to redo"):
        await play.rewinder.plan_redo()
    with pytest.raises(UserError) as caught:
        await play.rewinder.carry_out(redo)
    assert [turn.prompt for turn in play.rewinder.turns()] == ["one", "two", "instead"]
    assert [turn.number for turn in play.rewinder.turns()] == [1, 2, 3]
    golden(str(caught.value))


async def test_a_turn_that_was_taken_back_is_no_place_to_go_to(play: Play) -> None:
    seqs = talk(play)
    await play.rewinder.carry_out(await play.rewinder.plan(seqs[1]))
    with pytest.raises(UserError, match="taken back already"):
        await play.rewinder.plan(seqs[2])
    assert (await play.rewinder.plan(seqs[2], "code")).what == "code"
    for nowhere in (0, 1, -5, 10**6):
        with pytest.raises(UserError, match="no record"):
            await play.rewinder.plan(nowhere)


async def test_a_turn_without_changes_goes_back_as_chat_alone(play: Play) -> None:
    write("a", "1")(play.root)
    to = play.turn("just talk")
    play.turn("look", lambda root: None)
    assert await play.rewinder.carry_out(await play.rewinder.plan(to)) == RewindOutcome(0, (), "just talk")
    assert rewound(play) == [Rewound(to, "both")]
    assert (play.root / "a").exists()


async def test_a_cancelled_rewind_is_done_or_not_begun_never_half(play: Play) -> None:
    talk(play)
    plan = await play.rewinder.plan_undo()
    task = asyncio.create_task(play.rewinder.carry_out(plan))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(rewound(play)) == 1
    assert (play.root / "a.py").read_text() == "2\n"


def test_spans_are_read_from_the_log(play: Play) -> None:
    play.turn("one", write("a", "1"), lambda root: None, write("b", "1"))
    found = read_tree_changes(play.session.events())
    assert [(span.index, span.rewind, span.failed) for span in found] == [(0, False, ""), (2, False, "")]
    assert all(span.before in play.trees and span.after in play.trees for span in found)
    assert found[0].after == found[1].before
    answer = 77
    play.session.emit(Checkpoint("1" * 40, "before", answer, 0))
    play.session.emit(Returned(answer, 0, Result("no change")))
    play.session.emit(Checkpoint("2" * 40, "before", answer, 1))
    play.session.emit(Checkpoint("3" * 40, "before", answer, 2))
    play.session.emit(Checkpoint("", "after", answer, 2, failed="no room"))
    play.session.emit(Checkpoint("", "before", answer, 3, failed="no room"))
    play.session.emit(Returned(answer, 3, Result("who knows")))
    play.session.emit(Checkpoint("4" * 40, "before", answer, 4))
    play.session.emit(Rewound(2, "code", "5" * 40, "6" * 40))
    play.session.emit(Checkpoint("6" * 40, "before", answer, 5))
    more = read_tree_changes(play.session.events())[2:]
    assert [(span.index, span.before[:1], span.after[:1], span.failed, span.rewind) for span in more] == [
        (1, "2", "3", "", False),
        (2, "3", "", "no room", False),
        (3, "", "", "no room", False),
        (4, "4", "5", "", False),
        (0, "5", "6", "", True),
        (5, "6", "", "", False),
    ]
