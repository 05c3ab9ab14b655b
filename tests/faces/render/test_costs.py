"""The rows of /cost, and the cost in the status line."""

from dataclasses import replace

import pytest

from kimi_agent.faces.render.costs import cost_label, cost_rows
from kimi_agent.faces.sanitize import cell_width
from kimi_agent.faces.theme import ASCII_GLYPHS, Theme
from kimi_agent.log.messages import Usage
from kimi_agent.model.cost.caps import BudgetState, Caps, list_caps_set
from kimi_agent.model.cost.spend_totals import Amount, CacheStats
from tests.golden_texts import Golden

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


def test_everything_that_is_known_is_shown(golden: Golden) -> None:
    golden(*cost_rows(FULL, PLAIN, 120))


def test_before_the_first_request_there_is_little_to_show(golden: Golden) -> None:
    golden(*cost_rows(NOTHING, PLAIN, 120))


def test_tokens_without_a_price_are_not_taken_for_free(golden: Golden) -> None:
    unknown = Amount(0.0, 41_234, 41_234)
    partly = Amount(0.5, 100_000, 41_234)
    state = replace(NOTHING, spent={"turn": unknown, "run": unknown, "session": partly, "day": partly})
    golden(*cost_rows(replace(state, purposes=(("answer", unknown),)), PLAIN, 200))


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
