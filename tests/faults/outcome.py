"""What became of one request over HTTP, retries and all, with sleeps that take no time."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from kimi_agent.errors import ModelError
from kimi_agent.log.events import Retrying
from kimi_agent.log.messages import Assistant
from kimi_agent.model.endpoint.profiles import Clocks
from kimi_agent.model.message_assembly import Assembly
from kimi_agent.model.protocol import Finish, Model, Request
from kimi_agent.model.retrying.retry import INTERACTIVE_RETRY, RetryPolicy, wrap_with_retry
from tests.model.requests import ask_for, client

PATIENT = Clocks(connect_s=20.0, first_byte_s=20.0, no_bytes_s=20.0, no_content_s=20.0, attempt_s=20.0)
"""Clocks that no test meets; one that is to run out is put in short."""
ONCE = replace(INTERACTIVE_RETRY, tries=1)


@dataclass(frozen=True)
class Outcome:
    """Either an answer or an error, and how often and how long was waited before."""

    answer: Assistant | None
    error: ModelError | None
    retries: tuple[Retrying, ...]
    finished: bool

    @property
    def waits(self) -> list[float]:
        return [retrying.wait_s for retrying in self.retries]


class Patient:
    """A clock that only sleeping moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def around(self, model: Model, policy: RetryPolicy) -> Model:
        return wrap_with_retry(
            model, policy, partial=False, sleep=self.sleep, random=lambda: 0.0, clock=lambda: self.now
        )


async def ask(model: Model, request: Request | None = None) -> Outcome:
    """Ask once and take down what happens."""
    assembly, retries, finished, error = Assembly(), [], False, None
    try:
        async for delta in model.stream(request or ask_for()):
            assembly.add(delta)
            if isinstance(delta, Retrying):
                retries.append(delta)
            finished = finished or isinstance(delta, Finish)
    except ModelError as raised:
        error = raised
    return Outcome(assembly.assistant() if error is None else None, error, tuple(retries), finished)


async def ask_at(
    url: str,
    *,
    policy: RetryPolicy = INTERACTIVE_RETRY,
    clocks: Clocks = PATIENT,
    key: str = "",
    environ: Mapping[str, str] | None = None,
) -> Outcome:
    """Ask the server at `url` once, with a client of its own."""
    model = client(url, key=key, clocks=clocks, environ=dict(environ or {}))
    try:
        return await ask(Patient().around(model, policy))
    finally:
        await model.aclose()
