"""One reading of a file for read_file: which page of it, in which encoding, with which hash."""

import hashlib
import io
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from kimi_agent.tool import ToolError

from ._binary_files import described, notebook
from ._format import lines, name, size
from ._text_page import Coding, Page, coding, decoded, is_binary, second_guess

MAX_KEPT = 16_000_000  # bytes that are read at once and hashed; a bigger file streams by and has no hash
MAX_NOTEBOOK = 10_000_000
MAX_COUNTED = 250_000_000  # bytes after which nobody waits for the number of lines
MAX_SCANNED = 2_000_000_000  # bytes before a page must have begun
CHUNK = 1 << 16
NOWHERE = 1 << 60


@dataclass(frozen=True)
class Wanted:
    """What to read: `offset` is a line number, negative from the end; `column` the first character of each line."""

    path: str
    offset: int
    limit: int
    column: int


@dataclass(frozen=True)
class Reading:
    """The page, notes, the hash ("" of a big file), whether it is the file's own text and was read to the end."""

    page: Page
    notes: tuple[str, ...]
    sha256: str
    literal: bool
    complete: bool


def read(file: BinaryIO, bytes_: int, wanted: Wanted, *, forgiving: bool = False) -> Reading:
    """Read the page. `forgiving` takes everything for UTF-8 text. Raises ToolError: binary, or no such line."""
    sha256 = ""
    if bytes_ <= MAX_KEPT:
        data = file.read()
        sha256 = hashlib.sha256(data).hexdigest()
        file = io.BytesIO(data)
    head = file.read(CHUNK)
    if forgiving:
        how = Coding("utf-8", errors="replace")
    elif is_binary(head):
        what, next_step = described(head)
        shown = name(wanted.path)
        raise ToolError("binary", f"{shown} is {what} ({size(bytes_)})", next_step.format(path=shlex.quote(shown)))
    else:
        how = coding(head)
        cells = notebook_text(file, wanted.path, bytes_)
        if cells:
            page, complete = paged(lambda: iter([cells]), wanted)
            note = "notebook: these are its cells, not the lines of the file"
            return Reading(page, (note,), sha256, literal=False, complete=complete)
    try:
        page, complete = paged(lambda: decoded(chunks(file, how.bom), how), wanted)
    except UnicodeDecodeError as error:
        how = second_guess(error.object)
        page, complete = paged(lambda: decoded(chunks(file, how.bom), how), wanted)
    notes = (how.note,) if how.note else ()
    return Reading(page, notes, sha256, literal=True, complete=complete)


def paged(pieces: Callable[[], Iterator[str]], wanted: Wanted) -> tuple[Page, bool]:
    """The page of the text that `pieces()` starts anew, and whether all of the text was seen."""
    first = max(1, wanted.offset)
    if wanted.offset < 0:
        counted = Page(NOWHERE, 1)
        if not filled(counted, pieces()):
            raise ToolError(
                "failed",
                f"{name(wanted.path)} is too big to count from its end",
                "use shell: tail, or a positive offset",
            )
        first = max(1, counted.total + wanted.offset + 1)
    page = Page(first, wanted.limit, wanted.column)
    complete = filled(page, pieces())
    if not page.lines and (page.total or first > 1):
        has = f"has {lines(page.total)}" if complete else "has so many bytes that the search for it was given up"
        raise ToolError(
            "bad_arguments",
            f"{name(wanted.path)} {has}; line {first:,} is past its end" if complete else f"{name(wanted.path)} {has}",
            "give a smaller offset, or a negative one to count from the end" if complete else "use shell: sed -n",
        )
    return page, complete


def filled(page: Page, pieces: Iterator[str]) -> bool:
    """Feed `page` until the text ends or nobody should wait for more; whether it ended."""
    seen = 0
    for piece in pieces:
        page.feed(piece)
        seen += len(piece)
        if seen > (MAX_COUNTED if page.closed else MAX_SCANNED):
            return False
    page.finish()
    return True


def chunks(file: BinaryIO, start: int) -> Iterator[bytes]:
    """The bytes of `file` from `start` on."""
    file.seek(start)
    while chunk := file.read(CHUNK):
        yield chunk


def notebook_text(file: BinaryIO, path: str, bytes_: int) -> str:
    """The cells of a notebook, "" for what is none."""
    if not path.endswith(".ipynb") or bytes_ > MAX_NOTEBOOK:
        return ""
    file.seek(0)
    try:
        return "".join(notebook(file.read()))
    except (ValueError, RecursionError):
        return ""
