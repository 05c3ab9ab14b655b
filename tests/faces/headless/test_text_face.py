"""A one-shot run for people and pipes: what goes to stdout, and what to stderr."""

import io
import json

import pytest

from kimi_agent.faces.headless.jsonl import JsonLinesWriter
from kimi_agent.faces.headless.text_output import TextPrinter
from kimi_agent.faces.repl.render_queue import RenderQueue
from kimi_agent.faces.theme import Theme
from kimi_agent.log.event_parts import Short
from kimi_agent.log.events import (
    Asked,
    Compacted,
    Event,
    Notice,
    Restored,
    Retrying,
    Said,
    Shortened,
    Spent,
    Stamped,
    TextDelta,
)
from kimi_agent.log.fold.conversation import Conversation
from kimi_agent.log.messages import Assistant, Usage, user_message
from kimi_agent.log.questions import Question
from tests.golden_texts import Golden


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def printed(*events: Event, live: bool = True, quiet: bool = False, err: io.StringIO | None = None) -> tuple[str, str]:
    """What stdout and stderr hold after these events and the end."""
    out, err = io.StringIO(), err if err is not None else io.StringIO()
    face = TextPrinter(out, err, quiet=quiet, live=live)
    for seq, event in enumerate(events, 1):
        face(Stamped("main", seq, 0.0, event))
    answers = [each.message.text for each in events if isinstance(each, Said) and isinstance(each.message, Assistant)]
    face.finish(answers[-1] if answers else "")
    return out.getvalue(), err.getvalue()


def broken(*, kept: bool) -> tuple[Event, ...]:
    rest = ("wer.\n", "Half an answer.\n") if kept else ("All.\n", "All.\n")
    return TextDelta("Half an ans"), Retrying("Cut.", 2.0, 2, kept=kept), TextDelta(rest[0]), Said(Assistant(rest[1]))


def test_an_answer_that_goes_on_is_one_line_on_stdout() -> None:
    assert printed(*broken(kept=True)) == ("Half an answer.\n", "Cut; retry 1 in 2.0 s\n")
    assert printed(*broken(kept=True), live=False) == ("Half an answer.\n", "Cut; retry 1 in 2.0 s\n")
    assert printed(*broken(kept=True), err=Terminal()) == ("Half an answer.\n", "\nCut; retry 1 in 2.0 s\n")


def test_a_void_attempt_ends_its_line() -> None:
    assert printed(*broken(kept=False)) == ("Half an ans\nAll.\n", "Cut; retry 1 in 2.0 s\n")
    assert printed(*broken(kept=False), live=False, quiet=True) == ("All.\n", "")


NEW = (
    Compacted(9, "what was", messages=340, tokens_before=212_345, tokens_after=31_200),
    Shortened((Short(3, 0, "[shortened]"),), 180_200, 96_000),
    Restored(4),
    Spent("kimi", Usage(52_000, 10, 11_000), due=52_000, miss="the list of tools changed."),
    Spent("kimi", Usage(52_000, 10, 52_000)),
    Asked(Question("loop", "again", choices=("go on", "stop"))),
    Retrying("quota", 2.0, 2, kept=True),
)


def test_what_the_screen_says_stderr_says_in_the_same_words(golden: Golden) -> None:
    out, err = printed(*NEW)
    assert out == ""
    golden(err.rstrip())
    assert printed(*NEW, Notice("The disk is full."), quiet=True) == ("", "kimi-agent: The disk is full.\n")


def test_new_events_are_json_lines_like_others() -> None:
    out = io.StringIO()
    for event in NEW:
        JsonLinesWriter(out)(Stamped("main", 1, 0.0, event))
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["type"] for line in lines] == [type(event).__name__ for event in NEW]
    assert lines[1]["results"] == [{"answer": 3, "index": 0, "text": "[shortened]"}]
    assert lines[-1] | {"at": 0} == {
        "type": "Retrying", "agent": "main", "seq": 1, "at": 0,
        "why": "quota", "wait_s": 2.0, "attempt": 2, "kept": True,
    }  # fmt: skip


@pytest.mark.parametrize("after", [(), (Said(user_message("and now?")),)], ids=["within a turn", "a turn later"])
def test_a_summary_is_not_shown_as_typed_by_a_person(after: tuple[Said, ...]) -> None:
    fold = Conversation()
    built = (Said(user_message("build it")), Said(Assistant("Built.")))
    events: tuple[Event, ...] = (*built, Compacted(2, "They built it."), Said(Assistant("Tested.")), *after)
    for seq, event in enumerate(events, 1):
        fold.add(Stamped("main", seq, 0.0, event))
    render_queue = RenderQueue(Theme(False), lambda: 80, lambda: None)
    render_queue.recall(fold.messages())
    rows = render_queue.drain()
    shown = ["› and now?"] if after else ["(summary of what came before)", "", "Tested."]
    assert [row for row in rows[1:] if row or not after][-len(shown) :] == shown
    assert not any("replaced by" in row or "They built it" in row for row in rows)
