"""A log as a person or a program reads it: Markdown, or one JSON array. Pure."""

import re
from collections.abc import Callable, Iterable

import msgspec

from kimi_agent.log.events import (
    CallStarted,
    Committed,
    Compacted,
    Judged,
    Opened,
    Partial,
    Recovered,
    Renamed,
    Returned,
    Rewound,
    Said,
    Stamped,
    TurnEnded,
)
from kimi_agent.log.messages import Assistant, Call, Media, User
from kimi_agent.log.views import Evidence


def as_json(events: Iterable[Stamped]) -> str:
    """Every record, in the order of the log, as one array."""
    return msgspec.json.format(msgspec.json.encode(list(events)), indent=1).decode() + "\n"


def transcript(events: Iterable[Stamped], *, clock: Callable[[float], str]) -> str:
    """What was said and done, in Markdown; `clock` writes a Unix time as a person reads it."""
    blocks: list[str] = []
    calls: dict[tuple[int, int], Call] = {}
    for stamped in events:
        if isinstance(stamped.event, Said) and isinstance(stamped.event.message, Assistant):
            for index, call in enumerate(stamped.event.message.calls):
                calls[stamped.seq, index] = call
        blocks += _blocks(stamped, calls, clock)
    return "\n\n".join(blocks) + "\n" if blocks else ""


def _blocks(stamped: Stamped, calls: dict[tuple[int, int], Call], clock: Callable[[float], str]) -> list[str]:
    match stamped.event:
        case Opened() as opened:
            fork = f", forked from {opened.forked_from}" if opened.forked_from else ""
            return [
                f"# Session {opened.session}",
                f"{clock(stamped.at)} · {opened.model} · {opened.workspace}{fork}",
            ]
        case Said(message=User() as message):
            media = sum(isinstance(part, Media) for part in message.parts)
            return [f"## User, {clock(stamped.at)}", message.text, *([f"*{media} images or videos*"] if media else [])]
        case Said(message=Assistant() as message):
            return ["## Kimi", *_reasoned(message.reasoning), *([message.text] if message.text else [])]
        case Partial() as partial:
            why = f" ({partial.why})" if partial.why else ""
            return ["## Kimi", *_reasoned(partial.reasoning), partial.text, f"*The answer broke off{why}.*"]
        case CallStarted(answer, index):
            call = calls.get((answer, index))
            return [] if call is None else [f"### {call.name}", _fenced(call.arguments, "json")]
        case Returned(answer, index, result):
            call = calls.get((answer, index))
            failed = ", failed" if result.failed else ""
            return [f"*Result of {call.name if call else 'a call'}{failed}:*", _fenced(result.content)]
        case TurnEnded(status, steps, text):
            return [f"*Turn ended: {status}, {steps} steps{f'; {text}' if text else ''}.*", "---"]
        case Compacted(_, summary):
            return ["## Summary of everything above", summary]
        case Rewound(to, what):
            return [f"*Went back to before record {to} ({what}).*"]
        case Judged(evidence):
            return [f"*Evidence: {_proven(evidence)}.*"]
        case Committed(commit, branch, files):
            return [f"*Committed {len(files)} files on {branch} as {commit[:10]}.*"]
        case Renamed(title):
            return [f"*Renamed: {title}*"]
        case Recovered() as recovered if recovered.cut_bytes or recovered.bad_records:
            return [f"*Recovered: {recovered.cut_bytes} bytes cut off, {recovered.bad_records} records passed over.*"]
    return []


def _proven(evidence: Evidence) -> str:
    counts = f"{evidence.passed} passed, {evidence.failed} failed" if evidence.last is not None else "no tests were run"
    since = f", {len(evidence.changed_since)} files changed since" if evidence.changed_since else ""
    return f"{evidence.verdict.replace('_', ' ')}; {counts}{since}"


def _reasoned(text: str | None) -> list[str]:
    return ["\n".join(f"> {line}".rstrip() for line in text.strip().splitlines())] if text and text.strip() else []


def _fenced(text: str, language: str = "") -> str:
    """`text` in a fence longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.removesuffix(chr(10))}\n{fence}"
