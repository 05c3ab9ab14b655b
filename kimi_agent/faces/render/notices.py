"""Notice lines: the one sentence that an event of the harness gets, the same on the screen and on stderr."""

import time
from collections.abc import Iterator

from kimi_agent.faces.evidence_text import evidence_rows
from kimi_agent.faces.sanitize import sanitize
from kimi_agent.faces.summary_lines import format_amount, format_seconds
from kimi_agent.faces.theme import Style
from kimi_agent.log import events
from kimi_agent.printable import format_count

_LONG_S = 60.0


def notice_lines(stamped: events.Stamped) -> Iterator[tuple[Style, str]]:
    """The sentences, clean, each with its style; nothing for most events."""
    match stamped.event:
        case events.Notice(text):
            yield "yellow", sanitize(text)
        case events.Retrying() as retry:
            yield "yellow", _retrying(retry, stamped.at)
        case events.Spent() as spent if spent.miss:
            yield "dim", _missed(spent)
        case events.Shortened() as event:
            what = f"Shortened {format_count(len(event.results), 'stale result')}"
            yield "dim", _room(what, event.tokens_before, event.tokens_after)
        case events.Compacted() as event:
            what = f"Compacted: {format_count(event.messages, 'message')} became a summary"
            yield "dim", _room(what, event.tokens_before, event.tokens_after)
        case events.Restored():
            yield "dim", "The compaction was taken back."
        case events.Recovered(cut_bytes, bad_records):  # settled calls show as their own results
            torn = [f"{cut_bytes} bytes of a torn record cut off"] if cut_bytes else []
            torn += [f"{bad_records} bad records passed over"] if bad_records else []
            if torn:
                yield "dim", f"Recovered: {', '.join(torn)}."
        case events.Judged(evidence):
            yield from evidence_rows(evidence)
        case _:
            pass


def retry_number(retry: events.Retrying) -> int:
    """Its `attempt` is the one that comes: the second is the first retry."""
    return max(1, retry.attempt - 1)


def _retrying(retry: events.Retrying, at: float) -> str:
    """`The connection broke; retry 1 in 2.0 s`; a long wait also has the time of day at which it ends."""
    line = f"{sanitize(retry.why).rstrip('. ')}; retry {retry_number(retry)}"
    if retry.wait_s < 0.05:
        return f"{line} now"
    line = f"{line} in {format_seconds(retry.wait_s)}"
    if retry.wait_s <= _LONG_S:
        return line
    now, then = time.localtime(at), time.localtime(at + retry.wait_s)
    return f"{line}, at {time.strftime('%H:%M' if now[:3] == then[:3] else '%Y-%m-%d %H:%M', then)}"


def _room(what: str, before: int, after: int) -> str:
    tokens = f" ({format_amount(before)} -> {format_amount(after)} tokens)" if before else ""
    return f"{what}{tokens}; /compact undo takes it back."


def _missed(spent: events.Spent) -> str:
    missed = f"{format_amount(max(0, spent.due - spent.usage.cached))} of {format_amount(spent.due)} tokens"
    return f"Cache miss: {missed} were not cached: {sanitize(spent.miss).rstrip('. ')}."
