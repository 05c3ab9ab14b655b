"""The tape's format, which line answers, and how it plays in-process."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kimi_agent.errors import Refused, TooLong, Unavailable, UserError
from kimi_agent.log.events import CallDelta, ReasoningDelta, TextDelta
from kimi_agent.log.messages import Assistant, Call, Message, ToolReturn, Usage, user_message
from kimi_agent.model.endpoint.profiles import Clocks
from kimi_agent.model.message_assembly import Assembly
from kimi_agent.model.protocol import Delta, Finish, Request
from kimi_agent.model.tape import tape_format
from kimi_agent.model.tape.tape_format import Pace, Tape
from kimi_agent.model.tape.tape_model import TapeModel
from tests.model.requests import all_of, ask_for, no_blob


async def never(seconds: float) -> None:
    raise AssertionError("nothing here waits")


def playing(*lines: dict[str, Any], **settings: Any) -> TapeModel:
    return TapeModel(Tape.of(*lines), blob=no_blob, sleep=settings.pop("sleep", never), **settings)


async def answer(model: TapeModel, request: Request | None = None) -> Assistant:
    assembly = Assembly()
    for delta in await all_of(model, request or ask_for()):
        assembly.add(delta)
    return assembly.assistant()


async def talk(
    model: TapeModel, *, results: dict[str, str] | None = None, steps: int, agent: str = "main"
) -> list[Message]:
    """A conversation of so many answers, each call answered from `results` by the tool's name."""
    messages: list[Message] = [user_message("hello")]
    for _ in range(steps):
        reply = await answer(model, ask_for(*messages, agent=agent))
        messages += [reply, *(ToolReturn(c.id, c.name, (results or {}).get(c.name, "ok")) for c in reply.calls)]
    return messages


CALL = {"calls": [{"name": "read_file", "args": {"path": "a.py"}}]}


async def test_a_line_is_reasoning_text_calls_usage_and_finish() -> None:
    model = playing({"reason": "hm so", "say": "I read.", **CALL, "usage": {"input": 900, "output": 40, "cached": 512}})
    deltas = await all_of(model, ask_for())
    assert deltas[:2] == [ReasoningDelta("hm so"), TextDelta("I read.")]
    assert deltas[-2:] == [Usage(900, 40, 512), Finish("tool_calls")]
    assert await answer(model) == Assistant(
        "I read.", "hm so", (Call("functions.read_file:0", "read_file", '{"path":"a.py"}'),)
    )


async def test_text_comes_out_as_it_was_written_at_any_pace() -> None:
    text = "  Tabs\t, lines\n\n\n, U+2028 \u2028, Thai สวัสดี, 日本語, long " + "x" * 500 + " end \n "
    for pace in (None, Pace(1), Pace(7)):
        assert (await answer(playing({"say": text, "reason": text}, pace=pace))).text == text


async def test_arguments_may_stand_raw_and_ids_be_given() -> None:
    model = playing(
        {"calls": [{"name": "shell", "raw": '{"command": ', "id": "odd id:7"}, {"name": "shell", "args": {}}]}
    )
    assert (await answer(model)).calls == (
        Call("odd id:7", "shell", '{"command": '),
        Call("functions.shell:1", "shell", "{}"),
    )


async def test_the_number_of_answers_in_the_request_chooses_the_line() -> None:
    lines = (CALL, {"say": "second"}, {"say": "third"})
    messages = await talk(playing(*lines), steps=3)
    texts = [message.text for message in messages if isinstance(message, Assistant)]
    assert texts == ["", "second", "third"]
    for end, text in ((1, ""), (3, "second"), (4, "third")):
        assert (await answer(playing(*lines), ask_for(*messages[:end]))).text == text, "a new process finds its place"


async def test_the_end_of_the_tape_is_an_error() -> None:
    with pytest.raises(Refused, match="tape: no line gives answer 2 to main; its lines end after answer 1") as refused:
        await talk(playing({"say": "all"}), steps=2)
    assert refused.value.status == 400


async def test_repeat_and_at_place_lines() -> None:
    model = playing({"say": "a", "repeat": 2}, {"at": 3, "say": "d"}, {"say": "e {{step}}", "repeat": True})
    with pytest.raises(Refused, match="no line gives answer 3"):
        await talk(model, steps=3)
    history: list[Message] = [user_message("x"), *(Assistant(str(i)) for i in range(3))]
    assert (await answer(model, ask_for(*history))).text == "d"
    assert (await answer(model, ask_for(*history, Assistant("d"), Assistant("e"), Assistant("e")))).text == "e 7"


async def test_lines_belong_to_an_agent_or_to_words_of_a_prompt() -> None:
    model = playing(
        {"say": "main"},
        {"agent": "main.*", "say": "some child"},
        {"agent": "main.2", "when": "bugs", "say": "bug hunter"},
        {"when": "docs", "say": "writer"},
        {"when": "docs", "say": "writer again"},
    )
    assert (await answer(model, ask_for(agent="main.1"))).text == "some child"
    assert (await answer(model, ask_for(user_message("find bugs"), agent="main.2"))).text == "bug hunter"
    assert (await answer(model)).text == "main"
    docs: list[Message] = [user_message("hello"), Assistant("main"), user_message("write docs")]
    assert (await answer(model, ask_for(*docs))).text == "writer", "counted from the words"
    assert (await answer(model, ask_for(*docs, Assistant("writer"), user_message("go on")))).text == "writer again"
    with pytest.raises(Refused, match="no lines are for the agent other"):
        await answer(model, ask_for(agent="other"))


async def test_an_interlude_answers_out_of_turn_and_uses_up_nobodys() -> None:
    model = playing(
        {"if": {"last_contains": "interrupted"}, "say": "once more", **CALL},
        {"say": "one", **CALL},
        {"say": "two", **CALL},
        {"say": "three"},
    )
    messages: list[Message] = [user_message("x")]
    texts = []
    for result in ("interrupted", "interrupted", "fine", "fine", ""):
        reply = await answer(model, ask_for(*messages))
        texts.append(reply.text)
        messages += [reply, *(ToolReturn(call.id, call.name, result) for call in reply.calls)]
    assert texts == ["one", "once more", "once more", "two", "three"]


async def test_placeholders_take_what_came_before() -> None:
    model = playing(
        {"calls": [{"name": "read_file", "args": {"path": "{{prompt|in (\\S+)}}"}}, {"name": "shell", "args": {}}]},
        {"say": "{{result:1|name=(\\w+)}} and {{result}} {{unknown}} {{step}}"},
    )
    first = await answer(model, ask_for(user_message("fix it in a.py now")))
    assert first.calls[0].arguments == '{"path":"a.py"}'
    results = [ToolReturn(first.calls[0].id, "read_file", "name=bob x"), ToolReturn(first.calls[1].id, "shell", "ok")]
    assert (await answer(model, ask_for(user_message("x"), first, *results))).text == "bob and ok {{unknown}} 2"


@pytest.mark.parametrize("text", ["{{result|nothing like it}}", "{{result:3}}"])
async def test_a_placeholder_without_a_match_is_an_error_and_never_guessed(text: str) -> None:
    with pytest.raises(Refused, match=r"tape, line 2: \{\{result"):
        await talk(playing(CALL, {"say": text}), steps=2)


@pytest.mark.parametrize(
    ("expect", "wrong"),
    [
        ({"last_contains": "hello"}, ""),
        ({"last_contains": ["hello", "world"]}, "expected what came last to contain 'world'; it is 'hello'"),
        ({"last_not_contains": "hello"}, "expected what came last not to contain 'hello'"),
        ({"regex": "^hel+o$"}, ""),
        ({"regex": "^x"}, "to match '^x'"),
        ({"last_role": "user"}, ""),
        ({"last_role": "tool"}, "the last message to be from 'tool'; it is from 'user'"),
        ({"messages": 2}, ""),
        ({"messages": 3}, "expected 3 messages; there are 2"),
        ({"contains": ["kind", "plan mode"]}, ""),
        ({"not_contains": "kind"}, "the conversation not to contain 'kind'"),
        ({"has_tool": "read_file"}, ""),
        ({"has_tool": ["read_file", "shell"]}, "the tool 'shell' to be offered; these are: read_file"),
        ({"note_contains": "plan mode"}, ""),
        ({"note_contains": "budget"}, "the notes to contain 'budget'; it is '<note>plan mode</note>'"),
    ],
)
async def test_expectations_on_the_request(expect: dict[str, Any], wrong: str) -> None:
    model = playing({"expect": expect, "say": "fine"})
    request = ask_for(notes=("plan mode",))
    if not wrong:
        assert (await answer(model, request)).text == "fine"
        return
    with pytest.raises(Refused) as refused:
        await answer(model, request)
    assert "tape, line 1: expected" in str(refused.value)
    assert wrong in str(refused.value)


async def test_the_scripted_model_refuses_what_moonshot_refuses() -> None:
    with pytest.raises(Refused, match="messages must be a list that is not empty"):
        await answer(playing({"say": "x"}), Request("", (), []))
    with pytest.raises(TooLong):
        await answer(playing({"say": "x"}, window=100), ask_for(user_message("x" * 400)))


SUMMARY: dict[str, Any] = {"agent": "*", "if": {"note_contains": "Make room"}, "say": "Story of {{step}}. {{place}}"}


async def compacted(
    model: TapeModel, messages: list[Message], *, keep: int = 0, whole: bool = True, agent: str = "main"
) -> list[Message]:
    """The conversation after a compaction that leaves the last `keep` messages.

    `whole` says that the request for the summary showed these too.
    """
    cut = len(messages) - keep
    shown = messages if whole else messages[:cut]
    request = ask_for(*shown, notes=("Make room: write the handover.",), agent=agent)
    summary = await answer(model, replace(request, purpose="compaction", tools_off=True))
    assert summary.text.startswith("Story of ")
    return [user_message(f"[Summary]\nthe user said: hello, docs\n\n{summary.text}"), *messages[cut:]]


async def go_on(model: TapeModel, messages: list[Message], steps: int) -> list[str]:
    """The texts of the next answers; `messages` grows."""
    texts = []
    for _ in range(steps):
        reply = await answer(model, ask_for(*messages))
        messages += [reply, *(ToolReturn(call.id, call.name, "ok") for call in reply.calls)]
        texts.append(reply.text)
    return texts


def counting(number: int) -> dict[str, Any]:
    return {"say": f"answer {number}", "calls": [{"name": "read_file", "args": {"path": f"{number}.py"}}]}


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("keep", [0, 2, 8])
@pytest.mark.parametrize("agent", ["*", ""])
async def test_a_tape_finds_its_place_across_compactions_and_in_a_new_process(
    keep: int, whole: bool, agent: str
) -> None:
    lines = [*map(counting, range(1, 31)), SUMMARY | {"agent": agent}]
    messages: list[Message] = [user_message("hello, docs")]
    texts: list[str] = []
    for _ in range(4):
        texts += await go_on(playing(*lines), messages, 6)
        messages = await compacted(playing(*lines), messages, keep=keep, whole=whole)
    texts += await go_on(playing(*lines), messages, 6)
    assert texts == [f"answer {number}" for number in range(1, 31)]


async def test_a_compaction_that_is_undone_leaves_the_count_as_it_was() -> None:
    lines = [*map(counting, range(1, 9)), SUMMARY]
    before: list[Message] = [user_message("hello")]
    await go_on(playing(*lines), before, 3)
    after = await compacted(playing(*lines), before)
    await go_on(playing(*lines), after, 2)
    assert await go_on(playing(*lines), before, 1) == ["answer 4"]


async def test_lines_of_words_and_the_number_of_the_step_go_on_behind_a_compaction_too() -> None:
    lines: list[dict[str, Any]] = [
        {"say": "main {{step}}", "repeat": True},
        {"when": "docs", "say": "docs one {{step}}"},
        {"when": "docs", "say": "docs two {{step}}"},
        {"when": "docs", "say": "docs three {{step}}"},
        {"when": "bugs", "say": "bugs one {{step}}"},
        SUMMARY,
    ]
    model = playing(*lines)
    messages: list[Message] = [user_message("hello")]
    texts = await go_on(model, messages, 2)
    messages.append(user_message("write docs"))
    texts += await go_on(model, messages, 1)
    messages = await compacted(model, messages)
    texts += await go_on(model, messages, 1)
    messages = await compacted(model, messages, keep=1)
    texts += await go_on(model, messages, 1)
    messages.append(user_message("now bugs"))
    texts += await go_on(model, messages, 1)
    assert texts == ["main 1", "main 2", "docs one 3", "docs two 4", "docs three 5", "bugs one 6"]


async def test_a_line_for_a_note_answers_every_agent_and_uses_up_nobodys_turn() -> None:
    child = {"agent": "main.*", "say": "child {{step}}", "repeat": True}
    model = playing({"say": "one"}, {"say": "two"}, child, SUMMARY)
    messages: list[Message] = [user_message("x"), Assistant("child 1")]
    after = await compacted(model, messages, agent="main.7")
    assert (await answer(model, ask_for(*after, agent="main.7"))).text == "child 2"
    asked = ask_for(user_message("x"), notes=("Make room: write.",))
    assert (await answer(model, asked)).text == "Story of 1. [tape 0 0=0]"
    assert (await answer(model, ask_for(user_message("x")))).text == "one"


async def test_a_partial_answer_is_gone_on_with_and_counts_as_none() -> None:
    model = playing(CALL, {"reason": "so", "say": "The whole answer.", **CALL})
    messages = await talk(model, steps=1)
    request = ask_for(*messages, notes=("n",))
    deltas = await all_of(model, replace(request, partial=Assistant("The whole", "so")))
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == " answer."
    assert not [delta for delta in deltas if isinstance(delta, ReasoningDelta)]
    assert [delta for delta in deltas if isinstance(delta, CallDelta)]
    with pytest.raises(Refused, match="line 2: the partial answer is not how this one begins; it is 'A whole'"):
        await answer(model, replace(request, partial=Assistant("A whole", "so")))


async def test_a_tape_may_call_though_it_was_asked_not_to() -> None:
    bodies: list[bytes] = []
    model = playing(CALL, seen=bodies.append)
    assert (await answer(model, replace(ask_for(), tools_off=True))).calls
    assert json.loads(bodies[0])["tool_choice"] == "none"


async def test_pace_waits_between_pieces_and_can_be_overridden() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    line = {"say": "one two three", "pace": 50}
    await answer(playing(line, sleep=sleep))
    assert waits == [0.02] * 3
    waits.clear()
    await answer(playing(line | {"pace": {"chunk": 6, "delay_s": 0.5}}, sleep=sleep))
    assert waits == [0.5] * 3
    await answer(playing(line, pace=Pace()))


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ({"status": 429, "headers": {"Retry-After": "2"}, "body": {"error": {"message": "slow"}}}, Unavailable, "slow"),
        ({"status": 401}, Refused, "401"),
        ({"status": 400, "body": {"error": {"message": "maximum context length"}}}, TooLong, "window"),
        ({"status": 200, "body": "<html>", "headers": {"content-type": "text/html"}}, Unavailable, "text/html"),
        ({"status": 200, "body": ""}, Unavailable, "empty answer"),
        ({"cut": 2}, Unavailable, "broke off"),
        ({"cut": 2, "clean": True}, Unavailable, "broke off"),
        ({"cut_bytes": 30}, Unavailable, "broke off"),
        ({"malformed": 1}, Unavailable, "broken event"),
        ({"drop": True}, Unavailable, "broke off"),
        ({"stall": 1}, Unavailable, "no bytes"),
    ],
)
async def test_a_fault_strikes_as_often_as_it_says_and_then_the_line_answers(
    fault: dict[str, Any], error: type[Exception], words: str
) -> None:
    clocks = Clocks(no_bytes_s=0.05)
    model = playing({"fault": fault | {"times": 2}, "say": "at last we speak"}, clocks=clocks)
    for _ in range(2):
        with pytest.raises(error, match=words):
            await answer(model)
    assert (await answer(model)).text == "at last we speak"
    always = playing({"fault": fault | {"times": "always"}, "say": "never"}, clocks=clocks)
    for _ in range(3):
        with pytest.raises(error, match=words):
            await answer(always)


async def test_a_wait_that_the_fault_asks_for_is_passed_on() -> None:
    model = playing({"fault": {"status": 429, "headers": {"Retry-After": "2"}}, "say": "x"})
    with pytest.raises(Unavailable) as error:
        await answer(model)
    assert error.value.wait_s == 2.0


async def test_a_stalled_answer_can_be_cancelled() -> None:
    started = asyncio.Event()
    got: list[Delta] = []

    async def listen() -> None:
        async for delta in playing({"fault": {"stall": 2}, "say": "one two"}).stream(ask_for()):
            got.append(delta)
            started.set()

    task = asyncio.create_task(listen())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert got == [TextDelta("one")]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "truncated"),
        ('{"sya": "x"}', "it holds the unknown field `sya`"),
        ('{"say": 7}', "Expected `str | null`, got `int` - at `$.say`"),
        ('{"calls": [{"name": "x"}]}', "the call of 'x' needs either args or raw"),
        ('{"calls": [{"name": "x", "args": {}, "when": 1}]}', "unknown field `when`"),
        ('{"agent": "main"}', "it answers nothing"),
        ('{"say": "x", "fault": {"times": 2}}', "a fault is one of"),
        ('{"say": "x", "fault": {"cut": 1, "stall": 1}}', "a fault is one of"),
        ('{"say": "x", "expect": {"regex": "("}}', "missing )"),
        ('{"say": "{{result|(}}"}', "missing )"),
        ('{"say": "x", "if": {"has_tool": "x"}}', "looks at what came last only"),
        ("[]", "Expected `object`, got `array`"),
        ('{"calls": [{"name": "x", "args": ' + '{"a":' * 100_000, "recursion"),
    ],
)
def test_a_bad_line_is_named_with_the_keys_that_are_known(line: str, words: str) -> None:
    with pytest.raises(UserError) as error:
        Tape.parse('# a comment\n\n{"say": "fine"}\n' + line, "demo.tape")
    assert str(error.value).startswith("demo.tape, line 4: ")
    assert words in str(error.value)
    assert "Known keys: a line: say, reason, calls," in str(error.value)
    assert error.value.exit_code == 78


def test_a_line_that_can_never_be_reached_is_an_error() -> None:
    with pytest.raises(UserError, match="line 2: a line before it already gives this answer"):
        Tape.of({"say": "x", "repeat": True}, {"say": "never"})
    with pytest.raises(UserError, match="line 2"):
        Tape.of({"say": "x"}, {"at": 0, "say": "never"})


def test_a_tape_file_may_have_a_bom_and_crlf_and_u2028(tmp_path: Path) -> None:
    path = tmp_path / "my tape.jsonl"
    path.write_bytes('\ufeff# x\r\n{"say": "a\u2028b"}\r\n'.encode())
    assert Tape.load(path).scripts[0].entries[0].line.say == "a\u2028b"


@pytest.mark.parametrize("kind", ["missing", "folder", "binary"])
def test_a_tape_that_cannot_be_read_is_one_sentence(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.tape"
    if kind == "folder":
        path.mkdir()
    if kind == "binary":
        path.write_bytes(b"\xff\x00")
    with pytest.raises(UserError, match="tape"):
        Tape.load(path)


def test_the_example_in_the_documentation_is_a_tape() -> None:
    assert tape_format.__doc__ is not None
    example = "\n".join(line[4:] for line in tape_format.__doc__.split("\n") if line.startswith(('    {"', "    # ")))
    parsed = Tape.parse(example)
    assert len(parsed.scripts[0].entries) == 3
    keys = {field.encode_name for field in msgspec.structs.fields(tape_format.TapeLine)}
    assert all(f"  {key} " in tape_format.__doc__ for key in keys - {"expect"}), "every key is explained"


async def test_what_the_tape_sees_is_the_body_that_would_be_sent() -> None:
    bodies: list[bytes] = []
    await answer(playing({"say": "x"}, seen=bodies.append))
    assert json.loads(bodies[0])["prompt_cache_key"] == "S1"
