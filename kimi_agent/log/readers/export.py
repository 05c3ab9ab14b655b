"""Transcript export: a log as Markdown for a person, or as one JSON array for a program. Pure."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from kimi_agent.log import events
from kimi_agent.log.fold.conversation import Conversation
from kimi_agent.log.messages import Assistant, Call, Media, ToolReturn, Usage, User
from kimi_agent.log.views import Evidence
from kimi_agent.printable import format_count

_WHY = {"window": "The window was nearly full", "overflow": "The server said it was too long", "asked": "Asked for"}


def export_json(records: Iterable[events.Stamped]) -> str:
    """Every record, in the order of the log, as one array."""
    return msgspec.json.format(msgspec.json.encode(list(records)), indent=1).decode() + "\n"


def export_markdown(
    records: Iterable[events.Stamped],
    *,
    clock: Callable[[float], str],
    summary_lines: int | None = None,
    name: str = "",
) -> str:
    """The conversation in Markdown; `clock` writes a Unix time as a person reads it.

    `name` is what the session is called now: its records know no other if its folder was copied or moved since. Of a
    compaction's summary at most `summary_lines` lines are shown.
    """
    writer = _Writer(clock, summary_lines)
    for stamped in records:
        writer.add(stamped)
    text = writer.text()
    return text if name in ("", writer.session) else f"# Session {name}\n\nA copy of this one:\n\n{text}"


class _Writer:
    """Writes each record as blocks, and into the block of a compaction that it was taken back later."""

    def __init__(self, clock: Callable[[float], str], summary_lines: int | None) -> None:
        self.session = ""
        self._clock = clock
        self._summary_lines = summary_lines
        self._blocks: list[str] = []
        self._calls: dict[tuple[int, int], Call] = {}
        self._fold = Conversation(keep_replaced=True)
        self._cost = _SessionCost()
        self._block_of: dict[int, int] = {}  # by compaction or shortening, the block that reports it

    def text(self) -> str:
        """All of it, at the end what it cost."""
        blocks = [*self._blocks, *self._cost.blocks()]
        return "\n\n".join(blocks) + "\n" if blocks else ""

    def add(self, stamped: events.Stamped) -> None:
        """Write the next record."""
        match stamped.event:
            case events.Opened(session):
                self.session = session
            case events.Said(message=Assistant() as message):
                self._calls.update(((stamped.seq, index), call) for index, call in enumerate(message.calls))
            case events.Compacted():
                self._block_of[stamped.seq] = len(self._blocks) + 1  # behind the heading
            case events.Shortened():
                self._block_of[stamped.seq] = len(self._blocks)
            case events.Restored(compaction) if compaction in self._fold.replaced[-1:] and compaction in self._block_of:
                at = self._block_of[compaction]
                self._blocks[at] = f"{self._blocks[at].removesuffix('.*')}; taken back at {self._clock(stamped.at)}.*"
        self._blocks += self._render(stamped)
        self._fold.add(stamped)
        self._cost.add(stamped.event)

    def _render(self, stamped: events.Stamped) -> list[str]:
        match stamped.event:
            case events.Opened() as opened:
                fork = f", forked from {opened.forked_from}" if opened.forked_from else ""
                about = f"{self._clock(stamped.at)} · {opened.model} · {opened.workspace}{fork}"
                return [f"# Session {opened.session}", about]
            case events.Said(message=User() as message):
                media = sum(isinstance(part, Media) for part in message.parts)
                head = f"## User, {self._clock(stamped.at)}"
                return [head, message.text, *([f"*{media} images or videos*"] if media else [])]
            case events.Said(message=Assistant() as message):
                return ["## Kimi", *_quote_reasoning(message.reasoning), *([message.text] if message.text else [])]
            case events.Partial() as partial:
                return _format_partial(partial)
            case events.CallStarted(answer, index):
                call = self._calls.get((answer, index))
                return [] if call is None else [f"### {call.name}", _fence(call.arguments, "json")]
            case events.Returned(answer, index, result):
                call = self._calls.get((answer, index))
                failed = ", failed" if result.failed else ""
                return [f"*Result of {call.name if call else 'a call'}{failed}:*", _fence(result.content)]
            case events.TurnEnded(status, steps, text):
                return [f"*Turn ended: {status}, {steps} steps{f'; {text}' if text else ''}.*", "---"]
            case events.Compacted() as compacted:
                heading = f"## Compaction, {self._clock(stamped.at)}"
                return [heading, f"*{self._describe_compaction(compacted)}.*", self._shorten(compacted.summary)]
            case events.Shortened() as shortened:
                return [f"*{self._describe_shortening(shortened)}.*"]
            case events.Rewound(to, what):
                return [f"*Went back to before record {to} ({what}).*"]
            case events.Judged(evidence):
                return [f"*Evidence: {_format_evidence(evidence)}.*"]
            case events.Committed(commit, branch, files):
                return [f"*Committed {len(files)} files on {branch} as {commit[:10]}.*"]
            case events.Renamed(title):
                return [f"*Renamed: {title}*"]
            case events.Recovered(cut_bytes=cut, bad_records=bad) if cut or bad:
                return [f"*Recovered: {cut} bytes cut off, {bad} records passed over.*"]
        return []

    def _describe_compaction(self, event: events.Compacted) -> str:
        """Why, what went, and how much."""
        focus = f" with the focus {' '.join(event.focus.split())!r}" if event.focus else ""
        mark = next((each for each in reversed(self._fold.marks) if each.seq <= event.through), None)
        gone = self._fold.messages()[: mark.length] if mark else []
        kinds = Counter(type(message) for message in gone)
        parts = [
            format_count(kinds[User], "prompt or summary", "prompts and summaries"),
            format_count(kinds[Assistant], "answer"),
            format_count(kinds[ToolReturn], "result"),
        ]
        turn = self._fold.turn_of(event.through)
        what = f"{format_count(len(gone), 'message')} up to turn {turn} ({', '.join(parts)})" if gone else "nothing"
        return f"{_WHY[event.why]}{focus}: {what} became this summary{_token_change(event)}"

    def _describe_shortening(self, event: events.Shortened) -> str:
        calls = (self._calls.get((each.answer, each.index)) for each in event.results)
        names = Counter(call.name for call in calls if call is not None)
        by_name = ", ".join(f"{count} of {name}" for name, count in names.most_common())
        results = format_count(len(event.results), "old result")
        return f"{results} shortened to make room ({by_name}){_token_change(event)}"

    def _shorten(self, summary: str) -> str:
        lines = summary.splitlines()
        most = self._summary_lines
        if most is None or len(lines) <= most:
            return summary
        return "\n".join([*lines[:most], f"… {format_count(len(lines) - most, 'more line')} of the summary"])


def _token_change(event: events.Compacted | events.Shortened) -> str:
    if not event.tokens_before:
        return ""
    return f"; the request went from about {event.tokens_before:,} tokens to {event.tokens_after:,}"


@dataclass
class _SessionCost:
    """What the session itself used and paid. A log older than `Spent` holds only what its answers used."""

    answers: Usage = field(default_factory=Usage)
    spent: Usage | None = None
    usd: float | None = 0.0

    def add(self, event: events.Event) -> None:
        match event:
            case events.Said(usage=Usage() as usage):
                self.answers += usage
            case events.Spent(usage=usage, usd=usd):
                self.spent = usage + (self.spent or Usage())
                if self.usd is not None and usage != Usage():
                    self.usd = None if usd is None else self.usd + usd
            case events.Opened(forked_from=source) if source:  # which paid for all that was copied from it
                self.answers, self.spent, self.usd = Usage(), None, 0.0

    def blocks(self) -> list[str]:
        usage = self.answers if self.spent is None else self.spent
        if usage == Usage():
            return []
        usd = None if self.spent is None else self.usd
        price = "price not known" if usd is None else f"${usd:,.4f}" if usd < 0.1 else f"${usd:,.2f}"
        return [f"*Cost: {usage.input:,} tokens in ({usage.cached:,} cached), {usage.output:,} out; {price}.*"]


def _format_partial(partial: events.Partial) -> list[str]:
    why = f" ({partial.why})" if partial.why else ""
    if partial.retried:
        return [f"*The answer broke off{why} and was asked for again.*"]
    return ["## Kimi", *_quote_reasoning(partial.reasoning), partial.text, f"*The answer broke off{why}.*"]


def _format_evidence(evidence: Evidence) -> str:
    counts = f"{evidence.passed} passed, {evidence.failed} failed" if evidence.last is not None else "no tests were run"
    since = f", {len(evidence.changed_since)} files changed since" if evidence.changed_since else ""
    return f"{evidence.verdict.replace('_', ' ')}; {counts}{since}"


def _quote_reasoning(text: str | None) -> list[str]:
    return ["\n".join(f"> {line}".rstrip() for line in text.strip().splitlines())] if text and text.strip() else []


def _fence(text: str, language: str = "") -> str:
    """`text` in a fence longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.removesuffix(chr(10))}\n{fence}"
