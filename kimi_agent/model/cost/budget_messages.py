"""The sentences about budgets, for people; and the note for a model that has one answer left."""

from collections.abc import Mapping, Sequence

from kimi_agent.model.cost.caps import Cap
from kimi_agent.model.cost.prices import dollars
from kimi_agent.model.cost.spend_totals import Amount, Cost, Purpose, Scope, Spike

OF: Mapping[Scope, str] = {
    "turn": "of this turn",
    "run": "of this run",
    "session": "of this session",
    "day": "of today",
}
NAMES: Mapping[Purpose, str] = {
    "answer": "answers",
    "sub-agent": "sub-agents",
    "compaction": "summaries",
    "wrap_up": "last answers",
}
CONTINUE = "say 'continue' to go on"
WITHOUT_CAP = ("go on: only the other caps hold", "stop now")


def stand(cap: Cap, used: float) -> str:
    """`$1.62 of the $2.00 of this run are spent`."""
    match cap.unit:
        case "usd" | "tokens":
            return f"{cap.amount(used)} of the {cap.amount(cap.limit)} {OF[cap.scope]} are spent"
        case "steps":
            return f"{used:,.0f} of the {cap.amount(cap.limit)} of this turn are taken"
        case "s":
            if used > cap.limit:  # one answer or call may last longer
                return f"This turn took {cap.amount(used)}, more than its {cap.amount(cap.limit)}"
            return f"{cap.amount(used)} of the {cap.amount(cap.limit)} of this turn are over"


def warning(cap: Cap, used: float, steps: Sequence[Cost]) -> str:
    """The same as a warning: how far it is, and how far that leads at the cost of the last steps."""
    each = _mean_step(cap, steps)
    share = f"{int(100 * used / cap.limit + 1e-6)} %"
    if not each:
        return f"{stand(cap, used)} ({share}, {cap.flag})."
    left = int((cap.limit - used) / each)
    far = f"that leaves some {left:,} step{'' if left == 1 else 's'}" if left else "that is less than one more step"
    return f"{stand(cap, used)} ({share}, {cap.flag}); at about {cap.amount(each)} a step {far}."


def _mean_step(cap: Cap, steps: Sequence[Cost]) -> float:
    match cap.unit:
        case "usd":
            known = [step.usd for step in steps if step.usd is not None]
            return sum(known) / len(known) if known else 0.0
        case "tokens":
            return sum(step.tokens for step in steps) / len(steps) if steps else 0.0
        case _:
            return 0.0


def spike_text(spike: Spike) -> str:
    """What cost far more than its like, and why if the cache knows."""
    if spike.cost.usd is not None and spike.like.usd is not None:
        text = f"This {spike.what} cost {dollars(spike.cost.usd)}, others like it about {dollars(spike.like.usd)}"
    else:
        text = (
            f"This {spike.what} took {spike.cost.uncached:,} input tokens that were not cached, "
            f"others like it about {spike.like.uncached:,}"
        )
    return f"{text}; the provider's cache did not help: {spike.miss}." if spike.miss else f"{text}."


def title(cap: Cap, used: float) -> str:
    """What a person is asked at a cap."""
    return f"{stand(cap, used)} ({cap.flag}). Go on?"


def why(cap: Cap, need: float, purposes: Mapping[Purpose, Amount], others: float) -> str:
    """What was spent on what, and what the next request may need. `others` is what other sessions spent of it."""
    if cap.unit not in ("usd", "tokens"):
        return ""
    parts = [(NAMES[name], cap.used(spent)) for name, spent in purposes.items()] + [("other sessions", others)]
    parts = sorted(((name, part) for name, part in parts if part > 0), key=lambda each: -each[1])
    on = f" Spent on: {', '.join(f'{name} {cap.amount(part)}' for name, part in parts)}." if parts else ""
    return f"The next request may cost up to {cap.amount(need)}.{on}"


def choices(cap: Cap, more: float) -> tuple[str, str, str]:
    """The answers that a person may give."""
    link = "for" if cap.unit == "s" else "with"
    return f"go on {link} {cap.amount(more)} more", "wrap up: one last answer", "stop now"


def stop_text(cap: Cap, used: float, need: float, *, asked: bool) -> str:
    """Why the turn ends, and how to go on; a person who was `asked` would be so again, and could raise the cap."""
    if cap.unit in ("steps", "s"):
        return f"Stopped after {cap.amount(cap.limit)} ({cap.flag}); {CONTINUE}."
    mend = CONTINUE if asked or cap.scope == "turn" else f"raise {cap.flag} to go on"
    return f"Stopped: {stand(cap, used)}, and the next request may cost up to {cap.amount(need)}; {mend}."


def wrap_up_note(cap: Cap) -> str:
    """What the model is told with its last request."""
    kind = {"usd": "budget", "tokens": "budget", "steps": "number of steps", "s": "time"}[cap.unit]
    return (
        f"The {kind} {OF[cap.scope]} is used up. "
        "Say in one last answer, without tools, what was done, what was not, and what is left."
    )


def unpriced(model: str, cap: Cap) -> str:
    """Why a cap in dollars cannot be held."""
    tokens = "--max-tokens" if cap.scope == "run" else f"budget.{cap.scope}_tokens"
    return (
        f"The price of {model} is not known, so {cap.flag} cannot be held; {tokens} can, "
        "or set price.input, price.cached and price.output."
    )
