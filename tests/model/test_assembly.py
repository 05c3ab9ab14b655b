from kimi_agent.log.events import CallDelta, ReasoningDelta, Retrying, TextDelta
from kimi_agent.log.messages import Assistant, Call, Usage
from kimi_agent.model.message_assembly import Assembly
from kimi_agent.model.protocol import Delta, Finish


def put_together(*deltas: Delta) -> Assistant:
    assembly = Assembly()
    for delta in deltas:
        assembly.add(delta)
    return assembly.assistant()


def test_deltas_make_one_answer_with_its_calls_in_order() -> None:
    assert put_together(
        ReasoningDelta("h", "reasoning"),
        ReasoningDelta("m", "reasoning"),
        TextDelta("I "),
        TextDelta("read."),
        CallDelta(1, "i1", "b"),
        CallDelta(0, "", "a", "{"),
        CallDelta(1, "", "", "[]"),
        CallDelta(0, "late", "", "}"),
        Usage(1, 2),
        Finish("stop"),
    ) == Assistant("I read.", "hm", (Call("late", "a", "{}"), Call("i1", "b", "[]")), "reasoning")


def test_no_reasoning_and_empty_reasoning_are_not_the_same() -> None:
    assert put_together(TextDelta("x")) == Assistant("x", None)
    assert put_together(ReasoningDelta("", "reasoning"), TextDelta("x")) == Assistant("x", "", (), "reasoning")


def test_the_field_of_the_reasoning_is_that_of_its_first_words() -> None:
    assert put_together(ReasoningDelta("", "reasoning_content"), ReasoningDelta("a", "reasoning")) == Assistant(
        "", "a", (), "reasoning"
    )


def test_another_attempt_voids_what_was_streamed() -> None:
    half = (ReasoningDelta("hm", "reasoning"), TextDelta("I r"), CallDelta(0, "i0", "a", '{"x'))
    assert put_together(*half, Retrying("cut", 1.0, 2), TextDelta("Done.")) == Assistant("Done.")


def test_an_attempt_that_goes_on_keeps_text_and_reasoning_but_no_call() -> None:
    half = (ReasoningDelta("hm", "reasoning"), TextDelta("I r"), CallDelta(0, "i0", "a", '{"x'))
    more = (TextDelta("ead."), CallDelta(0, "i1", "b", "{}"))
    assert put_together(*half, Retrying("cut", 1.0, 2, kept=True), *more) == Assistant(
        "I read.", "hm", (Call("i1", "b", "{}"),), "reasoning"
    )
