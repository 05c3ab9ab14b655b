"""Spending caps: their limits, and the output tokens that still fit below them. Plain arithmetic."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from kimi_agent.log.messages import Usage
from kimi_agent.model.cost.prices import Price, format_usd
from kimi_agent.model.cost.spend_totals import Amount, CacheStats, SpendPurpose, SpendScope
from kimi_agent.printable import format_count

SPEND_SCOPES: tuple[SpendScope, ...] = get_args(SpendScope)
CapUnit = Literal["usd", "tokens", "steps", "s"]
_FLAGS: Mapping[tuple[SpendScope, CapUnit], str] = {
    ("run", "usd"): "--max-budget-usd",
    ("run", "tokens"): "--max-tokens",
    ("turn", "steps"): "--max-steps",
    ("turn", "s"): "--timeout",
}
_ROUNDING = 1e-6
"""Sums of cents are a little off as binary numbers."""


@dataclass(frozen=True)
class Caps:
    """The most that may be spent within each scope; 0 is no cap. A run is one process on a session.

    Tokens are input and output. `turn_steps` are answers of the main agent, `turn_s` seconds without the time that a
    person took to answer.
    """

    turn_usd: float = 0
    run_usd: float = 0
    session_usd: float = 0
    day_usd: float = 0
    turn_tokens: int = 0
    run_tokens: int = 0
    session_tokens: int = 0
    day_tokens: int = 0
    turn_steps: int = 0
    turn_s: float = 0


@dataclass(frozen=True)
class Cap:
    """One cap: `limit` as it is now (a person may have raised it), `first` as it was set."""

    scope: SpendScope
    unit: CapUnit
    limit: float
    first: float

    @property
    def flag(self) -> str:
        """The flag, or the setting, that sets it."""
        return _FLAGS.get((self.scope, self.unit), f"budget.{self.scope}_{self.unit}")

    def raised(self, by: float) -> "Cap":
        return replace(self, limit=self.limit + by)

    def used(self, spent: Amount) -> float:
        """The part of `spent` that counts for this cap: dollars or tokens."""
        return spent.usd if self.unit == "usd" else float(spent.tokens)

    def output_left(self, spent: Amount, price: Price | None, input_tokens: int) -> float:
        """The output tokens that fit, if nothing of so much input is cached; below 0 where not even that fits."""
        left = self.limit - self.used(spent)
        if self.unit == "tokens":
            return left - input_tokens
        if price is None:
            return math.inf
        left -= price.worst(input_tokens, 0)
        if price.output > 0:
            return math.floor(left * 1_000_000 / price.output + _ROUNDING)
        return math.inf if left >= 0 else -1.0

    def more(self, short: float) -> float:
        """By how much a person is asked to raise it: by the same again, a dollar or a quarter of the tokens at most.

        `short` is what the next request lacks; at least that much it must be, or they would be asked at once again.
        """
        match self.unit:
            case "usd":
                return max(min(self.first, 1.0), math.ceil(short * 100) / 100)
            case "tokens":
                return float(max(math.ceil(self.first / 4), math.ceil(short / 1_000) * 1_000))
            case _:
                return self.first

    def amount(self, number: float) -> str:
        """`number` of its unit in words: `$1.62`, `1,200 tokens`, `20 steps`, `10 min`."""
        match self.unit:
            case "usd":
                return format_usd(number, exact=True)  # `of the under $0.001` is no English
            case "tokens":
                return f"{number:,.0f} tokens"
            case "steps":
                return format_count(round(number), "step")
            case "s":
                return f"{number:.0f} s" if number < 120 else f"{number / 60:.0f} min"


@dataclass(frozen=True)
class BudgetState:
    """The values of /cost and the footer: `caps` as they are, raised or not; `purposes` of the session, by cost.

    `spent` holds for the day what other sessions spent, as far as that was looked at.
    """

    spent: dict[SpendScope, Amount]
    caps: tuple[Cap, ...]
    steps: int
    turn_s: float
    purposes: tuple[tuple[SpendPurpose, Amount], ...]
    usage: Usage
    requests: int
    cache: CacheStats


def list_caps_set(caps: Caps) -> list[Cap]:
    """The caps that are set, the shortest scope first."""
    limits: tuple[tuple[SpendScope, CapUnit, float], ...] = (
        *(("turn", "usd", caps.turn_usd), ("turn", "tokens", caps.turn_tokens)),
        *(("run", "usd", caps.run_usd), ("run", "tokens", caps.run_tokens)),
        *(("session", "usd", caps.session_usd), ("session", "tokens", caps.session_tokens)),
        *(("day", "usd", caps.day_usd), ("day", "tokens", caps.day_tokens)),
        *(("turn", "steps", caps.turn_steps), ("turn", "s", caps.turn_s)),
    )
    return [Cap(scope, unit, limit, limit) for scope, unit, limit in limits if limit > 0]
