"""The whole of a session to look things up in: also what was summed up, shortened or taken back since."""

import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from kimi_agent.log.events import Rewound, Said, Shortened, Stamped
from kimi_agent.log.fold.conversation import Conversation, folded
from kimi_agent.log.fold.rewindable import Origin
from kimi_agent.log.readers.query import excerpt, parsed
from kimi_agent.log.readers.texts import Speech, Spoken

_EXCERPT_CHARS = 240
_PLACE = re.compile(r"#?(([0-9]{1,15})(?:\.[0-9]{1,6})?)")
Now = Literal["", "shortened", "summed up", "taken back"]


@dataclass(frozen=True)
class Hit:
    """A text that matched. `age_s` counts back from the last record.

    `now` is how the conversation holds it today, "" where as it was.
    """

    place: str
    turn: int
    age_s: float
    kind: str
    excerpt: str
    now: Now = ""


@dataclass(frozen=True)
class Hits:
    """The newest hits, the newest first, how many there were in all, and how the query was read."""

    newest: tuple[Hit, ...]
    total: int
    asked: str


@dataclass(frozen=True)
class Page:
    """A part of a record's text, from character `offset` on; `total` is how many it has."""

    text: str
    offset: int
    total: int
    turn: int


class History:
    """Reads the log anew for each question, record by record: nothing of it stays in memory."""

    def __init__(self, events: Callable[[], Iterable[Stamped]]) -> None:
        self._events = events

    def search(self, query: str, *, limit: int, without: str = "") -> Hits:
        """The newest texts that match (see `query.parsed`), but nothing of the tool `without`."""
        wanted = parsed(query)
        speech, fold, past = Speech(), Conversation(), _Past()
        found: deque[tuple[Stamped, Spoken, tuple[int, int], int]] = deque(maxlen=limit)
        total, last_at = 0, 0.0
        for stamped in self._events():
            fold.add(stamped)
            past.add(stamped)
            last_at = stamped.at
            for spoken in speech.of(stamped):
                span = wanted.find(spoken.text) if not without or spoken.tool != without else None
                if span is not None:
                    total += 1
                    found.append((stamped, spoken, span, fold.turn_of(stamped.seq)))
        now = past.reader(folded(self._events) if fold.behind else fold)
        newest = (
            Hit(
                place=spoken.place,
                turn=turn,
                age_s=max(0.0, last_at - stamped.at),
                kind=spoken.kind,
                excerpt=excerpt(spoken.text, span, max_chars=_EXCERPT_CHARS),
                now=now(spoken.origin, stamped.seq),
            )
            for stamped, spoken, span, turn in reversed(found)
        )
        return Hits(tuple(newest), total, str(wanted))

    def read(self, place: str, *, offset: int, max_chars: int) -> Page | None:
        """What a place holds, from character `offset` on; None where there is nothing.

        A call comes with its result, an answer with the places of its calls.
        """
        asked = _PLACE.fullmatch(place.strip())
        if asked is None:
            return None
        place, seq = asked[1], int(asked[2])
        speech, fold = Speech(), Conversation()
        texts: dict[str, str] = {}
        turn = 0
        for stamped in self._events():
            if texts and stamped.seq > seq and isinstance(stamped.event, Said):
                break
            fold.add(stamped)
            for spoken in speech.of(stamped):
                if spoken.place == place:
                    texts.setdefault(spoken.kind, spoken.text)
                    turn = turn or fold.turn_of(stamped.seq)
                elif spoken.place.startswith(f"{place}.") and spoken.kind.startswith("call"):
                    texts["calls"] = "\n".join(filter(None, [texts.get("calls"), f"{spoken.place} {spoken.tool}"]))
        if not texts:
            return None
        whole = "\n\n".join(f"{kind}:\n{text}" for kind, text in texts.items() if text)
        offset = max(0, min(offset, len(whole)))
        return Page(whole[offset : offset + max_chars], offset, len(whole), turn)


class _Past:
    """What became of the records: which were shortened, and which were taken back by a rewind."""

    def __init__(self) -> None:
        self._shortened: dict[int, set[Origin]] = {}
        self._back: tuple[tuple[int, int], ...] = ()
        self._undoable: dict[int, tuple[tuple[int, int], ...]] = {}

    def add(self, stamped: Stamped) -> None:
        match stamped.event:
            case Shortened(results):
                self._shortened[stamped.seq] = {(each.answer, each.index) for each in results}
            case Said():
                self._undoable.clear()
            case Rewound(to, what, undoes=0) if what != "code":
                self._undoable[stamped.seq] = self._back
                self._back = (*self._back, (to, stamped.seq))
            case Rewound(undoes=undone) if undone in self._undoable:
                self._undoable[stamped.seq], self._back = self._back, self._undoable[undone]

    def reader(self, fold: Conversation) -> Callable[[Origin | None, int], Now]:
        """Tells, by the fold of the whole log, how the text of an origin and a record stands now."""
        standing = set(fold.origins())
        short = {origin for seq in fold.replaced for origin in self._shortened.get(seq, ())}

        def now(origin: Origin | None, seq: int) -> Now:
            if origin in standing:
                return "shortened" if origin in short else ""
            if any(to <= seq < end for to, end in self._back):
                return "taken back"
            return "summed up" if origin and fold.replaced else ""

        return now
