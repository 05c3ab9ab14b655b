"""Budget messages: sentences about caps for people, and the note for a model that has one answer left."""

from collections.abc import Mapping, Sequence

from kimi_agent.model.cost.caps import Cap
from kimi_agent.model.cost.prices import format_usd
from kimi_agent.model.cost.spend_totals import Amount, Cost, CostSpike, SpendPurpose, SpendScope
from kimi_agent.printable import format_count

SCOPE_PHRASES: Mapping[SpendScope, str] = {
    "turn": "of this turn",
    "run": "of this run",
    "session": "of this session",
    "day": "of today",
}
PURPOSE_LABELS: Mapping[SpendPurpose, str] = {
    "answer": "answers",
    "sub-agent": "sub-agents",
    "compaction": "summaries",
    "wrap_up": "last answers",
}
CONTINUE_HINT = "say 'continue' to go on"
UNPRICED_CHOICES = ("go on: only the other caps hold", "stop now")


def format_cap_usage(cap: Cap, used: float) -> str:
    """`$1.62 of the $2.00 of this run are spent`."""
    match cap.unit:
        case "usd" | "tokens":
            return f"{cap.amount(used)} of the {cap.amount(cap.limit)} {SCOPE_PHRASES[cap.scope]} are spent"
        case "steps":
            return f"{used:,.0f} of the {cap.amount(cap.limit)} of this turn are taken"
        case "s":
            if used > cap.limit:  # one answer or call may last longer
                return f"This turn took {cap.amount(used)}, more than its {cap.amount(cap.limit)}"
            return f"{cap.amount(used)} of the {cap.amount(cap.limit)} of this turn are over"


def format_cap_warning(cap: Cap, used: float, steps: Sequence[Cost]) -> str:
    """The same as a warning: how far it is, and how far that leads at the cost of the last steps."""
    each = _mean_step_cost(cap, steps)
    share = f"{int(100 * used / cap.limit + 1e-6)} %"
    if not each:
        return f"{format_cap_usage(cap, used)} ({share}, {cap.flag})."
    left = int((cap.limit - used) / each)
    far = f"that leaves some {format_count(left, 'step')}" if left else "that is less than one more step"
    return f"{format_cap_usage(cap, used)} ({share}, {cap.flag}); at about {cap.amount(each)} a step {far}."


def _mean_step_cost(cap: Cap, steps: Sequence[Cost]) -> float:
    match cap.unit:
        case "usd":
            known = [step.usd for step in steps if step.usd is not None]
            return sum(known) / len(known) if known else 0.0
        case "tokens":
            return sum(step.tokens for step in steps) / len(steps) if steps else 0.0
        case _:
            return 0.0


def format_spike(spike: CostSpike) -> str:
    """What cost far more than its like, and why if the cache knows."""
    cost, usual = spike.cost, spike.usual
    if cost.usd is not None and usual.usd is not None:
        text = f"This {spike.what} cost {format_usd(cost.usd)}, others like it about {format_usd(usual.usd)}"
    else:
        took = f"{cost.uncached:,} input tokens that were not cached"
        text = f"This {spike.what} took {took}, others like it about {usual.uncached:,}"
    return f"{text}; the provider's cache did not help: {spike.miss}." if spike.miss else f"{text}."


def format_cap_question(cap: Cap, used: float) -> str:
    """What a person is asked at a cap."""
    return f"{format_cap_usage(cap, used)} ({cap.flag}). Go on?"


def format_cap_reason(cap: Cap, need: float, purposes: Mapping[SpendPurpose, Amount], others: float) -> str:
    """What was spent on what, and what the next request may need. `others` is what other sessions spent of it."""
    if cap.unit not in ("usd", "tokens"):
        return ""
    parts = [(PURPOSE_LABELS[name], cap.used(spent)) for name, spent in purposes.items()] + [("other sessions", others)]
    parts = sorted(((name, part) for name, part in parts if part > 0), key=lambda each: -each[1])
    on = f" Spent on: {', '.join(f'{name} {cap.amount(part)}' for name, part in parts)}." if parts else ""
    return f"The next request may cost up to {cap.amount(need)}.{on}"


def list_cap_choices(cap: Cap, more: float) -> tuple[str, str, str]:
    """The answers that a person may give."""
    link = "for" if cap.unit == "s" else "with"
    return f"go on {link} {cap.amount(more)} more", "wrap up: one last answer", "stop now"


def format_stop_reason(cap: Cap, used: float, need: float, *, asked: bool) -> str:
    """Why the turn ends, and how to go on; a person who was `asked` would be so again, and could raise the cap."""
    if cap.unit in ("steps", "s"):
        return f"Stopped after {cap.amount(cap.limit)} ({cap.flag}); {CONTINUE_HINT}."
    mend = CONTINUE_HINT if asked or cap.scope == "turn" else f"raise {cap.flag} to go on"
    return f"Stopped: {format_cap_usage(cap, used)}, and the next request may cost up to {cap.amount(need)}; {mend}."


def format_wrap_up_note(cap: Cap) -> str:
    """The note to the model with its last request."""
    kind = {"usd": "budget", "tokens": "budget", "steps": "number of steps", "s": "time"}[cap.unit]
    return (
        f"The {kind} {SCOPE_PHRASES[cap.scope]} is used up. "
        "Say in one last answer, without tools, what was done, what was not, and what is left."
    )


def format_unpriced_reason(model: str, cap: Cap) -> str:
    """Why a cap in dollars cannot be held."""
    tokens = "--max-tokens" if cap.scope == "run" else f"budget.{cap.scope}_tokens"
    return (
        f"The price of {model} is not known, so {cap.flag} cannot be held; {tokens} can, "
        "or set price.input, price.cached and price.output."
    )
