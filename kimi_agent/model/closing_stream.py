"""Leaving a stream early without leaving its connection open."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from kimi_agent.model.base import Delta


@asynccontextmanager
async def closing(deltas: AsyncIterator[Delta]) -> AsyncIterator[AsyncIterator[Delta]]:
    """`deltas`, closed at the end of the block: else its connection is kept until the garbage collector comes."""
    try:
        yield deltas
    finally:
        if isinstance(deltas, AsyncGenerator):
            await deltas.aclose()
