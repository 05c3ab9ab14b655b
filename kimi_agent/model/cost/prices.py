"""Price table: dollars per million tokens, Moonshot's own or the user's, and what a request costs by them.

A cap priced from the wrong table stops work for money that was never spent, so nothing is guessed: a price belongs
to one host and one model, and whatever else is asked has none (tokens are counted all the same).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from kimi_agent.log.messages import Usage
from kimi_agent.model.endpoint.profiles import THINKING_ALIAS, THINKING_TARGET, parse_host

_MILLION = 1_000_000


@dataclass(frozen=True)
class Price:
    """USD per million tokens: input that the provider had not cached, input that it had, output (with reasoning)."""

    input: float
    cached: float
    output: float

    def usd(self, usage: Usage) -> float:
        """What a request of this usage costs."""
        cached = max(0, min(usage.cached, usage.input))
        paid = (usage.input - cached) * self.input + cached * self.cached + usage.output * self.output
        return paid / _MILLION

    def worst(self, input_tokens: int, output_tokens: int) -> float:
        """The most that such a request can cost: nothing of it is cached."""
        dearest = max(self.input, self.cached)
        return (input_tokens * dearest + output_tokens * self.output) / _MILLION


_HOST = "api.moonshot.ai"
_PRICES: Mapping[str, Price] = {
    "kimi-k2.6": Price(input=0.95, cached=0.16, output=4.00),
    "kimi-k2.7-code": Price(input=0.95, cached=0.19, output=4.00),
    "kimi-k2.7-code-highspeed": Price(input=1.90, cached=0.38, output=8.00),
    "kimi-k3": Price(input=3.00, cached=0.30, output=15.00),
}
"""Of Moonshot's international platform in September 2026. All rows: akz142857/Halro, docs/prd/kimi-adaptation-plan
§1.4, read from the live price list. The row of kimi-k2.6 is also in models.dev (provider moonshotai), and
agent-zone.ai was billed by it in 48 runs."""


def look_up_price(model: str, base_url: str, own: Price | None = None) -> Price | None:
    """The price of `model` at `base_url`; `own`, which the person set, goes before everything. None: not known.

    Only the international host is in the table: the mainland one bills in yuan and by other rates, a reseller by its
    own, and a tape costs nothing. Raises UserError where `base_url` is no address.
    """
    if own is not None:
        return own
    name = THINKING_TARGET if model == THINKING_ALIAS else model
    return _PRICES.get(name) if name in _PRICES and parse_host(base_url) == _HOST else None


def format_usd(usd: float, *, exact: bool = False) -> str:
    """`$1.62`, `$0.05`, `$0.042`: cents, and tenths of them where there are few.

    Less than that is `under $0.001`, or with `exact` its first two digits: `$0.0004`, `$0.000031`.
    """
    if 0 < usd < 0.0005:
        digits = 1 - math.floor(math.log10(usd))
        return f"${usd:.{digits}f}".rstrip("0") if exact else "under $0.001"
    return f"${usd:.3f}".removesuffix("0") if 0 < usd < 0.0995 else f"${usd:,.2f}"
