"""Session recall: search and read the whole log of a session, also what was compacted, shortened or rewound."""

import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from kimi_agent.log.events import Said, Shortened, Stamped
from kimi_agent.log.fold.conversation import Conversation, fold_conversation
from kimi_agent.log.fold.current_records import CurrentRecords
from kimi_agent.log.fold.rewindable import MessageOrigin
from kimi_agent.log.readers.record_texts import LogText, LogTexts
from kimi_agent.log.readers.search_query import cut_excerpt, parse_query

_EXCERPT_CHARS = 240
_PLACE = re.compile(r"#?(([0-9]{1,15})(?:\.[0-9]{1,6})?)")
RecallStatus = Literal["", "shortened", "summed up", "taken back"]


@dataclass(frozen=True)
class Hit:
    """A text that matched. `age_s` counts back from the last record.

    `status` is what became of it in the conversation, "" where it is as it was.
    """

    place: str
    turn: int
    age_s: float
    kind: str
    excerpt: str
    status: RecallStatus = ""


@dataclass(frozen=True)
class RecallHits:
    """The newest hits, the newest first, how many there were in all, and how the query was read."""

    newest: tuple[Hit, ...]
    total: int
    asked: str


@dataclass(frozen=True)
class RecallPage:
    """A part of a record's text, from character `offset` on; `total` is how many it has."""

    text: str
    offset: int
    total: int
    turn: int


class SessionRecall:
    """Reads the log anew for each question, record by record: nothing of it stays in memory."""

    def __init__(self, events: Callable[[], Iterable[Stamped]]) -> None:
        self._events = events

    def search(self, query: str, *, limit: int, without: str = "") -> RecallHits:
        """The newest texts that match (see `query.parse_query`), but nothing of the tool `without`."""
        wanted = parse_query(query)
        log_texts, fold, fates = LogTexts(), Conversation(), _RecordFates()
        found: deque[tuple[Stamped, LogText, tuple[int, int], int]] = deque(maxlen=limit)
        total, last_at = 0, 0.0
        for stamped in self._events():
            fold.add(stamped)
            fates.add(stamped)
            last_at = stamped.at
            for log_text in log_texts.texts_of(stamped):
                span = wanted.find(log_text.text) if not without or log_text.tool != without else None
                if span is not None:
                    total += 1
                    found.append((stamped, log_text, span, fold.turn_of(stamped.seq)))
        fold = fold_conversation(self._events) if fold.needs_refold else fold
        newest = (
            Hit(
                place=log_text.place,
                turn=turn,
                age_s=max(0.0, last_at - stamped.at),
                kind=log_text.kind,
                excerpt=cut_excerpt(log_text.text, span, max_chars=_EXCERPT_CHARS),
                status=fates.status_in(fold, log_text.origin, stamped.seq),
            )
            for stamped, log_text, span, turn in reversed(found)
        )
        return RecallHits(tuple(newest), total, str(wanted))

    def read(self, place: str, *, offset: int, max_chars: int) -> RecallPage | None:
        """What a place holds, from character `offset` on; None where there is nothing.

        A call comes with its result, an answer with the places of its calls.
        """
        asked = _PLACE.fullmatch(place.strip())
        if asked is None:
            return None
        place, seq = asked[1], int(asked[2])
        log_texts, fold = LogTexts(), Conversation()
        texts: dict[str, str] = {}
        turn = 0
        for stamped in self._events():
            if texts and stamped.seq > seq and isinstance(stamped.event, Said):
                break
            fold.add(stamped)
            for log_text in log_texts.texts_of(stamped):
                if log_text.place == place:
                    texts.setdefault(log_text.kind, log_text.text)
                    turn = turn or fold.turn_of(stamped.seq)
                elif log_text.place.startswith(f"{place}.") and log_text.kind.startswith("call"):
                    texts["calls"] = "\n".join(filter(None, [texts.get("calls"), f"{log_text.place} {log_text.tool}"]))
        if not texts:
            return None
        whole = "\n\n".join(f"{kind}:\n{text}" for kind, text in texts.items() if text)
        offset = max(0, min(offset, len(whole)))
        return RecallPage(whole[offset : offset + max_chars], offset, len(whole), turn)


class _RecordFates:
    """What became of the records: which were shortened, and which were taken back by a rewind."""

    def __init__(self) -> None:
        self._shortened: dict[int, set[MessageOrigin]] = {}
        self._current = CurrentRecords()

    def add(self, stamped: Stamped) -> None:
        self._current.add(stamped)
        if isinstance(stamped.event, Shortened):
            self._shortened[stamped.seq] = {(each.answer, each.index) for each in stamped.event.results}

    def status_in(self, fold: Conversation, origin: MessageOrigin | None, seq: int) -> RecallStatus:
        """How the conversation, folded from the whole log, holds a text of record `seq`."""
        if origin in fold.origins():
            short = (found for at in fold.replaced for found in self._shortened.get(at, ()))
            return "shortened" if origin in short else ""
        if not self._current.is_current(seq):
            return "taken back"
        return "summed up" if origin and fold.replaced else ""
