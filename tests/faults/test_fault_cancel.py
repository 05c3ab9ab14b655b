"""Cancelled at any moment, a request is over at once: the socket is closed, and the next request works."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from kimi_agent.log.messages import Assistant
from kimi_agent.model.protocol import Delta, Model
from kimi_agent.model.retrying.retry import INTERACTIVE_RETRY, wrap_with_retry
from tests.faults.outcome import ask
from tests.faults.server import Do, FaultServer, Script, answer, streamed
from tests.model.requests import ask_for, client

OPEN = streamed(framing="close")
SAYS = b'data: {"choices":[{"delta":{"content":"fine"}}]}\n\n'
GOOD = streamed(SAYS, b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n')


class Asked:
    """A request that runs beside the test."""

    def __init__(self, model: Model) -> None:
        self.deltas: list[Delta] = []
        self.sleeps = 0
        self._model = wrap_with_retry(
            model, INTERACTIVE_RETRY, partial=False, sleep=self._sleep, random=lambda: 0.0, clock=lambda: 0.0
        )
        self.task = asyncio.create_task(self._listen())

    async def _sleep(self, seconds: float) -> None:
        self.sleeps += 1
        await asyncio.Event().wait()

    async def _listen(self) -> None:
        async for delta in self._model.stream(ask_for()):
            self.deltas.append(delta)

    async def cancelled(self) -> None:
        """Cancel it; it ends with the cancellation, and within one round of the loop's own work."""
        self.task.cancel()
        async with asyncio.timeout(10):
            with pytest.raises(asyncio.CancelledError):
                await self.task


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.001)


async def streaming(asked: Asked, server: FaultServer) -> None:
    await until(lambda: asked.deltas)


async def waiting(asked: Asked, server: FaultServer) -> None:
    await until(lambda: server.hits["x"])


@pytest.mark.parametrize(
    ("script", "moment"),
    [([Do.HOLD], waiting), ([OPEN, Do.HOLD], waiting), ([OPEN + SAYS, Do.HOLD], streaming)],
    ids=["before the head", "before the first byte", "in the stream"],
)
async def test_cancelled_while_it_waits_or_streams(
    script: Script, moment: Callable[[Asked, FaultServer], Awaitable[None]]
) -> None:
    async with FaultServer({"x": [script, [GOOD]]}).running() as server:
        model = client(server.url())
        asked = Asked(model)
        await moment(asked, server)
        await asked.cancelled()
        await until(server.left.is_set)
        assert server.hits["x"] == 1
        assert (await ask(model)).answer == Assistant("fine")
        await model.aclose()


async def test_cancelled_in_the_backoff_nothing_more_is_sent() -> None:
    async with FaultServer({"x": [[answer("503 Unavailable")], [GOOD]]}).running() as server:
        model = client(server.url())
        asked = Asked(model)
        await until(lambda: asked.sleeps)
        await asked.cancelled()
        assert server.hits["x"] == 1
        assert (await ask(model)).answer == Assistant("fine")
        await model.aclose()


async def test_cancelled_while_it_connects() -> None:
    async with FaultServer({}, first=[Do.HOLD]).running() as server:
        model = client(server.url().replace("http://", "https://"), environ={"SSL_CERT_FILE": ""})
        for _ in range(2):  # the handshake is never answered
            asked = Asked(model)
            await until(lambda: server.busy)
            await asked.cancelled()
            await until(lambda: not server.busy)
        assert server.connections == 2
        await model.aclose()


async def test_cancelled_at_any_step_it_leaves_no_connection_behind() -> None:
    async with FaultServer({"x": [[GOOD]]}).running() as server:
        for rounds in range(0, 60, 3):
            model = client(server.url())
            asked = Asked(model)
            for _ in range(rounds):
                await asyncio.sleep(0)
            if not asked.task.done():
                await asked.cancelled()
            assert (await ask(model)).answer == Assistant("fine")
            await model.aclose()
        await until(lambda: not server.busy)
