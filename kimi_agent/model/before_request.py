"""Check before each request, as a model wrapper: it may end the turn where asking on would lead nowhere."""

from collections.abc import AsyncIterator, Awaitable, Callable

from kimi_agent.model.base import Delta, Model, Request, WrappedModel
from kimi_agent.model.closing_stream import closing_stream


def wrap_with_check(model: Model, check: Callable[[], Awaitable[None]]) -> Model:
    """`model`, asked only after `check`, which raises Stopped to end the turn; what only wraps up passes it by."""

    async def stream(request: Request) -> AsyncIterator[Delta]:
        if request.purpose == "answer":
            await check()
        async with closing_stream(model.stream(request)) as deltas:
            async for delta in deltas:
                yield delta

    return WrappedModel(model, stream)
