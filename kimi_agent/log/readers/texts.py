"""What was said and done, as texts: each with the place under which it can be asked for again."""

from collections.abc import Iterator
from dataclasses import dataclass

from kimi_agent.log.events import Compacted, Noted, Partial, Returned, Said, Stamped
from kimi_agent.log.fold.rewindable import Origin
from kimi_agent.log.messages import Assistant, Call, User


@dataclass(frozen=True)
class Spoken:
    """A text; `place` is what a reader asks for: "12.0" for a call and its result, else the seq of the record.

    `origin` is that of the message it stands in, None for one that stands in none.
    """

    place: str
    origin: Origin | None
    kind: str
    text: str
    tool: str = ""


class Speech:
    """Takes the records of a log in their order, and gives the texts of each; reasoning is none of them."""

    def __init__(self) -> None:
        self._answer = 0
        self._calls: tuple[Call, ...] = ()

    def hear(self, stamped: Stamped) -> None:
        """Know the calls of the next record, if it is an answer."""
        if isinstance(stamped.event, Said) and isinstance(stamped.event.message, Assistant):
            self._answer, self._calls = stamped.seq, stamped.event.message.calls

    def of(self, stamped: Stamped) -> Iterator[Spoken]:
        """The texts of the next record."""
        self.hear(stamped)
        seq, alone = stamped.seq, (stamped.seq, -1)
        match stamped.event:
            case Said(message=User() as message):
                yield Spoken(str(seq), alone, "user", message.text)
            case Said(message=Assistant() as message):
                yield Spoken(str(seq), alone, "answer", message.text)
                for index, call in enumerate(message.calls):
                    yield Spoken(f"{seq}.{index}", alone, f"call of {call.name}", call.arguments, call.name)
            case Partial(text=text, retried=False):
                yield Spoken(str(seq), alone, "broken answer", text)
            case Returned(answer, index, result):
                known = answer == self._answer and 0 <= index < len(self._calls)
                name = self._calls[index].name if known else ""
                kind = f"result of {name}" if name else "result"
                yield Spoken(f"{answer}.{index}", (answer, index), kind, result.content, name)
            case Compacted(_, summary):
                yield Spoken(str(seq), alone, "summary", summary)
            case Noted(text):
                yield Spoken(str(seq), None, "note", text)
