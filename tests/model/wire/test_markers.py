"""Raw tool-call markers in the text of an answer. The tools are `read_file` and `shell`."""

import pytest

from kimi_agent.log.events import CallDelta, ReasoningDelta, TextDelta
from kimi_agent.log.messages import Assistant, Call, Usage
from kimi_agent.model.message_assembly import Assembly
from kimi_agent.model.protocol import Delta, Finish
from kimi_agent.model.wire.call_markers import CallMarkerParser

TOOLS = frozenset({"read_file", "shell"})
BEGIN, END = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"


def marked(wire_id: str, arguments: str) -> str:
    return f"<|tool_call_begin|>{wire_id}<|tool_call_argument_begin|>{arguments}<|tool_call_end|>"


READ = marked("functions.read_file:0", '{"path": "a"}')
SHELL = marked("functions.shell:1", '{"command": "ls"}')
CALLS = (
    Call("functions.read_file:0", "read_file", '{"path": "a"}'),
    Call("functions.shell:1", "shell", '{"command": "ls"}'),
)


def passed(*deltas: Delta) -> list[Delta]:
    markers = CallMarkerParser(TOOLS)
    ending = (Usage(1, 2), Finish("stop"))
    found = [each for delta in (*deltas, *ending) for each in markers.pass_on(delta)]
    assert tuple(found[-2:]) == ending
    return found[:-2]


def answer(*deltas: Delta) -> Assistant:
    assembly = Assembly()
    for delta in passed(*deltas):
        assembly.add(delta)
    return assembly.assistant()


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        pytest.param(f"{BEGIN}{READ}{SHELL}{END}", CALLS, id="two calls"),
        pytest.param(f"{BEGIN}{READ}{SHELL}", CALLS, id="no end of the section"),
        pytest.param(f"{BEGIN}\n {READ} \n{SHELL}\n{END}\n\n", CALLS, id="space between"),
        pytest.param(f"{BEGIN}{READ}{END}".replace("calls_section", "call_section"), CALLS[:1], id="other spelling"),
        pytest.param(
            BEGIN + marked(" read_file ", ' {"path":\n"a"} '),
            [Call("read_file", "read_file", '{"path":\n"a"}')],
            id="bare name",
        ),
        pytest.param(BEGIN + marked("shell:12", "{}"), [Call("shell:12", "shell", "{}")], id="no functions."),
        pytest.param(
            BEGIN + marked("functions.shell:0", '{"command": "echo \'<|tool_call_end|>\'\t"}'),
            [Call("functions.shell:0", "shell", '{"command": "echo \'<|tool_call_end|>\'\t"}')],
            id="a marker and a raw tab in an argument",
        ),
    ],
)
def test_a_whole_section_becomes_calls_wherever_it_is_cut(text: str, calls: tuple[Call, ...]) -> None:
    whole = Assistant("So: ", None, tuple(calls))
    text = f"So: {text}"
    for cut in range(len(text) + 1):
        assert answer(TextDelta(text[:cut]), TextDelta(text[cut:])) == whole, cut
    assert answer(*map(TextDelta, text)) == whole


STAYS_TEXT = [
    pytest.param(f"The model writes `{BEGIN}` and then `<|tool_call_begin|>`.", id="a text about markers"),
    pytest.param(f"For example:\n```\n{BEGIN}{READ}{END}\n```\n", id="a whole example"),
    pytest.param(f"{BEGIN}{READ}{END} and so on", id="text behind it"),
    pytest.param(f"{BEGIN}{READ}{END}{BEGIN}{SHELL}{END}", id="a second section"),
    pytest.param(f"{BEGIN}{READ}{SHELL.removesuffix('<|tool_call_end|>')}", id="the last call is not whole"),
    pytest.param(f"{BEGIN}{READ}<|tool_call_begin|>functions.sh", id="the last call has only begun"),
    pytest.param(BEGIN + marked("functions.shell:0", '{"command": "ls'), id="arguments that were cut"),
    pytest.param(BEGIN + marked("functions.shell:0", '["ls"]') + END, id="arguments that are no object"),
    pytest.param(BEGIN + marked("functions.shell:0", "") + END, id="no arguments"),
    pytest.param(BEGIN + marked("functions.shell:0", '{"a": 1} {"b": 2}') + END, id="two objects"),
    pytest.param(BEGIN + marked("functions.shell:0", '{"a":' * 5000) + END, id="nested without end"),
    pytest.param(BEGIN + READ + marked("functions.format_disk:1", "{}") + END, id="one tool is unknown"),
    pytest.param(BEGIN + marked("functions.Shell:0", "{}") + END, id="a name in other case"),
    pytest.param(BEGIN + marked("", "{}") + END, id="no name"),
    pytest.param(BEGIN + END, id="no call"),
    pytest.param(BEGIN + READ * 65, id="too many calls"),
    pytest.param(READ, id="no section"),
    pytest.param("a < b, <| and <|tool_calls_", id="beginnings of markers"),
]


@pytest.mark.parametrize("text", STAYS_TEXT)
@pytest.mark.parametrize("kind", [TextDelta, ReasoningDelta])
def test_anything_else_comes_out_as_the_text_it_was(text: str, kind: type[TextDelta] | type[ReasoningDelta]) -> None:
    for size in (1, 7, len(text)):
        found = answer(*(kind(text[at : at + size]) for at in range(0, len(text), size)))
        assert (found.text or found.reasoning, found.calls) == (text, ()), size


def test_a_section_in_the_reasoning_counts_where_nothing_was_said_behind_it() -> None:
    thought = [ReasoningDelta(each, "reasoning") for each in f"I read. {BEGIN}{READ}{END}"]
    assert answer(*thought) == Assistant("", "I read. ", CALLS[:1], "reasoning")
    assert answer(*thought, TextDelta("\n")) == Assistant("\n", "I read. ", CALLS[:1], "reasoning")
    spoke = answer(*thought, TextDelta("Done."))
    assert spoke == Assistant("Done.", f"I read. {BEGIN}{READ}{END}", (), "reasoning")


def test_where_both_hold_a_section_that_of_the_text_counts() -> None:
    found = answer(ReasoningDelta(f"{BEGIN}{SHELL}{END}"), TextDelta(f"{BEGIN}{READ}{END}"))
    assert found == Assistant("", f"{BEGIN}{SHELL}{END}", CALLS[:1])


@pytest.mark.parametrize("first", [True, False])
def test_beside_a_proper_call_a_section_stays_text(first: bool) -> None:
    proper, leaked = CallDelta(0, "i", "shell", "{}"), TextDelta(f"{BEGIN}{READ}{END}")
    found = answer(proper, leaked) if first else answer(leaked, proper)
    assert found == Assistant(leaked.text, None, (Call("i", "shell", "{}"),))


def test_text_is_reported_at_once_but_for_what_may_begin_a_section() -> None:
    markers = CallMarkerParser(TOOLS)

    def reported(text: str) -> list[Delta]:
        return list(markers.pass_on(TextDelta(text)))

    assert reported("if a < b") == [TextDelta("if a < b")]
    assert reported(" <|tool_") == [TextDelta(" ")]
    assert reported("x") == [TextDelta("<|tool_x")]
    assert reported(f"{BEGIN}\n") == []
    assert reported("!") == [TextDelta(f"{BEGIN}\n!")]
    assert reported("<" * 1000) == [TextDelta("<" * 999)]


def test_an_empty_reasoning_is_still_reported() -> None:
    assert passed(ReasoningDelta("", "reasoning"), TextDelta("x")) == [ReasoningDelta("", "reasoning"), TextDelta("x")]
