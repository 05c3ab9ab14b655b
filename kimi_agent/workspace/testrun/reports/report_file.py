"""Report file reader: bounded and distrustful, because the tests are the repository's code.

Anything may stand where a report should: a link, a pipe, an endless file, an XML document with a document type.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

MAX_XML_BYTES, MAX_JSON_BYTES = 400_000_000, 100_000_000


class ReportRejected(Exception):
    """The report is not taken; the text says why."""


def open_report(path: Path) -> BinaryIO | None:
    """The regular file at `path`, None where there is nothing. Raises ReportRejected for a link or a pipe."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReportRejected(f"the report could not be read: {error.strerror}") from error
    file = os.fdopen(fd, "rb")
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        file.close()
        raise ReportRejected("the report is not a regular file")
    return file


def read_report_bytes(path: Path, most: int = MAX_JSON_BYTES) -> bytes | None:
    """All of a report of at most `most` bytes, None where there is none. Raises ReportRejected."""
    file = open_report(path)
    if file is None:
        return None
    with file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ReportRejected(f"the report is larger than {most:,} bytes")
    return data


def stream_xml(
    path: Path, *, start: Callable[[str, dict[str, str]], None], end: Callable[[str], None], text: Callable[[str], None]
) -> str | None:
    """Stream a report through the three handlers; what was wrong with it ("" for nothing), None where there is none.

    Entities can only be declared in a document type, so refusing one closes that whole family of attacks.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _reject_doctype
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    try:
        file = open_report(path)
        if file is None:
            return None
        with file:
            read = 0
            while block := file.read(1 << 16):
                read += len(block)
                if read > MAX_XML_BYTES:
                    raise ReportRejected(f"the report is larger than {MAX_XML_BYTES:,} bytes")
                parser.Parse(block, False)
            parser.Parse(b"", True)
    except ReportRejected as error:
        return str(error)
    except (expat.ExpatError, LookupError, ValueError) as error:  # the last two: an encoding that Python lacks
        return f"the report is not whole XML: {error}"
    return ""


def _reject_doctype(*_: object) -> None:
    raise ReportRejected("the report declares a document type, which no test runner writes")
