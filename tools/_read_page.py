"""Page reader of read_file: one page of a file, its encoding, and the file's hash."""

import hashlib
import io
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from kimi_agent.tool import ToolError, escape_name, format_count

from ._binary_files import describe_binary, render_notebook
from ._format import format_size
from ._text_page import TextCoding, TextPage, decode_chunks, detect_coding, guess_legacy_coding, is_binary

MAX_HASHED_BYTES = 16_000_000  # bytes that are read at once and hashed; a bigger file streams by and has no hash
MAX_NOTEBOOK_BYTES = 10_000_000
MAX_COUNTED_BYTES = 250_000_000  # bytes after which nobody waits for the number of lines
MAX_SCANNED_BYTES = 2_000_000_000  # bytes before a page must have begun
CHUNK_BYTES = 1 << 16
PAST_EVERY_LINE = 1 << 60


@dataclass(frozen=True)
class PageRequest:
    """What to read: `offset` is a line number, negative from the end; `column` the first character of each line."""

    path: str
    offset: int
    limit: int
    column: int


@dataclass(frozen=True)
class FilePage:
    """One page of a file, with its notes and its hash ("" of a big file).

    `literal` is False for a notebook, whose cells are shown; `complete` says that the file was read to its end.
    """

    page: TextPage
    notes: tuple[str, ...]
    sha256: str
    literal: bool
    complete: bool


def read_page(file: BinaryIO, bytes_: int, wanted: PageRequest, *, forgiving: bool = False) -> FilePage:
    """Read the page. `forgiving` takes everything for UTF-8 text. Raises ToolError: binary, or no such line."""
    sha256 = ""
    if bytes_ <= MAX_HASHED_BYTES:
        data = file.read()
        sha256 = hashlib.sha256(data).hexdigest()
        file = io.BytesIO(data)
    head = file.read(CHUNK_BYTES)
    if forgiving:
        how = TextCoding("utf-8", errors="replace")
    elif is_binary(head):
        what, next_step = describe_binary(head)
        shown = escape_name(wanted.path)
        text = f"{shown} is {what} ({format_size(bytes_)})"
        raise ToolError("binary", text, next_step.format(path=shlex.quote(shown)))
    else:
        how = detect_coding(head)
        cells = notebook_text(file, wanted.path, bytes_)
        if cells:
            page, complete = take_page(lambda: iter([cells]), wanted)
            note = "notebook: these are its cells, not the lines of the file"
            return FilePage(page, (note,), sha256, literal=False, complete=complete)
    try:
        page, complete = take_page(lambda: decode_chunks(read_chunks(file, how.bom), how), wanted)
    except UnicodeDecodeError as error:
        how = guess_legacy_coding(error.object)
        page, complete = take_page(lambda: decode_chunks(read_chunks(file, how.bom), how), wanted)
    notes = (how.note,) if how.note else ()
    return FilePage(page, notes, sha256, literal=True, complete=complete)


def take_page(pieces: Callable[[], Iterator[str]], wanted: PageRequest) -> tuple[TextPage, bool]:
    """The page of the text that `pieces()` starts anew, and whether all of the text was seen."""
    first = max(1, wanted.offset)
    if wanted.offset < 0:
        counted = TextPage(PAST_EVERY_LINE, 1)
        if not fill_page(counted, pieces()):
            text = f"{escape_name(wanted.path)} is too big to count from its end"
            raise ToolError("failed", text, "use shell: tail, or a positive offset")
        first = max(1, counted.total + wanted.offset + 1)
    page = TextPage(first, wanted.limit, wanted.column)
    complete = fill_page(page, pieces())
    if not page.lines and (page.total or first > 1):
        has, next_step = "has so many bytes that the search for it was given up", "use shell: sed -n"
        if complete:
            has = f"has {format_count(page.total, 'line')}; line {first:,} is past its end"
            next_step = "give a smaller offset, or a negative one to count from the end"
        raise ToolError("bad_arguments", f"{escape_name(wanted.path)} {has}", next_step)
    return page, complete


def fill_page(page: TextPage, pieces: Iterator[str]) -> bool:
    """Feed `page` until the text ends or a limit of bytes is passed; returns whether it ended."""
    seen = 0
    for piece in pieces:
        page.feed(piece)
        seen += len(piece)
        if seen > (MAX_COUNTED_BYTES if page.is_full else MAX_SCANNED_BYTES):
            return False
    page.finish()
    return True


def read_chunks(file: BinaryIO, start: int) -> Iterator[bytes]:
    """The bytes of `file` from `start` on."""
    file.seek(start)
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def notebook_text(file: BinaryIO, path: str, bytes_: int) -> str:
    """The cells of a notebook, "" for what is none."""
    if not path.endswith(".ipynb") or bytes_ > MAX_NOTEBOOK_BYTES:
        return ""
    file.seek(0)
    try:
        return "".join(render_notebook(file.read()))
    except (ValueError, RecursionError):
        return ""
