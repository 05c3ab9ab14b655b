"""What a request costs, and whose price is known."""

import pytest

from kimi_agent.errors import UserError
from kimi_agent.log.messages import Usage
from kimi_agent.model.cost.prices import Price, format_usd, look_up_price

INTERNATIONAL = "https://api.moonshot.ai/v1"
K26 = Price(0.95, 0.16, 4.0)
OWN = Price(1.0, 0.5, 2.0)


@pytest.mark.parametrize(
    ("model", "base_url", "price"),
    [
        ("kimi-k2.6", INTERNATIONAL, K26),
        ("kimi-k2.6-thinking", INTERNATIONAL, K26),
        ("kimi-k2.6", "https://API.moonshot.ai:443/anything/", K26),
        ("kimi-k2.7-code", INTERNATIONAL, Price(0.95, 0.19, 4.0)),
        ("kimi-k2.7-code-highspeed", INTERNATIONAL, Price(1.9, 0.38, 8.0)),
        ("kimi-k3", INTERNATIONAL, Price(3.0, 0.3, 15.0)),
        ("kimi-k2.6", "https://api.moonshot.cn/v1", None),  # in yuan
        ("kimi-k2.6", "http://127.0.0.1:8000/v1", None),
        ("kimi-k2.6", "https://openrouter.ai/api/v1", None),
        ("kimi-k2.6", "https://api.moonshot.ai.example.org/v1", None),
        ("kimi-k2.6", "https://api.moonshot.ai@example.org/v1", None),
        ("kimi-for-coding", "https://api.kimi.com/coding/v1", None),
        ("kimi-k2.5", INTERNATIONAL, None),
        ("KIMI-K2.6", INTERNATIONAL, None),
        ("tape:kimi-k2.6", INTERNATIONAL, None),
    ],
)
def test_only_a_known_model_on_a_known_host_has_a_price(model: str, base_url: str, price: Price | None) -> None:
    assert look_up_price(model, base_url) == price
    assert look_up_price(model, base_url, OWN) == OWN


def test_an_address_that_is_none_is_said() -> None:
    with pytest.raises(UserError):
        look_up_price("kimi-k2.6", "moonshot")


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        (Usage(), 0.0),
        (Usage(1_000_000), 0.95),
        (Usage(1_000_000, cached=1_000_000), 0.16),
        (Usage(100_000, 2_000, 80_000, 1_500), 0.019 + 0.0128 + 0.008),  # reasoning is part of the output
        (Usage(100, 0, 5_000), 100 * 0.16 / 1e6),  # more cached than sent: a server's slip earns no refund
        (Usage(100, 0, -5_000), 100 * 0.95 / 1e6),
    ],
)
def test_what_a_usage_costs(usage: Usage, usd: float) -> None:
    assert K26.usd(usage) == pytest.approx(usd)


@pytest.mark.parametrize(
    ("price", "usd"), [(K26, 0.095 + 0.02), (Price(1.0, 3.0, 0.0), 0.3), (Price(0.0, 0.0, 0.0), 0.0)]
)
def test_the_worst_case_has_nothing_cached(price: Price, usd: float) -> None:
    assert price.worst(100_000, 5_000) == pytest.approx(usd)


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (0.0, "$0.00"),
        (0.0004, "under $0.001"),
        (0.0041, "$0.004"),
        (0.042, "$0.042"),
        (0.05, "$0.05"),
        (0.099, "$0.099"),
        (0.0999, "$0.10"),
        (1.624, "$1.62"),
        (1234.5, "$1,234.50"),
    ],
)
def test_amounts_of_money_are_short(usd: float, text: str) -> None:
    assert format_usd(usd) == text
