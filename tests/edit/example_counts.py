"""How many examples a property meets: a few, always the same, by default; thousands of new ones in `make long`."""

import pytest
from hypothesis import HealthCheck, settings


def examples(few: int, many: int) -> pytest.MarkDecorator:
    """Run a test with each number of examples (the parameter `count`); many of them only where the marker is asked."""
    return pytest.mark.parametrize(
        "count", [few, pytest.param(many, marks=[pytest.mark.long, pytest.mark.timeout(900)])]
    )


def effort(count: int) -> settings:
    """The settings for that number; no database, so that nothing is left behind."""
    return settings(
        max_examples=count,
        derandomize=count < 1_000,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
