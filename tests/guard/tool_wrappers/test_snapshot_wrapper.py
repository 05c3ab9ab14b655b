"""Snapshots around calls: what is told, what is said of the way back, and what happens where nothing can be kept."""

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kimi_agent.call_plan import CallPlan
from kimi_agent.errors import ToolError
from kimi_agent.guard.destructive.command_table import Loss
from kimi_agent.guard.destructive.losses import find_losses
from kimi_agent.guard.tool_wrappers.snapshots import MAX_SNAPSHOT_FAILURES, SnapshotWrapper
from kimi_agent.log.events import Answered, Asked, Checkpoint, Event, Notice, Stamped
from kimi_agent.log.questions import Decision, Question
from kimi_agent.log.views import Result
from kimi_agent.tool import Context, ParsedCall, Tool
from kimi_agent.workspace.checkpoint import Checkpoints, Snapshot, SnapshotLimits
from tests.golden_texts import Golden
from tests.tool_calls import run_tool

Make = Callable[..., SnapshotWrapper]


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
def keeping(context: Context, workspace: Path, tmp_path: Path, told: list[Event]) -> Iterator[Make]:
    opened: list[Checkpoints] = []

    def make(
        *, limits: SnapshotLimits | None = None, answer: bool = False, store: Path = tmp_path / "kept"
    ) -> SnapshotWrapper:
        def emit(event: Event) -> Stamped:
            told.append(event)
            return Stamped("main", len(told), 0.0, event)

        async def ask(question: Question) -> Decision:
            return Decision(allowed=answer)

        def lost(plan: CallPlan) -> Sequence[Loss]:
            texts = [each.text for each in plan.commands]
            return [loss for text in texts for loss in find_losses(text, home=tmp_path / "home", workspace=workspace)]

        checkpoints = Checkpoints(workspace, store, environ=os.environ, limits=limits or SnapshotLimits())
        opened.append(checkpoints)
        return SnapshotWrapper(checkpoints, emit, ask, lost, lambda ref: f"commit-of-{ref}", "S1")

    yield make
    for each in opened:
        each.close()


def trees(told: list[Event]) -> list[tuple[str, tuple[int, int]]]:
    return [(each.when, (each.answer, each.index)) for each in told if isinstance(each, Checkpoint)]


async def shell(tool: Callable[[str], Tool], keeping: SnapshotWrapper, context: Context, command: str) -> str:
    raw = f'{{"command": {command!r}}}'.replace("'", '"')
    return (await run_tool(keeping.wrap(tool("shell")), replace(context, place=(7, 1)), raw)).content


async def test_a_call_that_changes_files_stands_between_two_snapshots(
    tool: Callable[[str], Tool], keeping: Make, context: Context, workspace: Path, told: list[Event]
) -> None:
    (workspace / "a").write_text("1")
    kept = keeping()
    await shell(tool, kept, context, "echo 2 > b")
    before, after = [each.tree for each in told if isinstance(each, Checkpoint)]
    assert trees(told) == [("before", (7, 1)), ("after", (7, 1))]
    assert [change.path for change in kept.checkpoints.changes(before, after)] == ["b"]


async def test_what_a_long_call_wrote_apart_from_its_ends_is_named(
    tool: Callable[[str], Tool], keeping: Make, context: Context, told: list[Event]
) -> None:
    for began_s, ended_s, apart in ((-30, 30, ("b",)), (-30, 0, ()), (0, 0, ())):
        times = [time.time() + began_s]

        def clock(times: list[float] = times, ended_s: float = ended_s) -> float:
            times.append(time.time() + ended_s)
            return times[-2] if len(times) == 2 else times[-1]

        await shell(tool, replace(keeping(), clock=clock), context, f"echo {began_s}{ended_s} > b")
        after = next(each for each in reversed(told) if isinstance(each, Checkpoint))
        assert (after.when, after.apart) == ("after", apart)


async def test_a_call_that_changes_nothing_is_told_of_once(
    tool: Callable[[str], Tool], keeping: Make, context: Context, told: list[Event]
) -> None:
    await shell(tool, keeping(), context, "true")
    assert trees(told) == [("before", (7, 1))]


async def test_a_reading_tool_is_not_wrapped(tool: Callable[[str], Tool], keeping: Make) -> None:
    assert keeping().wrap(tool("read_file")) is tool("read_file")


async def test_a_tool_that_fails_half_way_is_followed_by_its_snapshot_too(
    tool: Callable[[str], Tool], keeping: Make, context: Context, workspace: Path, told: list[Event]
) -> None:
    async def fail(ctx: Context, call: ParsedCall) -> Result:
        (workspace / "half").write_text("x")
        raise ToolError("io", "the disk is full")

    broken = tool("shell").wrapped(fail)
    with pytest.raises(ToolError):
        await run_tool(keeping().wrap(broken), context, '{"command": "x"}')
    assert [when for when, _ in trees(told)] == ["before", "after"]


async def test_an_interrupted_call_is_followed_by_its_snapshot_too(
    tool: Callable[[str], Tool], keeping: Make, context: Context, workspace: Path, told: list[Event]
) -> None:
    begun = asyncio.Event()

    async def hang(ctx: Context, call: ParsedCall) -> Result:
        (workspace / "half").write_text("x")
        begun.set()
        await asyncio.Event().wait()
        return Result("never")

    hanging = keeping().wrap(tool("shell").wrapped(hang))
    task = asyncio.ensure_future(run_tool(hanging, context, '{"command": "x"}'))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert trees(told)[0][0] == "before"


async def test_a_slow_snapshot_after_an_interrupted_call_is_told_of_when_it_is_there(
    tool: Callable[[str], Tool], keeping: Make, context: Context, workspace: Path, tmp_path: Path, told: list[Event]
) -> None:
    begun, go_on = asyncio.Event(), threading.Event()

    class Slow(Checkpoints):
        def take(self, also: Sequence[str] = (), *, newly_ignored: bool = False) -> Snapshot:
            if begun.is_set():
                go_on.wait(10)
            return super().take(also, newly_ignored=newly_ignored)

    async def hang(ctx: Context, call: ParsedCall) -> Result:
        (workspace / "half").write_text("x")
        begun.set()
        await asyncio.Event().wait()
        return Result("never")

    kept = replace(keeping(), checkpoints=Slow(workspace, tmp_path / "slow", environ=os.environ))
    task = asyncio.ensure_future(run_tool(kept.wrap(tool("shell").wrapped(hang)), context, '{"command": "x"}'))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [when for when, _ in trees(told)] == ["before"]
    go_on.set()
    await shell(tool, kept, context, "true")
    assert trees(told) == [("before", context.place), ("after", context.place), ("before", (7, 1))]


async def test_a_destructive_command_runs_and_says_how_its_files_come_back(
    tool: Callable[[str], Tool], keeping: Make, context: Context, workspace: Path, told: list[Event], golden: Golden
) -> None:
    (workspace / ".gitignore").write_text("secret\n")
    (workspace / "secret").write_text("never in git")
    kept = keeping()
    content = await shell(tool, kept, context, "rm secret .gitignore")
    before = next(each for each in told if isinstance(each, Checkpoint))
    (notice,) = [each.text for each in told if isinstance(each, Notice)]
    assert content.endswith(f"\n{notice}")
    assert kept.checkpoints.read(before.tree, "secret") == b"never in git"
    assert not (workspace / "secret").exists()
    golden(notice, TREE=before.tree[:12])


WAY = " with /undo or: kimi-agent rewind S1 --to TREE --what code"
LOST = "Not kept, so /undo does not bring back: "


@pytest.mark.parametrize(
    ("command", "lines"),
    [
        ("rm i.log", ["i.log comes back" + WAY]),
        ("rm *.log", ["i.log, tracked.log come back" + WAY]),
        ("rm dist/app.js", ["dist/app.js comes back" + WAY]),
        ("rm -r dist", [LOST + "dist"]),
        ("rm -r dist src", ["src comes back" + WAY, LOST + "dist"]),
        ("rm -rf dist nothing", [LOST + "dist"]),
        ("rm -rf nothing; find . -name '*.pyc' -delete", []),
        ("rm -r logs", ["logs comes back" + WAY, LOST + "logs (some of it)"]),
        ("rm -r mixed", ["mixed comes back" + WAY, LOST + "mixed (some of it)"]),
        ("rm big.log", [LOST + "big.log"]),
        (
            "git reset --hard; rm -r dist",
            ["The files as they were before (not those that git ignores, unless named) come back" + WAY, LOST + "dist"],
        ),
        ("git push --force", []),
        ("git push --force; rm a.py", ["a.py comes back" + WAY]),
        ("rm ../elsewhere", []),
    ],
)
async def test_only_what_that_snapshot_holds_is_said_to_come_back(
    command: str,
    lines: list[str],
    tool: Callable[[str], Tool],
    keeping: Make,
    context: Context,
    workspace: Path,
    told: list[Event],
) -> None:
    ignored = {"i.log": "i", "dist/app.js": "d", "dist/deep/x": "x", "logs/a.log": "l", "a.pyc": "p"}
    others = {"tracked.log": "t", "src/a.py": "s", "a.py": "a", "logs/README": "r", "mixed/f": "f"}
    (workspace / ".git").mkdir()
    (workspace / ".gitignore").write_text("*.log\n!tracked.log\ndist\n*.pyc\n")
    for name, text in {**ignored, **others, "mixed/.git/HEAD": "ref: refs/heads/main\n"}.items():
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / name).write_text(text)
    (workspace / "big.log").write_bytes(b"x" * 1_000_001)
    if "*.log" in command:
        (workspace / "big.log").unlink()
    standing = {path: path.read_bytes() for path in workspace.rglob("*") if path.is_file()}
    kept = keeping(answer=True)

    async def run(ctx: Context, call: ParsedCall) -> Result:
        return Result("ran")

    raw = json.dumps({"command": command})
    done = await run_tool(kept.wrap(tool("shell").wrapped(run)), replace(context, place=(7, 1)), raw)
    (before,) = [each for each in told if isinstance(each, Checkpoint)]
    assert done.content.replace(before.tree[:12], "TREE").splitlines() == ["ran", *lines]
    for name in (name for line in lines if line.endswith(WAY) for name in line.split(" come")[0].split(", ")):
        if f"{name} (some of it)" not in done.content:
            below = {path: data for path, data in standing.items() if path.is_relative_to(workspace / name)}
            assert {
                path: kept.checkpoints.read(before.tree, str(path.relative_to(workspace))) for path in below
            } == below


async def test_what_a_ref_held_is_named(
    tool: Callable[[str], Tool], keeping: Make, context: Context, golden: Golden
) -> None:
    content = await shell(tool, keeping(), context, "git branch -D topic")
    golden(content.rpartition("\n")[2])


@pytest.mark.parametrize("answer", [True, False])
async def test_what_is_too_big_to_be_kept_is_not_destroyed_unasked(
    answer: bool,
    tool: Callable[[str], Tool],
    keeping: Make,
    context: Context,
    workspace: Path,
    told: list[Event],
    golden: Golden,
) -> None:
    (workspace / "big").write_bytes(b"x" * 2_000)
    kept = keeping(limits=SnapshotLimits(max_file_bytes=1_000), answer=answer)
    if answer:
        await shell(tool, kept, context, "rm big")
    else:
        with pytest.raises(ToolError) as caught:
            await shell(tool, kept, context, "rm big")
        golden(str(caught.value))
    assert (workspace / "big").exists() is not answer
    assert [type(each) for each in told if isinstance(each, Asked | Answered)] == [Asked, Answered]


async def test_an_edit_of_a_file_that_git_ignores_is_kept_too(
    tool: Callable[[str], Tool], keeping: Make, context: Context, workspace: Path, told: list[Event]
) -> None:
    (workspace / ".gitignore").write_text("local.cfg\n")
    (workspace / "local.cfg").write_text("precious = 1\n")
    await run_tool(tool("read_file"), context, '{"path": "local.cfg"}')
    kept = keeping()
    writing = kept.wrap(tool("write_file"))
    await run_tool(writing, replace(context, place=(7, 1)), '{"path": "local.cfg", "content": "x", "overwrite": true}')
    before, after = [each.tree for each in told if isinstance(each, Checkpoint)]
    assert kept.checkpoints.read(before, "local.cfg") == b"precious = 1\n"
    assert kept.checkpoints.read(after, "local.cfg") == b"x"


async def test_ignored_files_that_are_too_many_bytes_cost_nobody_the_other_snapshots(
    tool: Callable[[str], Tool], keeping: Make, context: Context, workspace: Path, told: list[Event], golden: Golden
) -> None:
    (workspace / ".gitignore").write_text("data\n")
    (workspace / "data").mkdir()
    (workspace / "data" / "x").write_bytes(os.urandom(5_000))
    kept = keeping(limits=SnapshotLimits(max_total_bytes=2_000))
    for _ in range(MAX_SNAPSHOT_FAILURES):
        with pytest.raises(ToolError, match="not run") as caught:
            await shell(tool, kept, context, "rm -rf data")
    await shell(tool, kept, context, "echo 1 > a")
    assert all(each.tree and not each.failed for each in told if isinstance(each, Checkpoint))
    assert trees(told)[-1] == ("after", (7, 1))
    golden(str(caught.value))


async def test_a_big_file_elsewhere_is_no_reason_to_ask(
    tool: Callable[[str], Tool], keeping: Make, context: Context, workspace: Path, told: list[Event]
) -> None:
    (workspace / "big").write_bytes(b"x" * 2_000)
    (workspace / "a").write_text("1")
    kept = keeping(limits=SnapshotLimits(max_file_bytes=1_000))
    await shell(tool, kept, context, "rm a; git branch -D topic")
    assert not (workspace / "a").exists()
    with pytest.raises(ToolError, match="not run"):
        await shell(tool, kept, context, "rm -rf $X")
    assert len([each for each in told if isinstance(each, Asked)]) == 1


async def test_where_nothing_can_be_kept_work_goes_on_and_the_person_hears_of_it_once(
    tool: Callable[[str], Tool], keeping: Make, context: Context, tmp_path: Path, told: list[Event]
) -> None:
    (tmp_path / "file").write_text("in the way")
    kept = keeping(store=tmp_path / "file" / "kept")
    for _ in range(MAX_SNAPSHOT_FAILURES + 2):
        await shell(tool, kept, context, "true")
    failed = [each for each in told if isinstance(each, Checkpoint)]
    assert len(failed) == MAX_SNAPSHOT_FAILURES + 2
    assert all(each.failed and not each.tree for each in failed)
    assert len([each for each in told if isinstance(each, Notice)]) == 1
