"""The loop, told with a scripted model: what is asked, what is run, and what the log says of it."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pytest

from kimi_agent.errors import ModelError, Refused, Stopped, ToolError, TooLong, Unavailable
from kimi_agent.guard.policy.policy import Policy, Rules
from kimi_agent.guard.tool_wrappers.approval import refuse_all, wrap_with_approval
from kimi_agent.guard.tool_wrappers.loop_guard import NUDGE_AT, PAUSE_AT, LoopGuard
from kimi_agent.log.events import (
    CallStarted,
    Compacted,
    Durable,
    Event,
    Noted,
    Opened,
    Partial,
    Recovered,
    Requested,
    Retrying,
    Returned,
    Said,
    Stamped,
    TextDelta,
    TurnEnded,
)
from kimi_agent.log.fold.conversation import Conversation
from kimi_agent.log.messages import Assistant, Call, ToolReturn, User, user_message
from kimi_agent.log.questions import Decision, Question
from kimi_agent.log.store.session import Session
from kimi_agent.log.views import Result
from kimi_agent.model.protocol import WRAP_UP_OUTPUT_TOKENS, Delta, Finish, Model, Request
from kimi_agent.tool import Context, Field, ParsedCall, Preview, Tool, tool
from tests.scripted_model import Boundless, Scripted, Step, agent_on, calls, says


@tool(effect="read")
async def echo(ctx: Context, text: Annotated[str, Field("What to say back.")]) -> str:
    """Say it back."""
    return f"echo {text}"


@tool(effect="write")
async def keep(ctx: Context, path: Annotated[str, Field("Where.")]) -> str:
    """Keep the id of this call in a file."""
    with (ctx.files.root / path).open("a") as file:
        file.write(ctx.call_id + "\n")
    return "kept"


@tool(effect="read")
async def broken(ctx: Context) -> str:
    """Break."""
    raise ZeroDivisionError("by design")


@tool(effect="read")
async def leaver(ctx: Context) -> str:
    """Try to end the program."""
    raise SystemExit(3)


@tool(effect="read")
async def unwilling(ctx: Context) -> str:
    """Say no."""
    raise ToolError("missing", "nothing there", "look elsewhere")


def durable(agent_events: list[Stamped]) -> list[Event]:
    return [each.event for each in agent_events if isinstance(each.event, Durable)]


def results(session: Session) -> list[str]:
    return [each.event.result.content for each in session.events() if isinstance(each.event, Returned)]


def new_session(folder: Path) -> Session:
    return Session.create(folder, Opened(folder.name, "/w", "scripted", "0"), now=time.time)


async def test_a_turn_without_calls_is_one_request_and_its_answer(context: Context, tmp_path: Path) -> None:
    agent = agent_on(Scripted(says("Hello.", reasoning="hm")), [], context, tmp_path / "s")
    heard: list[Stamped] = []
    agent.session.listen(heard.append)
    ended = await agent.run_unverified_turn(user_message("hi"))
    assert ended == TurnEnded("done", 1)
    kinds = [type(each.event).__name__ for each in heard]
    assert kinds == ["Said", "Requested", "ReasoningDelta", "TextDelta", "Said", "TurnEnded"]
    assert agent.session.conversation.messages() == [user_message("hi"), Assistant("Hello.", "hm")]


async def test_calls_run_and_their_results_are_the_next_request(context: Context, tmp_path: Path) -> None:
    model = Scripted(calls(("echo", {"text": "a"}), ("echo", {"text": "b"})), says("Done."))
    agent = agent_on(model, [echo], context, tmp_path / "s")
    assert (await agent.run_unverified_turn(user_message("go"))).status == "done"
    assert list(model.requests[1].messages) == [
        user_message("go"),
        Assistant(
            "",
            None,
            (
                Call("functions.echo:0", "echo", '{"text": "a"}'),
                Call("functions.echo:1", "echo", '{"text": "b"}'),
            ),
        ),
        ToolReturn("functions.echo:0", "echo", "echo a"),
        ToolReturn("functions.echo:1", "echo", "echo b"),
    ]


async def test_reading_calls_run_together_and_writing_ones_in_order(context: Context, tmp_path: Path) -> None:
    gate = asyncio.Barrier(2)
    order: list[str] = []

    @tool(effect="read")
    async def meet(ctx: Context) -> str:
        """Wait for the other one."""
        await gate.wait()
        return "met"

    @tool(effect="write")
    async def note_down(ctx: Context, text: Annotated[str, Field("x")]) -> str:
        """Remember the order."""
        order.append(f"start {text}")
        await asyncio.sleep(0)
        order.append(f"end {text}")
        return text

    model = Scripted(
        calls(("meet", {}), ("meet", {})),
        calls(("note_down", {"text": "1"}), ("note_down", {"text": "2"})),
        says("."),
    )
    agent = agent_on(model, [meet, note_down], context, tmp_path / "s")
    async with asyncio.timeout(10):
        await agent.run_unverified_turn(user_message("go"))
    assert order == ["start 1", "end 1", "start 2", "end 2"]
    assert results(agent.session) == ["met", "met", "1", "2"]


async def test_started_is_written_before_the_effect_and_returned_after(context: Context, tmp_path: Path) -> None:
    seen: list[str] = []

    @tool(effect="write")
    async def look(ctx: Context) -> str:
        """Look into the log."""
        seen.extend(type(each.event).__name__ for each in session.events())
        return "ok"

    agent = agent_on(Scripted(calls(("look", {})), says(".")), [look], context, tmp_path / "s")
    session = agent.session
    await agent.run_unverified_turn(user_message("go"))
    assert seen[-1] == "CallStarted"
    assert [type(each.event).__name__ for each in session.events()][-5:] == [
        "CallStarted",
        "Returned",
        "Requested",
        "Said",
        "TurnEnded",
    ]


@pytest.mark.parametrize(
    ("call", "code", "words"),
    [
        (("nothing", "{}"), "unknown_tool", "use one of: broken, echo, leaver, unwilling"),
        (("Echo", '{"text": "a"}'), "unknown_tool", "there is no tool 'Echo'"),
        (("echo", '{"text" "a"}'), "bad_arguments", "not valid JSON"),
        (("echo", '{"text": "a'), "truncated", "cut off"),
        (("unwilling", "{}"), "missing", "Next: look elsewhere"),
        (("leaver", "{}"), "failed", "SystemExit: 3"),
        (("broken", "{}"), "failed", "ZeroDivisionError: by design\n(traceback: kept ZeroDivisionError)"),
    ],
)
async def test_whatever_goes_wrong_in_a_call_is_its_result(
    context: Context, tmp_path: Path, call: tuple[str, str], code: str, words: str
) -> None:
    agent = agent_on(Scripted(calls(call), says(".")), [echo, broken, leaver, unwilling], context, tmp_path / "s")
    assert (await agent.run_unverified_turn(user_message("go"))).status == "done"
    returned = [each.event.result for each in agent.session.events() if isinstance(each.event, Returned)]
    assert (returned[0].failed, returned[0].code) == (True, code)
    assert returned[0].content.startswith(f"Error [{code}]: ")
    assert words in returned[0].content


@pytest.mark.parametrize(
    "raw", ['{"path" "a"}', '{"path": "', "[]", '{"path": "wrong"}', pytest.param('{"path": "a\ud800', id="surrogate")]
)
async def test_a_call_that_cannot_be_read_asks_no_guard_and_counts_as_a_loop(
    context: Context, tmp_path: Path, raw: str
) -> None:
    def no_path(arguments: dict[str, object]) -> list[str]:
        raise ToolError("parse", "no such path can be")

    def unreachable(inner: Tool) -> Tool:
        raise AssertionError(f"{inner.name} was guarded")

    def loops(inner: Tool) -> Tool:
        return guard.wrap(inner)

    steps = [calls(("keep", raw)) for _ in range(PAUSE_AT)]
    agent = agent_on(
        Scripted(*steps, says(".")),
        [replace(keep, paths=no_path)],
        context,
        tmp_path / "s",
        guards=[unreachable],
        wrappers=[loops],
    )
    guard = LoopGuard(refuse_all("nobody"), agent.session.emit)
    await agent.run_unverified_turn(user_message("go"))
    assert not [each for each in agent.session.events() if isinstance(each.event, CallStarted)]
    warned = ["This exact call failed" in text for text in results(agent.session)]
    assert warned == [False] * (NUDGE_AT - 1) + [True] * (PAUSE_AT - NUDGE_AT + 1)
    shown = "path=wrong" if "wrong" in raw else raw
    with pytest.raises(Stopped, match=re.escape(f"keep({shown})")):
        await guard.ask_if_stuck()


async def test_a_tool_may_be_built_by_hand_without_a_function(context: Context, tmp_path: Path) -> None:
    async def remote(ctx: Context, call: ParsedCall) -> Result:
        return Result(f"{call.arguments} on {list(call.paths)}")

    async def shown(ctx: Context, call: ParsedCall) -> Preview:
        return Preview(call.tool.name)

    far = Tool(
        name="far_away",
        description="Do it elsewhere.",
        schema={"type": "object", "properties": {}},
        effect="network",
        run=remote,
        preview=shown,
        read=lambda raw: (json.loads(raw), ()),
        paths=lambda arguments: ["a"],
    )
    agent = agent_on(Scripted(calls(("far_away", {"anything": 1})), says(".")), [far], context, tmp_path / "s")
    await agent.run_unverified_turn(user_message("go"))
    assert results(agent.session) == ["{'anything': 1} on ['a']"]


async def test_the_arguments_of_a_call_are_read_once_whoever_looks_at_them(context: Context, tmp_path: Path) -> None:
    read: list[str] = []

    def counted(raw: str) -> tuple[dict[str, object], Sequence[str]]:
        read.append(raw)
        return keep.read(raw)

    policy = Policy("ask", Rules.parse(), workspace=context.files.root, home=tmp_path)

    async def allow(question: Question) -> Decision:
        return Decision(allowed=True)

    def approved(inner: Tool) -> Tool:
        return wrap_with_approval(inner, policy=policy, ask=allow, emit=agent.session.emit)

    def looped(inner: Tool) -> Tool:
        return LoopGuard(allow, agent.session.emit).wrap(inner)

    model = Scripted(calls(("keep", {"path": "a"})), says("."))
    tools = [replace(keep, read=counted)]
    agent = agent_on(model, tools, context, tmp_path / "s", guards=[approved], wrappers=[looped])
    await agent.run_unverified_turn(user_message("go"))
    assert (results(agent.session), len(read)) == (["kept"], 1)


def stopping(request: Request) -> AsyncIterator[Delta]:
    """What a budget does before a request."""
    raise Stopped("The budget is spent.", "budget", 54, wrap_up="Say how far you came.")


async def test_a_stop_of_the_harness_leaves_one_last_answer_without_calls(context: Context, tmp_path: Path) -> None:
    model = Scripted(calls(("echo", {"text": "a"})), stopping, says("Half of it is done."), says("Done."))
    agent = agent_on(model, [echo], context, tmp_path / "s")
    ended = await agent.run_unverified_turn(user_message("go"))
    assert (ended.status, ended.steps, ended.exit_code, ended.text) == ("budget", 1, 54, "The budget is spent.")
    last = model.requests[2]
    assert (last.purpose, last.tools_off, last.notes) == ("wrap_up", True, ("Say how far you came.",))
    assert last.max_output == WRAP_UP_OUTPUT_TOKENS
    assert agent.session.conversation.messages()[-1] == Assistant("Half of it is done.")
    assert (await agent.run_unverified_turn(user_message("continue"))).status == "done"


@pytest.mark.parametrize(
    "last", [Unavailable("Busy."), calls(("keep", {"path": "no"})), Stopped("Again.", "budget", 54, wrap_up="x")]
)
async def test_a_last_answer_that_fails_or_calls_ends_the_turn_all_the_same(
    context: Context, tmp_path: Path, last: Step
) -> None:
    model = Scripted(stopping, last, says("Done."))
    agent = agent_on(model, [keep], context, tmp_path / "s")
    ended = await agent.run_unverified_turn(user_message("go"))
    assert (ended.status, ended.exit_code) == ("budget", 54)
    assert not (context.files.root / "no").exists()
    assert (await agent.run_unverified_turn(user_message("continue"))).status == "done"


async def test_a_turn_out_of_time_ends_what_runs_and_says_how_far_it_came(context: Context, tmp_path: Path) -> None:
    @tool(effect="execute")
    async def wait_long(ctx: Context) -> str:
        """Never come back."""
        await asyncio.Event().wait()
        return "never"

    model = Scripted(calls(("wait_long", {})), says("I waited for a tool."))
    agent = agent_on(model, [wait_long], context, tmp_path / "s", timeout_s=0.05)
    ended = await agent.run_unverified_turn(user_message("go"))
    assert (ended.status, ended.exit_code) == ("time_limit", 55)
    assert "--timeout" in ended.text
    assert model.requests[1].purpose == "wrap_up"
    answered = list(model.requests[1].messages)[-1]
    assert isinstance(answered, ToolReturn)
    assert "may or may not have taken effect" in answered.content


class Shrinking(Boundless):
    """Room that can be made once the server says that there is none."""

    def __init__(self, session: Session, *, helps: bool) -> None:
        self.session = session
        self.helps = helps

    async def make_room(self, model: Model, request: Request, *, overflow: bool = False) -> bool:
        if overflow and self.helps:
            self.session.emit(Compacted(self.session.conversation.marks[-1].seq, "All that was said.", "overflow"))
        return overflow and self.helps


async def test_an_overflow_is_answered_by_making_room_and_one_retry(context: Context, tmp_path: Path) -> None:
    for helps, status, asked in ((True, "done", 2), (False, "failed", 1)):
        session = new_session(tmp_path / f"s{helps}")
        model = Scripted(TooLong("It is over the window."), says("Fine."))
        agent = agent_on(model, [], context, session.folder, session=session, room=Shrinking(session, helps=helps))
        ended = await agent.run_unverified_turn(user_message("go"))
        assert (ended.status, len(model.requests)) == (status, asked)


async def test_an_overflow_that_stays_ends_the_turn_with_a_mend(context: Context, tmp_path: Path) -> None:
    session = new_session(tmp_path / "s")
    model = Scripted(TooLong("Over."), TooLong("Still over."))
    agent = agent_on(model, [], context, session.folder, session=session, room=Shrinking(session, helps=True))
    ended = await agent.run_unverified_turn(user_message("go"))
    assert (ended.status, len(model.requests)) == ("failed", 2)
    assert ended.text == "Still over. This session is kept; start a new one for the next task (/clear)."


async def test_words_of_an_attempt_that_failed_are_kept_until_the_answer_is_there(
    context: Context, tmp_path: Path
) -> None:
    async def broken_off(request: Request) -> AsyncIterator[Delta]:
        yield TextDelta("It is ")
        yield Retrying("cut", 0.0, 2, kept=True)
        yield TextDelta("42.")
        yield Finish("stop")

    agent = agent_on(Scripted(broken_off), [], context, tmp_path / "s")
    await agent.run_unverified_turn(user_message("go"))
    partials = [each.event for each in agent.session.events() if isinstance(each.event, Partial)]
    assert partials == [Partial("It is ", "", "cut", retried=True)]
    assert agent.session.conversation.messages() == [user_message("go"), Assistant("It is 42.")]


async def test_what_is_typed_meanwhile_joins_at_the_next_step(context: Context, tmp_path: Path) -> None:
    @tool(effect="read")
    async def interject(ctx: Context) -> str:
        """The person types now."""
        agent.queue(user_message("and be quick"))
        return "ok"

    model = Scripted(calls(("interject", {})), says("Quickly."))
    agent = agent_on(model, [interject], context, tmp_path / "s")
    await agent.run_unverified_turn(user_message("go"))
    assert list(model.requests[1].messages)[-2:] == [
        ToolReturn("functions.interject:0", "interject", "ok"),
        user_message("and be quick"),
    ]


async def test_what_is_typed_during_the_last_answer_starts_another_step(context: Context, tmp_path: Path) -> None:
    async def answer(request: Request) -> AsyncIterator[Delta]:
        agent.queue(user_message("one more thing"))
        for delta in says("First."):
            yield delta

    model = Scripted(answer, says("Second."))
    agent = agent_on(model, [], context, tmp_path / "s")
    ended = await agent.run_unverified_turn(user_message("go"))
    assert (ended.steps, list(model.requests[1].messages)[-1]) == (2, user_message("one more thing"))


@pytest.mark.parametrize(
    ("error", "exit_code", "words"),
    [
        (Unavailable("The server is down."), 69, "The server is down."),
        (Unavailable("Quota used up.", retry=False, exit_code=75), 75, "Quota used up."),
        (Refused("No such model.", 404, exit_code=78), 78, "No such model."),
        (TooLong("The window is full."), 1, "This session is kept"),
    ],
)
async def test_a_model_error_ends_the_turn_and_leaves_the_session_whole(
    context: Context, tmp_path: Path, error: ModelError, exit_code: int, words: str
) -> None:
    model = Scripted(error, says("Here again."))
    agent = agent_on(model, [], context, tmp_path / "s")
    ended = await agent.run_unverified_turn(user_message("go"))
    assert (ended.status, ended.exit_code) == ("failed", exit_code)
    assert words in ended.text
    assert (await agent.run_unverified_turn(user_message("again"))).status == "done"
    assert list(model.requests[1].messages) == [user_message("go"), user_message("again")]


@pytest.mark.parametrize(("finish", "status", "exit_code"), [("length", "done", 0), ("content_filter", "refused", 1)])
async def test_an_answer_that_was_stopped_says_so(
    context: Context, tmp_path: Path, finish: str, status: str, exit_code: int
) -> None:
    agent = agent_on(Scripted(says("Half", finish=finish)), [], context, tmp_path / "s")
    ended = await agent.run_unverified_turn(user_message("go"))
    assert (ended.status, ended.exit_code, ended.text != "") == (status, exit_code, True)


async def cancelled(agent_turn: "asyncio.Task[TurnEnded]", when: asyncio.Event) -> float:
    """Cancel the turn at `when`; the seconds until it was back."""
    await when.wait()
    began = time.monotonic()
    agent_turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await agent_turn
    return time.monotonic() - began


async def test_a_cancelled_stream_keeps_its_words_and_the_next_turn_works(context: Context, tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def endless(request: Request) -> AsyncIterator[Delta]:
        yield TextDelta("I was about to")
        begun.set()
        await asyncio.Event().wait()

    model = Scripted(endless, says("Now then."))
    agent = agent_on(model, [], context, tmp_path / "s")
    await cancelled(asyncio.create_task(agent.run_unverified_turn(user_message("go"))), begun)
    assert [type(each.event) for each in agent.session.events()][-2:] == [Partial, TurnEnded]
    await agent.run_unverified_turn(user_message("go on"))
    first, partial, last = model.requests[1].messages
    assert (first, last) == (user_message("go"), user_message("go on"))
    assert isinstance(partial, Assistant)
    assert partial.text.startswith("I was about to")


async def test_a_cancelled_tool_is_answered_as_interrupted_with_what_changed(context: Context, tmp_path: Path) -> None:
    begun = asyncio.Event()

    @tool(effect="write")
    async def scribble(ctx: Context, path: Annotated[str, Field("Where.")]) -> str:
        """Write half of it."""
        (ctx.files.root / path).write_text("half")
        begun.set()
        await asyncio.Event().wait()
        return "never"

    (context.files.root / "a.txt").write_text("whole")
    model = Scripted(calls(("scribble", {"path": "a.txt"}), ("scribble", {"path": "b.txt"})), says("I see."))
    agent = agent_on(model, [scribble], context, tmp_path / "s")
    await cancelled(asyncio.create_task(agent.run_unverified_turn(user_message("go"))), begun)
    await agent.run_unverified_turn(user_message("what now?"))
    answers = [each.content for each in model.requests[1].messages if isinstance(each, ToolReturn)]
    assert "may or may not have taken effect" in answers[0]
    assert "a.txt" in answers[0]
    assert answers[1] == "not run: the turn was interrupted before this call began"


async def test_after_a_crash_reading_is_done_again_and_an_effect_never(context: Context, tmp_path: Path) -> None:
    first = agent_on(Scripted(), [echo, keep], context, tmp_path / "s")
    reply = Assistant("", None, (Call("e:0", "echo", '{"text": "x"}'), Call("k:1", "keep", '{"path": "ids"}')))
    first.session.emit(said_event(user_message("go")))
    answer = first.session.emit(Said(reply)).seq
    first.session.emit(CallStarted(answer, 0, "echo", "read"))
    first.session.emit(CallStarted(answer, 1, "keep", "write"))
    first.session.close()

    session = Session.resume(tmp_path / "s", now=time.time)
    model = Scripted(says("Fine."))
    agent = agent_on(model, [echo, keep], context, tmp_path / "s", session=session)
    await agent.resume()
    await agent.run_unverified_turn(user_message("go on"))
    answers = [each.content for each in model.requests[0].messages if isinstance(each, ToolReturn)]
    assert answers[0] == "echo x"
    assert "may or may not have taken effect" in answers[1]
    assert not (context.files.root / "ids").exists()
    assert [type(each.event) for each in session.events()].count(Recovered) == 1


def said_event(message: User) -> Said:
    return Said(message)


async def test_what_was_queued_before_a_crash_is_said_after_it(context: Context, tmp_path: Path) -> None:
    first = agent_on(Scripted(), [], context, tmp_path / "s")
    first.queue(user_message("do not forget"))
    first.session.close()
    session = Session.resume(tmp_path / "s", now=time.time)
    model = Scripted(says("No."))
    agent = agent_on(model, [], context, tmp_path / "s", session=session)
    await agent.resume()
    await agent.run_unverified_turn(user_message("go"))
    assert list(model.requests[0].messages) == [user_message("do not forget"), user_message("go")]


async def test_a_note_rides_at_the_tail_and_is_logged_when_it_changes(context: Context, tmp_path: Path) -> None:
    texts = iter(["be careful", "be careful", None])

    def note(conversation: Conversation) -> str | None:
        return next(texts)

    model = Scripted(calls(("echo", {"text": "a"})), calls(("echo", {"text": "b"})), says("."))
    agent = agent_on(model, [echo], context, tmp_path / "s", notes=[note])
    await agent.run_unverified_turn(user_message("go"))
    assert [request.notes for request in model.requests] == [("be careful",), ("be careful",), ()]
    assert [each.event for each in agent.session.events() if isinstance(each.event, Noted)] == [
        Noted("be careful"),
        Noted(""),
    ]


async def test_each_request_begins_with_the_messages_of_the_one_before(context: Context, tmp_path: Path) -> None:
    model = Scripted(*[calls(("echo", {"text": str(n)})) for n in range(4)], says("."), says("again"))
    agent = agent_on(model, [echo], context, tmp_path / "s")
    await agent.run_unverified_turn(user_message("go"))
    await agent.run_unverified_turn(user_message("more"))
    for before, after in zip(model.requests, model.requests[1:], strict=False):
        assert list(after.messages)[: len(before.messages)] == list(before.messages)
        assert all(old is new for old, new in zip(before.messages, after.messages, strict=False))


async def test_a_result_is_what_the_tool_gave_with_both_its_sides(context: Context, tmp_path: Path) -> None:
    @tool(effect="read")
    async def both(ctx: Context) -> Result:
        """Two sides."""
        return Result("for the model")

    def loud(inner: Tool) -> Tool:
        async def run(ctx: Context, call: ParsedCall) -> Result:
            found = await inner.run(ctx, call)
            return Result(found.content.upper())

        return inner.wrapped(run)

    agent = agent_on(Scripted(calls(("both", {})), says(".")), [both], context, tmp_path / "s", wrappers=[loud])
    await agent.run_unverified_turn(user_message("go"))
    assert results(agent.session) == ["FOR THE MODEL"]
    assert sum(isinstance(each.event, Requested) for each in agent.session.events()) == 2


async def test_a_listener_that_raises_leaves_no_answer_half_read(context: Context, tmp_path: Path) -> None:
    ended: list[str] = []

    class Endless(Scripted):
        async def stream(self, request: Request) -> AsyncIterator[Delta]:
            try:
                while True:
                    yield TextDelta("on and ")
            finally:
                ended.append("its connection is closed")

    def gone(stamped: Stamped) -> None:
        if isinstance(stamped.event, TextDelta):
            raise BrokenPipeError

    agent = agent_on(Endless(), [], context, tmp_path / "s")
    agent.session.listen(gone)
    with pytest.raises(BrokenPipeError):
        await agent.run_unverified_turn(user_message("go"))
    assert ended == ["its connection is closed"]
