"""Context manager that closes a delta stream, so that leaving it early does not leave its connection open."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from kimi_agent.model.base import Delta


@asynccontextmanager
async def closing_stream(deltas: AsyncIterator[Delta]) -> AsyncIterator[AsyncIterator[Delta]]:
    """`deltas`, closed at the end of the block: else its connection is kept until the garbage collector comes."""
    try:
        yield deltas
    finally:
        if isinstance(deltas, AsyncGenerator):
            await deltas.aclose()
