"""Model pipeline: the wrappers a request passes on its way to the wire, the same for every model of a session.

From the wire outwards: the cost recorder, the shared rate limiter, the budget, the retries, the guard against loops,
the pause for a slow reader.
Also the readers of the settings that these need (caps, retry policy, prices, the model's own settings).
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
from kimi_agent.model.admission import wrap_with_check, wrap_with_pause
from kimi_agent.model.cost.budget import Budget
from kimi_agent.model.cost.caps import Caps
from kimi_agent.model.cost.cost_recorder import LastRequest, wrap_with_cost_recorder
from kimi_agent.model.cost.prices import Price, look_up_price
from kimi_agent.model.endpoint.profiles import Clocks, ModelSettings, find_profile
from kimi_agent.model.open_model import TAPE_PREFIX, open_model
from kimi_agent.model.protocol import DEFAULT_OUTPUT_TOKENS, Model
from kimi_agent.model.retrying.limiter_state import Delay
from kimi_agent.model.retrying.rate_limiter import RateLimiter
from kimi_agent.model.retrying.retry import INTERACTIVE_RETRY, UNATTENDED_RETRY, RetryPolicy, wrap_with_retry
from kimi_agent.model.wire.request_encoder import BlobReader


@dataclass(frozen=True)
class ModelPipeline:
    """The model wrappers between the agents of a session and the wire, whichever model they ask."""

    config: Config
    limiter: RateLimiter
    budget: Budget
    policy: RetryPolicy
    check: Callable[[], Awaitable[None]]
    emit: Emit
    pause: Callable[[], Awaitable[None]] | None = None

    def hear(self, stamped: Stamped) -> None:
        """A listener: what a person sends goes out at once, however long the server asked to wait before."""
        match stamped.event:
            case Said(User(), queued=0):
                self.limiter.ask_again()
            case _:
                pass

    def wrap(self, wire: Model, settings: ModelSettings, last: LastRequest | None = None) -> Model:
        """`wire` behind these wrappers. `last` is what the log holds of the request before."""
        price = resolve_price(self.config, settings)
        recorded = wrap_with_cost_recorder(wire, price=price, emit=self.emit, clock=time.time, last=last)
        limited = self.limiter.wrap(recorded, lambda delay: self.emit(_wait_notice(delay)))
        retrying = wrap_with_retry(
            self.budget.wrap(limited, price, most_output=settings.max_output or DEFAULT_OUTPUT_TOKENS),
            self.policy,
            partial=supports_partial(settings),
            sleep=asyncio.sleep,
            random=random.random,
            clock=time.time,
        )
        checked = wrap_with_check(retrying, self.check)
        return checked if self.pause is None else wrap_with_pause(checked, self.pause)


def open_wire(settings: ModelSettings, environ: Mapping[str, str], blob: BlobReader) -> Model:
    """The model itself, without wrappers; nothing is sent yet. Raises UserError."""
    return open_model(settings, environ, blob=blob, version=__version__)


def _wait_notice(delay: Delay) -> Notice:
    """The notice of a request that waits for its place; JSON knows no infinity."""
    return Notice(delay.message, delay.wait_s if delay.wait_s < math.inf else 0.0)


def make_limiter() -> RateLimiter:
    """The rate limiter that all agents of this process share."""
    return RateLimiter(clock=time.monotonic, sleep=asyncio.sleep)


def make_retry_policy(config: Config, *, unattended: bool) -> RetryPolicy:
    """The retry policy of a run: it tries for minutes with a person before it, for hours without one."""
    policy = INTERACTIVE_RETRY
    if unattended:
        policy = replace(UNATTENDED_RETRY, budget_s=float(config.number("retry.unattended_s")))
    return replace(policy, wait_for_quota=config.on("retry.wait_for_quota"))


def make_caps(config: Config) -> Caps:
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


def resolve_price(config: Config, settings: ModelSettings) -> Price | None:
    """What the model costs: by the person's own settings, else by what is known of its host; None for not known."""
    missed, cached, output = (config.amount(f"price.{name}") for name in ("input", "cached", "output"))
    own = Price(missed, cached or missed, output) if missed or output else None
    return own if settings.model.startswith(TAPE_PREFIX) else look_up_price(settings.model, settings.base_url, own)


def supports_partial(settings: ModelSettings) -> bool:
    """Whether the endpoint goes on with an answer that broke off."""
    if settings.model.startswith(TAPE_PREFIX):
        return bool(settings.partial)
    return find_profile(settings.base_url).partial if settings.partial is None else settings.partial


def read_model_settings(config: Config) -> ModelSettings:
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
