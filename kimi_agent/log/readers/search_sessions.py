"""Word search over saved sessions: a line of a log is parsed only if what is searched for can be in it."""

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.log.events import Returned, Stamped
from kimi_agent.log.fold.conversation import Conversation
from kimi_agent.log.readers.record_texts import LogTexts
from kimi_agent.log.readers.search_query import Query, cut_excerpt
from kimi_agent.log.store.blobs import BlobStore
from kimi_agent.log.store.codec import decode_record
from kimi_agent.log.store.log_scan import find_event_name, is_prompt_line, list_logs, open_log, read_log_lines

_ANSWER = b'Said","message":{"type":"assistant"'
_RETURNED = b'Returned"'
_REWOUND = b'Rewound"'
_SPOKEN = (b'Said"', _RETURNED, b'Compacted"', b'Partial"', b'Noted"')
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
        with suppress(OSError), open_log(log) as fd:  # what was found before an error counts
            for hit in _hits(fd, BlobStore(folder / "blobs"), query):
                newest.append(hit)
                total += 1
        found += reversed(newest)
    return tuple(found[:most]), total


def _hits(fd: int, blobs: BlobStore, query: Query) -> Iterator[SearchHit]:
    turns, log_texts, answer = Conversation(), LogTexts(), b""
    for line, _ in read_log_lines(fd):
        event = find_event_name(line)
        if line.startswith(_ANSWER, event):
            answer = line
        numbers_turns = is_prompt_line(line, event) or line.startswith(_REWOUND, event)
        may_match = line.startswith(_SPOKEN, event) and (query.may_match(line) or _BLOB in line)
        record = _read(line, blobs) if numbers_turns or may_match else None
        if record is None:
            continue
        if numbers_turns:
            turns.add(record)
        if isinstance(record.event, Returned) and (said := _read(answer, blobs)) is not None:
            log_texts.note_calls(said)
        for each in log_texts.texts_of(record):
            span = query.find(each.text)
            if span is not None:
                shown = cut_excerpt(each.text, span, max_chars=_EXCERPT_CHARS)
                yield SearchHit(record.agent, each.place, turns.turn_of(record.seq), record.at, each.kind, shown)


def _read(line: bytes, blobs: BlobStore) -> Stamped | None:
    record = decode_record(line.removesuffix(b"\n"), blobs.text)
    return record if isinstance(record, Stamped) else None
