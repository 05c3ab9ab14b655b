"""Model middleware: a context manager around each request (checks, budget, rate limiter), a pause before each delta."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from kimi_agent.model.protocol import Delta, Model, Request, WrappedModel, closing_stream

Admission = Callable[[Request], AbstractAsyncContextManager[Request]]
"""Entered before a request, left when its answer has ended; gives the request as it may go out."""


def wrap_with_admission(model: Model, admission: Admission) -> Model:
    """`model`, each request of which first enters `admission`; what that raises is raised by the stream."""

    async def stream(request: Request) -> AsyncIterator[Delta]:
        async with admission(request) as admitted, closing_stream(model.stream(admitted)) as deltas:
            async for delta in deltas:
                yield delta

    return WrappedModel(model, stream)


def wrap_with_check(model: Model, check: Callable[[], Awaitable[None]]) -> Model:
    """`model`, asked only after `check`, which raises Stopped to end the turn; a wrap-up is not checked."""

    @asynccontextmanager
    async def checked(request: Request) -> AsyncIterator[Request]:
        if request.purpose == "answer":
            await check()
        yield request

    return wrap_with_admission(model, checked)


def wrap_with_pause(model: Model, pause: Callable[[], Awaitable[None]]) -> Model:
    """`model`, of whose answers no more is taken while `pause` lasts; a wrap-up, which is short, never waits."""

    async def stream(request: Request) -> AsyncIterator[Delta]:
        async with closing_stream(model.stream(request)) as deltas:
            async for delta in deltas:
                if request.purpose != "wrap_up":
                    await pause()
                yield delta

    return WrappedModel(model, stream)
