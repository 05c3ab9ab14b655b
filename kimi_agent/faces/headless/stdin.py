"""Piped prompt: standard input, read within bounds on time and memory, decoded, joined with the typed prompt."""

import codecs
import os
import select
import shutil
import tempfile
import time
from dataclasses import dataclass
from typing import IO

from kimi_agent.errors import UserError
from kimi_agent.workspace.files.outputs import OUTPUT_PREFIX, Outputs

MAX_INLINE_BYTES = 200_000
"""Bytes of piped text that go into the prompt whole; more is kept as `output:stdin`."""
MAX_KEPT_BYTES = 256_000_000
_SHOWN = 20_000
_NAME = "stdin"
_CHUNK = 1 << 16


@dataclass(frozen=True)
class PipeTimeouts:
    """Seconds: how long to wait for the first byte, and then for each next one."""

    first_s: float
    next_s: float


TIMEOUTS_WITH_PROMPT = PipeTimeouts(1.0, 10.0)
TIMEOUTS_WITHOUT_PROMPT = PipeTimeouts(600.0, 600.0)


@dataclass(frozen=True)
class PipedInput:
    """The input that came: a temporary file of `size` bytes.

    `cut` where more came than is kept, `open` where no end was seen.
    """

    file: IO[bytes]
    size: int
    cut: bool
    open: bool


def read_pipe(fd: int, timeouts: PipeTimeouts) -> PipedInput:
    """Read `fd` until its end, or until nothing came for too long. Raises UserError (65) on a read error."""
    file = tempfile.SpooledTemporaryFile(max_size=4 * MAX_INLINE_BYTES)  # noqa: SIM115 - handed to the caller
    size, wait = 0, timeouts.first_s
    deadline = time.monotonic() + wait
    while size < MAX_KEPT_BYTES:
        if not select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return PipedInput(file, size, cut=False, open=True)
        try:
            chunk = os.read(fd, _CHUNK)
        except OSError as error:
            raise UserError(f"Cannot read standard input: {error.strerror}.", 65) from error
        if not chunk:
            return PipedInput(file, size, cut=False, open=False)
        file.write(chunk)
        size += len(chunk)
        deadline = time.monotonic() + timeouts.next_s
    return PipedInput(file, size, cut=True, open=False)


def join_prompt(prompt: str, piped: PipedInput | None) -> str:
    """The message for the model; of a large input its head, its tail, and the name it is kept under.

    Raises UserError (65) for binary input, or where there is nothing to say at all.
    """
    text = "" if piped is None or piped.size == 0 else _text(piped)
    if not text.strip():
        if prompt.strip():
            return prompt
        raise UserError("The prompt is empty: give one as an argument, or pipe text in.", 65)
    if piped is not None and piped.open:
        text = f"{text.rstrip()}\n[the input was still open here, but silent: this is what had come]"
    if not prompt.strip():
        return text
    return f"{prompt}\n\n<stdin>\n{text.rstrip()}\n</stdin>"


def keep_piped_input(piped: PipedInput, outputs: Outputs) -> None:
    """Keep an input that is too large for the prompt as `output:stdin`."""
    if piped.size > MAX_INLINE_BYTES:
        _, fd = outputs.new(_NAME)
        with os.fdopen(fd, "wb") as target:
            piped.file.seek(0)
            shutil.copyfileobj(piped.file, target, _CHUNK)


def _text(piped: PipedInput) -> str:
    piped.file.seek(0)
    if piped.size <= MAX_INLINE_BYTES:
        data = piped.file.read()
        encoding = _encoding(data)
        return _decode(data, encoding)
    first = piped.file.read(_SHOWN)
    encoding = _encoding(first)
    piped.file.seek(piped.size - _SHOWN - piped.size % 2)  # even: a UTF-16 unit stays whole
    head, tail = _decode(first, encoding), _decode(piped.file.read(), encoding)
    more = " (cut there: more came than is kept)" if piped.cut else ""
    left_out = f"{piped.size - 2 * _SHOWN:,} of {piped.size:,} bytes left out{more}"
    return f"{head}\n[... {left_out}; read_file {OUTPUT_PREFIX}{_NAME} pages it all ...]\n{tail}"


def _encoding(data: bytes) -> str:
    """By BOM, else UTF-8. Raises UserError (65) for binary data."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16-le" if data.startswith(codecs.BOM_UTF16_LE) else "utf-16-be"
    if b"\0" in data:
        raise UserError("Standard input is binary; pipe text in, or name the file in the prompt.", 65)
    return "utf-8"


def _decode(data: bytes, encoding: str) -> str:
    text = data.decode(encoding, "replace").replace("\r\n", "\n").replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
