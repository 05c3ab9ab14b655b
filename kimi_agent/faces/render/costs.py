"""What was spent, for people: the rows of /cost, and the few words of the status line."""

from collections.abc import Mapping

from kimi_agent.faces.sanitize import clean_line, wrap
from kimi_agent.faces.summary_lines import amount, count, seconds
from kimi_agent.faces.theme import Ink
from kimi_agent.model.cost.budget_messages import NAMES
from kimi_agent.model.cost.caps import SCOPES, Cap, State, Unit
from kimi_agent.model.cost.prices import dollars
from kimi_agent.model.cost.spend_totals import Amount, Scope

_SCOPES: Mapping[Scope, str] = {"turn": "this turn", "run": "this run", "session": "session", "day": "today"}
_WIDE = 10


def short(state: State) -> str:
    """What the session cost, as `$0.12` or, where no price is known, `41k tokens`; "" where it cost nothing yet."""
    spent = state.spent["session"]
    if not spent.tokens:
        return ""
    return _paid(spent)


def rows(state: State, ink: Ink, columns: int) -> list[str]:
    """All that is known: what each scope cost and may cost, what it went on, and how the provider's cache did."""
    caps = {(cap.scope, cap.unit): cap for cap in state.caps}
    facts = [(_SCOPES[scope], _scope(scope, state, caps)) for scope in SCOPES]
    usage = state.usage
    cached = f" ({amount(usage.cached)} cached)" if usage.cached else ""
    thought = f" ({amount(usage.reasoning)} reasoning)" if usage.reasoning else ""
    facts.append(("tokens", f"{amount(usage.input)} in{cached}, {amount(usage.output)} out{thought}"))
    facts.append(("spent on", ", ".join(f"{NAMES[name]} {_paid(spent)}" for name, spent in state.purposes)))
    facts.append(("requests", f"{count(state.requests, 'request')} in this session"))
    facts += _cache(state)
    if unpriced := state.spent["session"].unpriced:
        mend = "price.input, price.cached and price.output set it"
        facts.append(("no price", f"{amount(unpriced)} tokens are not in these sums: their price is not known; {mend}"))
    room = max(20, columns - _WIDE - 1)
    shown = []
    for name, text in facts:
        first, *more = wrap(clean_line(text), room) or [""]
        if first:
            shown.append(f"{ink('cyan', f'{name:<{_WIDE}}')} {first}")
            shown += [f"{'':{_WIDE}} {row}" for row in more]
    return shown


def _scope(scope: Scope, state: State, caps: Mapping[tuple[Scope, Unit], Cap]) -> str:
    spent = state.spent[scope]
    usd, tokens = caps.get((scope, "usd")), caps.get((scope, "tokens"))
    parts = [f"{amount(spent.tokens)} tokens" + (f" of {amount(int(tokens.limit))}" if tokens else "")]
    if not _unpriced(spent):
        parts.insert(0, dollars(spent.usd) + (f" of {dollars(usd.limit)}" if usd else ""))
    if scope == "turn":
        steps, time = caps.get(("turn", "steps")), caps.get(("turn", "s"))
        parts.append(count(state.steps, "step") + (f" of {steps.limit:,.0f}" if steps else ""))
        if time:
            parts.append(f"{seconds(state.turn_s)} of {seconds(time.limit)}")
    return ", ".join(parts)


def _paid(spent: Amount) -> str:
    """The money, as far as it is known."""
    return f"{amount(spent.tokens)} tokens" if _unpriced(spent) else dollars(spent.usd)


def _unpriced(spent: Amount) -> bool:
    """Whether no price is known for any of it."""
    return bool(spent.tokens) and spent.unpriced == spent.tokens


def _cache(state: State) -> list[tuple[str, str]]:
    cache = state.cache
    if not cache.due:
        return []
    parts = [f"{cache.held / cache.due:.0%} of what was due came from it".replace("%", " %")]
    if cache.saved or cache.wasted:
        parts += [f"{dollars(cache.saved)} saved", f"{dollars(cache.wasted)} wasted"]
    found = [("cache", ", ".join(parts))]
    if cache.misses:
        ranked = sorted(cache.misses.items(), key=lambda each: (-each[1], each[0]))
        found.append(("misses", ", ".join(f"{times:,} x {reason}" for reason, times in ranked)))
    return found
