"""Texts of log records (prompts, answers, calls, results), each with a place to ask for it again, like "12.0"."""

from collections.abc import Iterator
from dataclasses import dataclass

from kimi_agent.log.events import Compacted, Noted, Partial, Returned, Said, Stamped
from kimi_agent.log.fold.rewindable import MessageOrigin
from kimi_agent.log.messages import Assistant, Call, User


@dataclass(frozen=True)
class LogText:
    """A text; `place` is what a reader asks for: "12.0" for a call and its result, else the seq of the record.

    `origin` is that of the message it is part of, None where there is none.
    """

    place: str
    origin: MessageOrigin | None
    kind: str
    text: str
    tool: str = ""


class LogTexts:
    """The texts of a log, whose records are given in their order. Reasoning is not among the texts."""

    def __init__(self) -> None:
        self._answer = 0
        self._calls: tuple[Call, ...] = ()

    def note_calls(self, stamped: Stamped) -> None:
        """Remember the calls of the next record, if it is an answer."""
        if isinstance(stamped.event, Said) and isinstance(stamped.event.message, Assistant):
            self._answer, self._calls = stamped.seq, stamped.event.message.calls

    def texts_of(self, stamped: Stamped) -> Iterator[LogText]:
        """The texts of the next record."""
        self.note_calls(stamped)
        seq, alone = stamped.seq, (stamped.seq, -1)
        match stamped.event:
            case Said(message=User() as message):
                yield LogText(str(seq), alone, "user", message.text)
            case Said(message=Assistant() as message):
                yield LogText(str(seq), alone, "answer", message.text)
                for index, call in enumerate(message.calls):
                    yield LogText(f"{seq}.{index}", alone, f"call of {call.name}", call.arguments, call.name)
            case Partial(text=text, retried=False):
                yield LogText(str(seq), alone, "broken answer", text)
            case Returned(answer, index, result):
                known = answer == self._answer and 0 <= index < len(self._calls)
                name = self._calls[index].name if known else ""
                kind = f"result of {name}" if name else "result"
                yield LogText(f"{answer}.{index}", (answer, index), kind, result.content, name)
            case Compacted(_, summary):
                yield LogText(str(seq), alone, "summary", summary)
            case Noted(text):
                yield LogText(str(seq), None, "note", text)
