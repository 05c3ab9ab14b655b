"""A check before each request: the harness may end the turn where asking on would lead nowhere."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from kimi_agent.model.base import Delta, Model, Request
from kimi_agent.model.closing import closing


def gate(model: Model, check: Callable[[], Awaitable[None]]) -> Model:
    """`model`, asked only after `check`, which raises Stopped to end the turn; what only wraps up passes it by."""
    return _Gate(model, check)


@dataclass(frozen=True)
class _Gate:
    model: Model
    check: Callable[[], Awaitable[None]]

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def window(self) -> int:
        return self.model.window

    async def aclose(self) -> None:
        await self.model.aclose()

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        if request.purpose == "answer":
            await self.check()
        async with closing(self.model.stream(request)) as deltas:
            async for delta in deltas:
                yield delta
