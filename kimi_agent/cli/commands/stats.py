"""`kimi-agent stats`: reports what was spent, by project, model, day or session."""

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

import typer
from typer import Option

from kimi_agent.errors import UserError
from kimi_agent.faces.sanitize import cell_width, sanitize_line
from kimi_agent.faces.summary_lines import format_amount
from kimi_agent.layers import find_user_folders
from kimi_agent.log.messages import Usage
from kimi_agent.log.readers.spending import Payment, SpendingReader, find_local_midnight
from kimi_agent.model.cost.prices import format_usd
from kimi_agent.printable import format_count

_UNITS_S = {"h": 3_600, "d": 86_400, "w": 604_800}
_COLUMNS = ("requests", "in", "cached", "hits", "out", "reasoning", "cost")
_NOT_KNOWN = "not known"


@dataclass(frozen=True)
class SpendGroup:
    """The payments that share a name: `unpriced` of the requests have no known price, `estimated` no reported usage.

    `hits` is the share of the input that came from the cache, of those requests whose usage was reported.
    """

    name: str
    requests: int
    usage: Usage
    hits: float
    usd: float
    unpriced: int
    estimated: int


def stats(
    since: Annotated[
        str, Option("--since", metavar="WHEN", help="7d, 24h, 2w, a date such as 2026-11-01, today, or all.")
    ] = "7d",
    by: Annotated[str, Option("--by", metavar="WHAT", help="project, model, day or session.")] = "project",
    as_json: Annotated[bool, Option("--json", help="One JSON object a line, the sum last.")] = False,
) -> None:
    """What sessions cost: requests, tokens, cache hits, dollars."""
    key = _GROUP_KEYS.get(by)
    if key is None:
        raise UserError(f"--by is one of {', '.join(_GROUP_KEYS)}; not {by[:60]!r}.")
    at = _since(since, time.time())
    entries = SpendingReader(find_user_folders(os.environ).state).since(at)
    groups, total = group_spending(entries, key), _group("total", entries)
    if as_json:
        for group in groups:
            typer.echo(json.dumps({by: group.name, **_fields(group)}))
        typer.echo(json.dumps({"total": True, "since": at, **_fields(total)}))
    elif not entries:
        typer.echo("Nothing was spent since then; --since all goes back to the beginning.", err=True)
    else:
        for row in [*stats_table_rows(by, groups, total), *stats_table_notes(total)]:
            typer.echo(row)


def group_spending(entries: Iterable[Payment], key: Callable[[Payment], str]) -> list[SpendGroup]:
    """The groups of `entries`: days in their order, else the dearest first."""
    found: dict[str, list[Payment]] = {}
    for entry in entries:
        found.setdefault(key(entry), []).append(entry)
    groups = [_group(name, each) for name, each in found.items()]
    if key is _day:
        return sorted(groups, key=lambda group: group.name)
    return sorted(groups, key=lambda group: (-group.usd, -group.usage.input - group.usage.output, group.name))


def _group(name: str, entries: Sequence[Payment]) -> SpendGroup:
    reported = [entry.usage for entry in entries if not entry.estimated]
    read = sum(usage.input for usage in reported)
    return SpendGroup(
        name,
        len(entries),
        sum((entry.usage for entry in entries), Usage()),
        sum(usage.cached for usage in reported) / read if read else 0.0,
        sum(entry.usd or 0.0 for entry in entries),
        sum(entry.usd is None for entry in entries),
        len(entries) - len(reported),
    )


def stats_table_rows(by: str, groups: Sequence[SpendGroup], total: SpendGroup) -> list[str]:
    """A row for each group and one for the sum, in columns."""
    cells = [(by, *_COLUMNS), *(_cells(group) for group in groups), *([_cells(total)] if len(groups) > 1 else [])]
    wide = [max(cell_width(row[at]) for row in cells) for at in range(len(cells[0]))]
    return [
        "  ".join(
            " " * (room - cell_width(cell)) + cell if at else cell + " " * (room - cell_width(cell))
            for at, (cell, room) in enumerate(zip(row, wide, strict=True))
        )
        for row in cells
    ]


def stats_table_notes(total: SpendGroup) -> list[str]:
    """What the sums leave out, or only estimate."""
    found = []
    if total.unpriced:
        found.append(
            f"{format_count(total.unpriced, 'request is', 'requests are')} not in the cost: "
            "the price of the model was not known. The settings price.input, price.cached and price.output name it "
            "for what is spent from then on."
        )
    if total.estimated:
        found.append(
            f"{format_count(total.estimated, 'request is', 'requests are')} estimated: "
            "the answer broke off before the server said what it took."
        )
    return found


def _cells(group: SpendGroup) -> tuple[str, ...]:
    usage = group.usage
    counts = (format_amount(usage.input), format_amount(usage.cached), f"{group.hits:.0%}", format_amount(usage.output))
    cost = _NOT_KNOWN if group.unpriced == group.requests else format_usd(group.usd)
    return (sanitize_line(group.name), f"{group.requests:,}", *counts, format_amount(usage.reasoning), cost)


def _fields(group: SpendGroup) -> dict[str, Any]:
    return {
        "requests": group.requests,
        "input_tokens": group.usage.input,
        "cached_tokens": group.usage.cached,
        "output_tokens": group.usage.output,
        "reasoning_tokens": group.usage.reasoning,
        "cache_hit_rate": round(group.hits, 4),
        "usd": None if group.requests and group.unpriced == group.requests else round(group.usd, 6),
        "unpriced_requests": group.unpriced,
        "estimated_requests": group.estimated,
    }


def _since(text: str, now: float) -> float:
    """The Unix time that `text` means. Raises UserError."""
    word = text.strip().lower()
    if word == "all":
        return 0.0
    if word == "today":
        return find_local_midnight(now)
    if span := re.fullmatch(r"([0-9]{1,6})([hdw])", word):
        return now - int(span[1]) * _UNITS_S[span[2]]
    try:
        return time.mktime((*date.fromisoformat(word).timetuple()[:3], 0, 0, 0, 0, 0, -1))
    except (ValueError, OverflowError):
        raise UserError(
            f"--since is a span such as 7d, 24h or 2w, a date such as 2026-11-01, today, or all; not {text[:60]!r}."
        ) from None


def _day(entry: Payment) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(entry.at))


_GROUP_KEYS: Mapping[str, Callable[[Payment], str]] = {
    "project": lambda entry: entry.workspace,
    "model": lambda entry: entry.model,
    "day": _day,
    "session": lambda entry: entry.session,
}
