"""Reading a JUnit XML report: streaming, bounded, and deaf to document types.

Entities can only be declared in a document type, so refusing one closes that whole family of attacks.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

from kimi_agent.workspace.testrun.values import Outcome

MOST_CASES, MOST_DETAILED, MOST_TEXT = 20_000, 1_000, 20_000
_MOST_BYTES = 400_000_000
_OUTCOMES: Mapping[str, Outcome] = {"failure": "failed", "error": "error", "skipped": "skipped"}


@dataclass
class Element:
    """One `testcase` as it stood in the report."""

    classname: str
    name: str
    file: str
    line: str
    outcome: Outcome = "passed"
    message: str = ""
    text: str = ""


@dataclass
class Report:
    """All cases that were kept, how many there were, and what was wrong with the file."""

    elements: list[Element] = field(default_factory=list)
    total: int = 0
    trouble: str = ""


class _Refused(Exception):
    pass


def read_report(path: Path) -> Report | None:
    """The report at `path`, None where there is none. What was read before a fault is kept, and the fault told."""
    try:
        # The tests are the repository's code: what stands here may be a link or a pipe of theirs.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return Report(trouble="the report is not a regular file")
            return _Reader().read(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Report(trouble=f"the report could not be read: {error.strerror}")


class _Reader:
    def __init__(self) -> None:
        self._report = Report()
        self._case: Element | None = None
        self._taking = False
        self._detailed = 0

    def read(self, file: BinaryIO) -> Report:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        read = 0
        try:
            while block := file.read(1 << 16):
                read += len(block)
                if read > _MOST_BYTES:
                    raise _Refused(f"the report is larger than {_MOST_BYTES:,} bytes")
                parser.Parse(block, False)
            parser.Parse(b"", True)
        except _Refused as error:
            self._report.trouble = str(error)
        except expat.ExpatError as error:
            self._report.trouble = f"the report is not whole XML: {error}"
        return self._report

    def _doctype(self, *_: object) -> None:
        raise _Refused("the report declares a document type, which no test runner writes")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "testcase":
            get = attributes.get
            self._case = Element(get("classname", ""), get("name", ""), get("file", ""), get("line", ""))
        elif self._case is not None and tag in _OUTCOMES:
            # A test can fail and its teardown too: the first thing told is the one to mend first.
            self._taking = self._case.outcome in ("passed", "skipped")
            if self._taking:
                self._case.outcome = _OUTCOMES[tag]
                self._case.message = attributes.get("message", "")[:MOST_TEXT]

    def _characters(self, text: str) -> None:
        if self._taking and self._case is not None and len(self._case.text) < MOST_TEXT:
            self._case.text += text[: MOST_TEXT - len(self._case.text)]

    def _end(self, tag: str) -> None:
        if tag in _OUTCOMES:
            self._taking = False
        elif tag == "testcase" and self._case is not None:
            case, self._case = self._case, None
            self._report.total += 1
            bad = case.outcome in ("failed", "error")
            self._detailed += bad
            if bad and self._detailed > MOST_DETAILED:
                case.text = ""
            # Failures are never left out: the verdict hangs on them.
            if bad or len(self._report.elements) < MOST_CASES:
                self._report.elements.append(case)
