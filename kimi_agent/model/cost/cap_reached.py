"""Cap reached: the cap that keeps a request from going out, and the decision to stop there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from kimi_agent.errors import Stopped
from kimi_agent.model.cost.caps import Cap, CapUnit
from kimi_agent.model.cost.spend_totals import MAIN_AGENT, Amount

STOP_STATUSES: Mapping[CapUnit, tuple[Literal["budget", "step_limit", "time_limit"], int]] = {
    "usd": ("budget", 54),
    "tokens": ("budget", 54),
    "steps": ("step_limit", 53),
    "s": ("time_limit", 55),
}


@dataclass(frozen=True)
class CapReached:
    """A cap that keeps a request from going out: `used` of it is spent, the request may need `need` at the worst."""

    cap: Cap
    used: float
    need: float


@dataclass(frozen=True)
class StopDecision:
    """The decision to stop, for the rest of the turn: every agent that asks from here on gets it.

    `others` is what other sessions had spent of the day by then.
    """

    why: str
    unit: CapUnit
    note: str
    others: Amount

    def error(self, agent: str) -> Stopped:
        """Only the main agent wraps up: one last answer of each of its helpers could cost more than the whole cap."""
        status, exit_code = STOP_STATUSES[self.unit]
        return Stopped(self.why, status, exit_code, wrap_up=self.note if agent == MAIN_AGENT else "")
