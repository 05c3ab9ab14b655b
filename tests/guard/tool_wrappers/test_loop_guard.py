"""The guard against loops: what counts as the same call, what the model hears, and who is asked."""

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest

from kimi_agent.errors import Stopped, ToolError
from kimi_agent.guard.tool_wrappers.approval import refuse_all
from kimi_agent.guard.tool_wrappers.loop_guard import MAX_REMEMBERED, LoopGuard
from kimi_agent.guard.tool_wrappers.normalize_calls import MAX_NORMALIZED_CHARS, normalize_arguments, normalize_result
from kimi_agent.log.events import (
    Answered,
    Asked,
    Checkpoint,
    Compacted,
    Effect,
    Event,
    Returned,
    Said,
    Stamped,
)
from kimi_agent.log.messages import Assistant, user_message
from kimi_agent.log.questions import Decision, Question
from kimi_agent.log.views import Result, TextView
from kimi_agent.tool import Context, Field, Tool, tool
from tests.golden_texts import Golden
from tests.tool_calls import run_tool

SAME = "Note: this same call gave this same result"


def saying(*outcomes: Result | ToolError | str, effect: Effect = "read", name: str = "say") -> Tool:
    """A tool that comes to `outcomes`, one after another, and then to the last of them again and again."""
    left = list(outcomes)

    @tool(effect=effect, name=name)
    async def say(
        ctx: Context, path: Annotated[str, Field("Path.")] = "", text: Annotated[str, Field("Text.")] = ""
    ) -> Result:
        """Say it."""
        outcome = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(outcome, ToolError):
            raise outcome
        return Result(outcome) if isinstance(outcome, str) else outcome

    return say


@dataclass
class Watched:
    """Loops with a person who gives `decisions`, and a log; a call's outcome is the text that the model reads."""

    context: Context
    decisions: list[Decision] = field(default_factory=list)
    log: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.loops = LoopGuard(self.ask, self.emit)

    async def ask(self, question: Question) -> Decision:
        return self.decisions.pop(0) if self.decisions else await refuse_all("nobody is there")(question)

    def emit(self, event: Event) -> Stamped:
        self.log.append(event)
        stamped = Stamped("main", len(self.log), 0.0, event)
        self.loops.hear(stamped)
        return stamped

    async def calls(self, tool: Tool, times: int, raw: str = "{}") -> list[str]:
        guarded = self.loops.wrap(tool)
        return [await self.call(guarded, raw) for _ in range(times)]

    async def call(self, guarded: Tool, raw: str = "{}") -> str:
        try:
            return (await run_tool(guarded, self.context, raw)).content
        except ToolError as error:
            return str(error)


@pytest.fixture
def watched(context: Context) -> Watched:
    return Watched(context)


def told(texts: Sequence[str]) -> list[int]:
    """Which calls (from 1) were told that they are the same again."""
    return [at for at, text in enumerate(texts, 1) if SAME in text or "This exact call failed" in text]


async def test_the_third_time_is_told_and_the_fifth_more_strongly(watched: Watched, golden: Golden) -> None:
    texts = await watched.calls(saying(Result("text", TextView("v"))), 6)
    assert texts[:2] == ["text", "text"]
    assert told(texts) == [3, 4, 5, 6]
    await watched.loops.ask_if_stuck()
    assert watched.log == []
    golden(*texts[2:])


async def test_at_the_eighth_time_a_person_is_asked_and_may_let_it_go_on(watched: Watched, golden: Golden) -> None:
    look, raw = saying("text", name="look"), '{"path": "src/a.py"}'
    await watched.calls(look, 8, raw)
    watched.decisions = [Decision(True, choice=0)]
    await watched.loops.ask_if_stuck()
    asked = watched.log[0]
    assert isinstance(asked, Asked)
    question = asked.question
    assert watched.log[1:] == [Answered(question, Decision(True, choice=0))]
    assert question == Question("loop", question.title, why=question.why, choices=("let it go on", "stop here"))
    await watched.loops.ask_if_stuck()  # asked once
    assert told(await watched.calls(look, 7, raw)) == [3, 4, 5, 6, 7]
    await watched.loops.ask_if_stuck()
    assert len(watched.log) == 2
    golden(question.title, question.why)


@pytest.mark.parametrize("decisions", [[Decision(False, choice=1)], []], ids=["stop here", "nobody there"])
async def test_where_nobody_lets_it_go_on_the_turn_ends(
    watched: Watched, decisions: list[Decision], golden: Golden
) -> None:
    watched.decisions = list(decisions)
    await watched.calls(saying("text"), 8, '{"text": "line one\\nline two"}')
    with pytest.raises(Stopped) as stop:
        await watched.loops.ask_if_stuck()
    assert (stop.value.status, stop.value.exit_code) == ("failed", 1)
    answer = watched.log[1]
    assert isinstance(answer, Answered)
    assert answer.decision.choice == (1 if decisions else -1)
    await watched.loops.ask_if_stuck()  # the next turn begins anew
    golden(str(stop.value), stop.value.wrap_up)


async def test_calls_that_take_turns_are_a_loop_too(watched: Watched) -> None:
    one, other = (watched.loops.wrap(saying(text, name=text)) for text in ("one", "two"))
    texts = [await watched.call(each) for _ in range(4) for each in (one, other)]
    assert told(texts) == [5, 6, 7, 8]


async def test_identical_calls_of_one_batch_count_each(watched: Watched) -> None:
    guarded = watched.loops.wrap(saying("text"))
    texts = await asyncio.gather(*(watched.call(guarded) for _ in range(8)))
    assert told(texts) == [3, 4, 5, 6, 7, 8]
    with pytest.raises(Stopped):
        await watched.loops.ask_if_stuck()


async def test_waiting_for_something_that_moves_is_no_loop(watched: Watched) -> None:
    poll = saying(*(f"{done} of 40 done" for done in range(40)), effect="execute")
    assert told(await watched.calls(poll, 40)) == []
    await watched.loops.ask_if_stuck()


async def test_a_reading_that_goes_back_and_forth_is_a_loop_and_a_file_that_grows_is_none(watched: Watched) -> None:
    back_and_forth = saying(*["text", "unchanged"] * 4, "text")
    assert told(await watched.calls(back_and_forth, 9)) == [4, 5, 6, 7, 8, 9]
    growing = saying(*(f"line {number}" for number in range(30)), name="tail")
    assert told(await watched.calls(growing, 30)) == []


async def test_other_arguments_another_tool_or_another_agent_are_another_call(watched: Watched) -> None:
    texts = [await watched.call(watched.loops.wrap(saying("x")), json.dumps({"text": str(n % 9)})) for n in range(18)]
    texts += [await watched.call(watched.loops.wrap(saying("x", name=name))) for name in ("abc", "def", "ghi")]
    texts += [await watched.call(Watched(watched.context).loops.wrap(saying("x"))) for _ in range(9)]
    assert told(texts) == []


async def test_blanks_and_the_order_of_keys_make_no_other_call(watched: Watched) -> None:
    guarded = watched.loops.wrap(saying("x"))
    raws = ['{"path":"a","text":"b"}', '{ "text": "b", "path": "a" }', '{"path": "\\u0061", "text": "b"}']
    assert told([await watched.call(guarded, raw) for raw in raws]) == [3]


@pytest.mark.parametrize(
    ("start", "again"),
    [
        (Checkpoint("t2", "after"), [3, 4]),
        (Checkpoint("t2", "before"), [3, 4]),
        (Checkpoint("t1", "after"), [3, 4]),
        (Said(user_message("go on")), [3, 4]),
        (Compacted(3, "what was"), [3, 4]),
        (Checkpoint("t1", "before"), [1, 2, 3, 4]),
        (Said(Assistant("hm")), [1, 2, 3, 4]),
    ],
    ids=["changed", "changed outside", "changed back", "user", "compacted", "same tree", "answer"],
)
async def test_counts_start_over_where_something_is_new(watched: Watched, start: Event, again: list[int]) -> None:
    watched.emit(Checkpoint("t1", "before"))
    guarded = watched.loops.wrap(saying("text"))
    assert told([await watched.call(guarded) for _ in range(4)]) == [3, 4]
    watched.emit(start)
    assert told([await watched.call(guarded) for _ in range(4)]) == again


async def test_progress_after_the_eighth_time_settles_it(watched: Watched) -> None:
    await watched.calls(saying("text"), 8)
    watched.emit(Checkpoint("t2", "after"))
    await watched.loops.ask_if_stuck()
    assert watched.log == [Checkpoint("t2", "after")]


async def test_names_of_the_same_tree_do_not_hide_a_loop(watched: Watched) -> None:
    # The snapshot before an edit of an ignored file holds that file too, so its name is another one.
    edit, look = saying("noop", effect="write", name="edit"), saying("text", effect="execute", name="look")
    texts = []
    for _ in range(5):
        for tree, called in (("t with ignored", edit), ("t", look)):
            watched.emit(Checkpoint(tree, "before"))
            texts += await watched.calls(called, 1)
    assert len(told(texts)) >= 4


async def test_without_snapshots_whatever_ran_may_have_changed_the_files(watched: Watched) -> None:
    watched.emit(Checkpoint("", "before", failed="the disk is full"))
    tests, edit = saying("1 failed", effect="execute"), saying("done", effect="write", name="edit")
    for number in range(9):
        assert told(await watched.calls(tests, 1)) == []
        assert told(await watched.calls(edit, 1, json.dumps({"text": str(number)}))) == []
    assert told(await watched.calls(tests, 4)) == [3, 4]


async def test_calls_of_tools_that_are_not_there_count_too(watched: Watched, golden: Golden) -> None:
    text = "Error [unknown_tool]: there is no tool 'fly'\nNext: use one of: shell"
    for index in range(8):
        watched.emit(Returned(1, index, Result(text, failed=True, code="unknown_tool")))
    with pytest.raises(Stopped) as stop:
        await watched.loops.ask_if_stuck()
    golden(str(stop.value))


async def test_the_third_identical_failure_says_so_and_shows_the_file(
    watched: Watched, workspace: Path, golden: Golden
) -> None:
    (workspace / "a.py").write_text("".join(f"x{number} = {number}\n" for number in range(500)))
    raw = json.dumps({"path": "a.py", "text": "something\n  x300 = 300\n"})
    texts = await watched.calls(saying(ToolError("not_found", "it is not there", "look"), effect="write"), 5, raw)
    assert "\n301\tx300 = 300\n" in texts[2]
    assert len(texts[2]) < 3_000
    assert told(texts) == [3, 4, 5]
    golden(*(line for text in texts for line in text.splitlines() if "\tx" not in line or "x280 " in line))


async def test_failed_results_are_counted_like_errors(watched: Watched, golden: Golden) -> None:
    texts = await watched.calls(saying(Result("Error [failed]: no", failed=True, code="failed")), 3)
    assert texts[:2] == ["Error [failed]: no"] * 2
    assert "\nNext: " in texts[2]
    golden(texts[2])


async def test_a_command_may_fail_again_after_a_change_but_a_failed_edit_met_the_same_lines(watched: Watched) -> None:
    command = saying(ToolError("failed", "red"), effect="execute")
    edit = saying(ToolError("not_found", "no"), effect="write")
    failed: list[str] = []
    for number in range(3):
        assert told(await watched.calls(command, 1)) == []
        failed += await watched.calls(edit, 1)
        watched.emit(Checkpoint(f"t{number}", "after"))
    assert told(failed) == [3]


@pytest.mark.parametrize("name", ["missing", "folder", "fifo", "binary", ".env", "../outside", "\u0000", ""])
async def test_what_cannot_be_shown_is_left_out(name: str, watched: Watched, workspace: Path) -> None:
    (workspace / "folder").mkdir()
    os.mkfifo(workspace / "fifo")
    (workspace / "binary").write_bytes(b"\0\1\2")
    (workspace / ".env").write_text("KEY=canary")
    texts = await watched.calls(saying(ToolError("failed", "no")), 3, json.dumps({"path": name}))
    (line,) = texts[2].splitlines()[1:-1]
    assert "3 times" in line


async def test_what_is_remembered_is_bounded(watched: Watched) -> None:
    failing = saying(ToolError("failed", "no"), effect="write")
    guarded = watched.loops.wrap(failing)
    for number in range(MAX_REMEMBERED + 100):
        await watched.call(guarded, json.dumps({"text": str(number)}))
        watched.emit(Checkpoint(f"t{number}", "before"))
    assert len(watched.loops._met) == MAX_REMEMBERED
    assert len(watched.loops._trees) <= 100


async def test_reading_the_same_page_again_and_again_with_the_real_tool(
    watched: Watched, workspace: Path, tool: Callable[[str], Tool]
) -> None:
    (workspace / "a.py").write_text("x = 1\n")
    read = watched.loops.wrap(tool("read_file"))
    texts = [await watched.call(read, '{"path": "a.py"}') for _ in range(9)]
    assert "unchanged since you read" in texts[1]
    assert told(texts) == [4, 5, 6, 7, 8, 9]
    with pytest.raises(Stopped, match=r"read_file\(path=a.py\)"):
        await watched.loops.ask_if_stuck()


async def test_a_real_command_is_the_same_although_it_takes_another_time(
    watched: Watched, tool: Callable[[str], Tool]
) -> None:
    raw = json.dumps({"command": "echo started $(date +%H:%M:%S.%N) in $(mktemp -u); exit 3"})
    texts = await watched.calls(tool("shell"), 4, raw)
    assert told(texts) == [3, 4]
    counter = json.dumps({"command": "echo x >> /dev/null; echo $RANDOM-$RANDOM-$RANDOM left"})
    assert told(await watched.calls(tool("shell"), 4, counter)) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ran in 0.12s", "ran in 13.5s"),
        ("3 passed in 1.23 seconds", "3 passed in 0.9 seconds"),
        ("took 12ms", "took 140 ms"),
        ("done in 3 s", "done in 41 s"),
        ("Time: 9 seconds", "Time: 10 seconds"),
        ("at 2026-07-29T10:11:12.5Z ok", "at 2027-01-02 03:04:05,123 ok"),
        ("real 0:00:01.23", "real 0:01:02.3"),
        ("<A at 0x7f00aa10>", "<A at 0x7F11BB20>"),
        ("server[1234]: up", "server[4321]: up"),
        ("started, pid 77", "started, pid 4711"),
        ("wrote /tmp/tmpab_12xyz/out", "wrote /tmp/tmpzzq0_9aa/out"),
        ("wrote /tmp/tmp.AbCdEfGhIj", "wrote /tmp/tmp.XyZzYxAbCd"),
        ("in /tmp/pytest-of-me/pytest-12/a", "in /tmp/pytest-of-me/pytest-13/a"),
        ("in /tmp/go-build123456/b001", "in /tmp/go-build99/b001"),
        ("the whole is output:4.1", "the whole is output:9.0"),
    ],
)
def test_what_always_differs_does_not_count(one: str, other: str) -> None:
    assert normalize_result(one) == normalize_result(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3 passed", "4 passed"),
        ("45% done", "46% done"),
        ("12.5 MB loaded", "12.6 MB loaded"),
        ("[3/10]", "[4/10]"),
        ("step 3 s", "step 4 s"),
        ("src/a1.py", "src/a2.py"),
        ("version 1.2.3", "version 1.2.4"),
        ("0x1", "0x2"),
        ("", " "),
    ],
)
def test_what_moves_counts(one: str, other: str) -> None:
    assert normalize_result(one) != normalize_result(other)


def test_of_a_long_result_both_ends_count() -> None:
    long = "x" * MAX_NORMALIZED_CHARS
    assert normalize_result(f"a{long}b") != normalize_result(f"a{long}c")
    assert normalize_result(f"a{long}b") != normalize_result(f"c{long}b")
    assert len(normalize_result(long * 20)) <= MAX_NORMALIZED_CHARS + 1


def test_hostile_arguments_are_compared_as_text() -> None:
    assert normalize_arguments("[" * 100_000) == "[" * 100_000
    assert normalize_arguments("{ no\n json") == "{ no json"
