"""The output thread at a real pipe: order, back-pressure, a reader that is gone, one that stops."""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import TextIOWrapper

import pytest

from kimi_agent.faces.headless.output_thread import HIGH_WATER_BYTES, OutputThread, QueuedStream

HALF = "x" * (HIGH_WATER_BYTES // 2 + 70_000)


@dataclass
class Pipe:
    """A stream of the thread into a pipe, and its far end."""

    thread: OutputThread
    stream: QueuedStream
    read_end: int

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += os.read(self.read_end, size - len(data))
        return data


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    read_end, write_end = os.pipe()
    far = TextIOWrapper(os.fdopen(write_end, "wb"), encoding="ascii")
    thread = OutputThread()
    pipe = Pipe(thread, QueuedStream(thread, far), read_end)
    yield pipe
    os.close(pipe.read_end)
    thread.drain(lambda _: False)
    far.close()


def test_texts_come_in_order_and_a_letter_that_the_encoding_lacks_is_replaced(pipe: Pipe) -> None:
    for number in range(100):
        pipe.stream.write(f"{number}\n")
    pipe.stream.write("é")
    assert pipe.thread.drain(lambda _: False)
    assert pipe.read(291) == "".join(f"{number}\n" for number in range(100)).encode() + b"?"


def test_a_reader_that_is_gone_is_an_error_of_the_stream_and_holds_up_nobody(pipe: Pipe) -> None:
    gone = pipe.read_end
    pipe.read_end = os.open(os.devnull, os.O_RDONLY)
    os.close(gone)
    pipe.stream.write(HALF)
    pipe.stream.write(HALF)
    assert pipe.thread.drain(lambda _: False)
    assert isinstance(pipe.stream.error, BrokenPipeError)
    assert not pipe.thread.is_full


async def test_who_writes_too_much_waits_until_the_reader_has_taken_half(pipe: Pipe) -> None:
    await pipe.thread.wait_for_room()
    pipe.stream.write(HALF)
    pipe.stream.write(HALF)
    waiting = asyncio.create_task(pipe.thread.wait_for_room())
    done, _ = await asyncio.wait([waiting], timeout=0.1)
    assert (done, pipe.thread.is_full) == (set(), True)
    await asyncio.to_thread(pipe.read, len(HALF) + 100_000)
    await asyncio.wait_for(waiting, 20)
    await asyncio.to_thread(pipe.read, len(HALF) - 100_000)


def test_nobody_waits_longer_than_they_want_for_a_reader_that_stopped(pipe: Pipe) -> None:
    pipe.stream.write(HALF)
    began = time.monotonic()
    assert not pipe.thread.drain(lambda stalled_s: stalled_s > 0.2)
    assert 0.2 <= time.monotonic() - began < 10


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has pipes that can be widened")
def test_a_pipe_is_widened_for_what_waits(pipe: Pipe) -> None:
    pipe.stream.write("x" * 400_000)
    pipe.thread.widen_pipes()
    assert pipe.thread.drain(lambda stalled_s: stalled_s > 10)
    assert pipe.read(400_000) == b"x" * 400_000
