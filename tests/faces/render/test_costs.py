"""The rows of /cost, and the cost in the status line."""

from dataclasses import replace

import pytest

from kimi_agent.faces.render.costs import cost_label, cost_rows
from kimi_agent.faces.sanitize import cell_width
from kimi_agent.faces.theme import ASCII_GLYPHS, Theme
from kimi_agent.log.messages import Usage
from kimi_agent.model.cost.caps import BudgetState, Caps, list_caps_set
from kimi_agent.model.cost.spend_totals import Amount, CacheStats

PLAIN = Theme(colour=False, glyphs=ASCII_GLYPHS)
NOTHING = BudgetState(
    dict.fromkeys(("turn", "run", "session", "day"), Amount()), (), 0, 0.0, (), Usage(), 0, CacheStats()
)
FULL = BudgetState(
    {
        "turn": Amount(0.12, 42_400),
        "run": Amount(0.8, 310_000),
        "session": Amount(1.2, 500_000),
        "day": Amount(4.2, 9_000_000),
    },
    tuple(list_caps_set(Caps(run_usd=2.0, day_tokens=20_000_000, turn_steps=1_000, turn_s=600))),
    3,
    75.0,
    (("answer", Amount(1.0, 400_000)), ("sub-agent", Amount(0.15, 90_000)), ("compaction", Amount(0.05, 10_000))),
    Usage(480_000, 20_000, 410_000, 12_000),
    41,
    CacheStats(420_000, 403_200, 2.1, 0.084, {"idle": 1, "the tool list changed": 2}),
)


def test_everything_that_is_known_is_told() -> None:
    assert cost_rows(FULL, PLAIN, 120) == [
        "this turn  $0.12, 42k tokens, 3 steps of 1,000, 1 min 15 s of 10 min 0 s",
        "this run   $0.80 of $2.00, 310k tokens",
        "session    $1.20, 500k tokens",
        "today      $4.20, 9.0M tokens of 20.0M",
        "tokens     480k in (410k cached), 20k out (12k reasoning)",
        "spent on   answers $1.00, sub-agents $0.15, summaries $0.05",
        "requests   41 requests in this session",
        "cache      96 % of what was due came from it, $2.10 saved, $0.084 wasted",
        "misses     2 x the tool list changed, 1 x idle",
    ]


def test_before_the_first_request_there_is_little_to_tell() -> None:
    assert cost_rows(NOTHING, PLAIN, 120) == [
        "this turn  $0.00, 0 tokens, 0 steps",
        "this run   $0.00, 0 tokens",
        "session    $0.00, 0 tokens",
        "today      $0.00, 0 tokens",
        "tokens     0 in, 0 out",
        "requests   0 requests in this session",
    ]


def test_tokens_without_a_price_are_not_taken_for_free() -> None:
    unknown = Amount(0.0, 41_234, 41_234)
    partly = Amount(0.5, 100_000, 41_234)
    state = replace(NOTHING, spent={"turn": unknown, "run": unknown, "session": partly, "day": partly})
    shown = cost_rows(replace(state, purposes=(("answer", unknown),)), PLAIN, 200)
    assert shown[0] == "this turn  41k tokens, 0 steps"
    assert shown[2] == "session    $0.50, 100k tokens"
    assert "spent on   answers 41k tokens" in shown
    assert shown[-1] == (
        "no price   41k tokens are not in these sums: their price is not known; "
        "price.input, price.cached and price.output set it"
    )


@pytest.mark.parametrize("columns", [10, 30, 80])
def test_no_row_is_wider_than_the_screen(columns: int) -> None:
    shown = cost_rows(FULL, PLAIN, columns)
    assert all(cell_width(row) <= max(columns, 31) for row in shown)
    assert " ".join(" ".join(shown).split()) == " ".join(" ".join(cost_rows(FULL, PLAIN, 200)).split())


def test_names_are_coloured_where_there_is_colour() -> None:
    assert all(row.startswith("\x1b[36m") for row in cost_rows(FULL, Theme(), 120))


@pytest.mark.parametrize(
    ("spent", "text"),
    [
        (Amount(), ""),
        (Amount(0.124, 5), "$0.12"),
        (Amount(0.0, 41_234, 41_234), "41k tokens"),
        (Amount(0.5, 100_000, 41_234), "$0.50"),
        (Amount(0.0, 5, 0), "$0.00"),
    ],
)
def test_the_status_line_has_a_few_words(spent: Amount, text: str) -> None:
    assert cost_label(replace(NOTHING, spent={**NOTHING.spent, "session": spent})) == text
