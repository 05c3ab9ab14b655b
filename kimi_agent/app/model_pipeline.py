"""What a request goes through on its way to the wire, for every model of a session.

From the wire outwards: the shared limiter, the account, the budget, the retries, the guard against loops.
"""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from kimi_agent import __version__
from kimi_agent.config import Config
from kimi_agent.errors import UserError
from kimi_agent.log.events import Emit, Notice, Said, Stamped
from kimi_agent.log.messages import User
from kimi_agent.model.base import DEFAULT_OUTPUT, Model
from kimi_agent.model.before_request import gate
from kimi_agent.model.cost.budget import Budget, Caps
from kimi_agent.model.cost.cost_recorder import Last, account
from kimi_agent.model.cost.prices import Price, price_of
from kimi_agent.model.endpoint.profiles import Clocks, ModelSettings, profile_of
from kimi_agent.model.open_model import TAPE, open_model
from kimi_agent.model.retrying.limiter_state import Obstacle
from kimi_agent.model.retrying.rate_limiter import Limiter
from kimi_agent.model.retrying.retry import INTERACTIVE, UNATTENDED, RetryPolicy, retry
from kimi_agent.model.wire.request_encoder import Blob


@dataclass(frozen=True)
class Road:
    """What stands between the agents of a session and the wire, whichever model they ask."""

    config: Config
    limiter: Limiter
    budget: Budget
    policy: RetryPolicy
    check: Callable[[], Awaitable[None]]
    emit: Emit

    def hear(self, stamped: Stamped) -> None:
        """A listener: what a person sends is asked at once, whatever the server said before."""
        match stamped.event:
            case Said(User(), queued=0):
                self.limiter.ask_again()
            case _:
                pass

    def to(self, wire: Model, settings: ModelSettings, last: Last | None = None) -> Model:
        """`wire`, asked by this road. `last` is what the log tells of the request before."""
        price = price_for(self.config, settings)
        waiting = self.limiter.around(wire, lambda held: self.emit(_held(held)))
        paid = account(waiting, price=price, emit=self.emit, clock=time.time, last=last)
        patient = retry(
            self.budget.around(paid, price, most_output=settings.max_output or DEFAULT_OUTPUT),
            self.policy,
            partial=has_partial(settings),
            sleep=asyncio.sleep,
            random=random.random,
            clock=time.time,
        )
        return gate(patient, self.check)


def wire_of(settings: ModelSettings, environ: Mapping[str, str], blob: Blob) -> Model:
    """The model itself; nothing is sent yet. Raises UserError."""
    return open_model(settings, environ, blob=blob, version=__version__)


def _held(obstacle: Obstacle) -> Notice:
    """The notice of a request that waits for its place; JSON knows no infinity."""
    return Notice(obstacle.told, obstacle.wait_s if obstacle.wait_s < math.inf else 0.0)


def limiter_of() -> Limiter:
    """The one that all agents of this process share."""
    return Limiter(clock=time.monotonic, sleep=asyncio.sleep)


def patience_of(config: Config, *, unattended: bool) -> RetryPolicy:
    """How patient a run is: with a person before it minutes, without one hours."""
    policy = replace(UNATTENDED, budget_s=float(config.number("retry.unattended_s"))) if unattended else INTERACTIVE
    return replace(policy, wait_for_quota=config.on("retry.wait_for_quota"))


def caps_of(config: Config) -> Caps:
    """The caps that the settings ask for; 0 is none."""
    return Caps(
        turn_usd=config.amount("budget.turn_usd"),
        run_usd=config.amount("budget.run_usd"),
        session_usd=config.amount("budget.session_usd"),
        day_usd=config.amount("budget.day_usd"),
        turn_tokens=config.number("budget.turn_tokens"),
        run_tokens=config.number("budget.run_tokens"),
        session_tokens=config.number("budget.session_tokens"),
        day_tokens=config.number("budget.day_tokens"),
        turn_steps=config.number("max_steps"),
        turn_s=float(config.number("timeout")),
    )


def price_for(config: Config, settings: ModelSettings) -> Price | None:
    """What the model costs: by the person's own settings, else by what is known of its host; None for not known."""
    missed, cached, output = (config.amount(f"price.{name}") for name in ("input", "cached", "output"))
    own = Price(missed, cached or missed, output) if missed or output else None
    return own if settings.model.startswith(TAPE) else price_of(settings.model, settings.base_url, own)


def has_partial(settings: ModelSettings) -> bool:
    """Whether the endpoint goes on with an answer that broke off."""
    if settings.model.startswith(TAPE):
        return bool(settings.partial)
    return profile_of(settings.base_url).partial if settings.partial is None else settings.partial


def model_settings(config: Config) -> ModelSettings:
    """The settings of the model. Raises UserError."""
    mode = config.text("partial_mode")
    if mode not in ("auto", "on", "off"):
        raise UserError(f"The setting partial_mode is auto, on or off; not {mode[:60]!r}.", 78)
    names = ("connect_s", "first_byte_s", "no_bytes_s", "no_content_s", "attempt_s")
    return ModelSettings(
        model=config.text("model"),
        base_url=config.text("base_url"),
        key_env=config.text("key_env"),
        key_command=config.text("key_command"),
        thinking=config.on("thinking"),
        max_output=config.number("max_output") or None,
        window=config.number("window"),
        clocks=Clocks(**{name: float(config.number(f"clocks.{name}")) for name in names}),
        partial={"auto": None, "on": True, "off": False}[mode],
    )
