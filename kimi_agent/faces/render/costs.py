"""Cost report: the rows of /cost, and the short label of the status line (`$0.12`, `41k tokens`)."""

from collections.abc import Mapping

from kimi_agent.faces.sanitize import sanitize_line, wrap_line
from kimi_agent.faces.summary_lines import format_amount, format_seconds
from kimi_agent.faces.theme import Theme
from kimi_agent.model.cost.budget_messages import PURPOSE_LABELS
from kimi_agent.model.cost.caps import SPEND_SCOPES, BudgetState, Cap, CapUnit
from kimi_agent.model.cost.prices import format_usd
from kimi_agent.model.cost.spend_totals import Amount, SpendScope
from kimi_agent.printable import format_count

_SCOPES: Mapping[SpendScope, str] = {"turn": "this turn", "run": "this run", "session": "session", "day": "today"}
_WIDE = 10


def cost_label(state: BudgetState) -> str:
    """The cost of the session, as `$0.12` or, where no price is known, `41k tokens`; "" where it cost nothing yet."""
    spent = state.spent["session"]
    if not spent.tokens:
        return ""
    return _paid(spent)


def cost_rows(state: BudgetState, theme: Theme, columns: int) -> list[str]:
    """All that is known: what each scope cost and may cost, what it went on, and how the provider's cache did."""
    caps = {(cap.scope, cap.unit): cap for cap in state.caps}
    facts = [(_SCOPES[scope], _scope(scope, state, caps)) for scope in SPEND_SCOPES]
    usage = state.usage
    cached = f" ({format_amount(usage.cached)} cached)" if usage.cached else ""
    thought = f" ({format_amount(usage.reasoning)} reasoning)" if usage.reasoning else ""
    facts.append(("tokens", f"{format_amount(usage.input)} in{cached}, {format_amount(usage.output)} out{thought}"))
    facts.append(("spent on", ", ".join(f"{PURPOSE_LABELS[name]} {_paid(spent)}" for name, spent in state.purposes)))
    facts.append(("requests", f"{format_count(state.requests, 'request')} in this session"))
    facts += _cache(state)
    if unpriced := state.spent["session"].unpriced:
        mend = "price.input, price.cached and price.output set it"
        facts.append(
            ("no price", f"{format_amount(unpriced)} tokens are not in these sums: their price is not known; {mend}")
        )
    room = max(20, columns - _WIDE - 1)
    shown = []
    for name, text in facts:
        first, *more = wrap_line(sanitize_line(text), room) or [""]
        if first:
            shown.append(f"{theme('cyan', f'{name:<{_WIDE}}')} {first}")
            shown += [f"{'':{_WIDE}} {row}" for row in more]
    return shown


def _scope(scope: SpendScope, state: BudgetState, caps: Mapping[tuple[SpendScope, CapUnit], Cap]) -> str:
    spent = state.spent[scope]
    usd, tokens = caps.get((scope, "usd")), caps.get((scope, "tokens"))
    parts = [f"{format_amount(spent.tokens)} tokens" + (f" of {format_amount(int(tokens.limit))}" if tokens else "")]
    if not _unpriced(spent):
        parts.insert(0, format_usd(spent.usd) + (f" of {format_usd(usd.limit)}" if usd else ""))
    if scope == "turn":
        steps, time = caps.get(("turn", "steps")), caps.get(("turn", "s"))
        parts.append(format_count(state.steps, "step") + (f" of {steps.limit:,.0f}" if steps else ""))
        if time:
            parts.append(f"{format_seconds(state.turn_s)} of {format_seconds(time.limit)}")
    return ", ".join(parts)


def _paid(spent: Amount) -> str:
    """The money, as far as it is known."""
    return f"{format_amount(spent.tokens)} tokens" if _unpriced(spent) else format_usd(spent.usd)


def _unpriced(spent: Amount) -> bool:
    """Whether no price is known for any of it."""
    return bool(spent.tokens) and spent.unpriced == spent.tokens


def _cache(state: BudgetState) -> list[tuple[str, str]]:
    cache = state.cache
    if not cache.due:
        return []
    parts = [f"{cache.held / cache.due:.0%} of what was due came from it".replace("%", " %")]
    if cache.saved or cache.wasted:
        parts += [f"{format_usd(cache.saved)} saved", f"{format_usd(cache.wasted)} wasted"]
    found = [("cache", ", ".join(parts))]
    if cache.misses:
        ranked = sorted(cache.misses.items(), key=lambda each: (-each[1], each[0]))
        found.append(("misses", ", ".join(f"{times:,} x {reason}" for reason, times in ranked)))
    return found
