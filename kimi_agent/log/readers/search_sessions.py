"""Word search over saved sessions: a line of a log is parsed only if what is searched for can be in it."""

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.log.events import Returned, Rewound
from kimi_agent.log.fold.conversation import Conversation
from kimi_agent.log.readers.record_texts import LogTexts
from kimi_agent.log.readers.search_query import Query, cut_excerpt
from kimi_agent.log.readers.summary import is_prompt
from kimi_agent.log.store.blobs import BlobStore
from kimi_agent.log.store.durable_io import open_to_read
from kimi_agent.log.store.log_scan import USER_SAID, LogScan, list_logs

_ANSWER = b'Said","message":{"type":"assistant"'
_NUMBERS_TURNS = (USER_SAID, b'Rewound"')
_SPOKEN = (b'Said"', b'Returned"', b'Compacted"', b'Partial"', b'Noted"')
_LOOKED_AT = (*_SPOKEN, b'Rewound"')
_BLOB = b'{"$blob":"'
_EXCERPT_CHARS = 160


@dataclass(frozen=True)
class SearchHit:
    """A text that matched, in the log of `agent`; `at` is when it was said."""

    agent: str
    place: str
    turn: int
    at: float
    kind: str
    excerpt: str


def search_session(folder: Path, query: Query, *, most: int) -> tuple[tuple[SearchHit, ...], int]:
    """The newest hits in a session's folder, the newest first and those of the main log before those of sub-agents,
    and how many there were in all. A log that cannot be read has none."""
    found: list[SearchHit] = []
    total = 0
    for log in list_logs(folder):
        newest: deque[SearchHit] = deque(maxlen=most)
        with suppress(OSError), open_to_read(log) as fd:  # what was found before an error counts
            for hit in _hits(fd, BlobStore(folder / "blobs"), query):
                newest.append(hit)
                total += 1
        found += reversed(newest)
    return tuple(found[:most]), total


def _hits(fd: int, blobs: BlobStore, query: Query) -> Iterator[SearchHit]:
    turns, log_texts, spoken = Conversation(), LogTexts(), _SpokenFilter(query)
    scan = LogScan(fd, blobs.text, wanted=spoken.picks)
    for record in scan:
        if isinstance(record.event, Rewound) or is_prompt(record.event):
            turns.add(record)
        if not spoken.may_match:
            continue
        if isinstance(record.event, Returned) and (said := scan.decode(spoken.answer)) is not None:
            log_texts.note_calls(said)
        for each in log_texts.texts_of(record):
            span = query.find(each.text)
            if span is not None:
                shown = cut_excerpt(each.text, span, max_chars=_EXCERPT_CHARS)
                yield SearchHit(record.agent, each.place, turns.turn_of(record.seq), record.at, each.kind, shown)


class _SpokenFilter:
    """Picks the records that number turns or may match; keeps the last answer, whose calls the results are named by."""

    def __init__(self, query: Query) -> None:
        self.answer = b""
        self.may_match = False
        self._query = query

    def picks(self, line: bytes, event: int) -> bool:
        if not line.startswith(_LOOKED_AT, event):
            return False
        if line.startswith(_ANSWER, event):
            self.answer = line
        self.may_match = line.startswith(_SPOKEN, event) and (self._query.may_match(line) or _BLOB in line)
        return self.may_match or line.startswith(_NUMBERS_TURNS, event)
