"""Parser of V4A patches: `*** Begin Patch`, sections that name their file, hunks placed by what they hold."""

import re
from dataclasses import dataclass, field, replace

from kimi_agent.edit.parsing.hunks import V4A_EXAMPLE, HunkHeader, build_hunk, parse_hunk_header, patch_syntax_error
from kimi_agent.edit.patch import Hunk, HunkLine, PatchSection
from kimi_agent.errors import ToolError

BEGIN, END, END_OF_FILE = V4A_MARKERS = "*** Begin Patch", "*** End Patch", "*** End of File"
ADD_EXAMPLE = "*** Begin Patch\n*** Add File: path\n+first line\n*** End Patch"
_SECTION = re.compile(r"\*\*\* (Add|Update|Delete) File:(.*)")
_MOVE = re.compile(r"\*\*\* Move to:(.*)")


def find_v4a_begin(lines: list[str]) -> int | None:
    """Where `*** Begin Patch` stands."""
    return next((place for place, line in enumerate(lines) if line.strip() == BEGIN), None)


def has_v4a_sections(lines: list[str], start: int) -> bool:
    """Whether any V4A section follows; a unified diff may have been put into the envelope."""
    return any(_SECTION.match(line.strip()) for line in lines[start:] if line[:1] not in ("+", "-"))


def parse_v4a(lines: list[str], start: int, *, whole: bool) -> tuple[PatchSection, ...]:
    """The sections of all envelopes from `start` on; `whole` says that a missing end was not cut off."""
    reader = _Reader(_dedented(lines, start), whole)
    sections: list[PatchSection] = []
    place: int | None = start
    while place is not None:
        sections += reader.envelope(place)
        place = next((at for at in range(reader.place, len(reader.lines)) if reader.lines[at].strip() == BEGIN), None)
    return tuple(sections)


def _dedented(lines: list[str], start: int) -> list[str]:
    """Without the indentation of the whole envelope: body lines that all began with it could not be told apart."""
    pad = lines[start][: len(lines[start]) - len(lines[start].lstrip())]
    end = next((at for at in range(start, len(lines)) if lines[at].strip() == END), len(lines) - 1)
    if not pad or not all(line.startswith(pad) for line in lines[start : end + 1] if line.strip()):
        return lines
    return [line.removeprefix(pad) for line in lines]


@dataclass
class _Body:
    """A hunk while it is read."""

    at: int
    head: HunkHeader = HunkHeader()  # noqa: RUF009 - a frozen value
    anchors: list[str] = field(default_factory=list)
    lines: list[HunkLine] = field(default_factory=list)
    at_end: bool = False


class _Reader:
    """Goes through the lines once; `place` is the line that is read next."""

    def __init__(self, lines: list[str], whole: bool) -> None:
        self.lines = lines
        self.place = 0
        self._whole = whole

    def envelope(self, start: int) -> list[PatchSection]:
        self.place = start + 1
        sections: list[PatchSection] = []
        while (line := self._line()) is not None:
            text = line.strip()
            found = _SECTION.match(text)
            if text == END:
                self.place += 1
                return self._some(sections)
            if found and found[2].strip():
                sections.append(self._section(found[1], found[2].strip()))
            elif text and (sections or text[0] in "*+-@"):
                headers = "`*** Add File: path`, `*** Update File: path`, `*** Delete File: path`"
                expected = f"expected {headers} or `*** End Patch`"
                raise patch_syntax_error(self.place, line, expected, V4A_EXAMPLE)
            else:
                self.place += 1
        if not self._whole:
            why = f"the patch breaks off after line {len(self.lines)} without `*** End Patch`; nothing was changed"
            mend = "send the whole patch again and end it with `*** End Patch`; split a long one into several calls"
            raise ToolError("truncated", why, mend)
        return self._some(sections)

    def _some(self, sections: list[PatchSection]) -> list[PatchSection]:
        if not sections:
            raise ToolError("no_patch", "the patch holds no file section; nothing was changed", f"send\n{V4A_EXAMPLE}")
        return sections

    def _line(self) -> str | None:
        return self.lines[self.place] if self.place < len(self.lines) else None

    def _section(self, action: str, path: str) -> PatchSection:
        at = self.place
        self.place += 1
        if action == "Delete":
            return PatchSection("delete", (path,), at)
        if action == "Add":
            return PatchSection("create", (path,), at, self._content(at))
        move_to = self._move()
        hunks = self._hunks()
        if not hunks and not move_to:
            raise patch_syntax_error(at, self.lines[at], "this Update has no hunk", V4A_EXAMPLE)
        return PatchSection("update", (path,), at, hunks, move_to)

    def _content(self, at: int) -> tuple[Hunk, ...]:
        body = _Body(at)
        while (line := self._line()) is not None:
            if line.startswith("+"):
                body.lines.append(HunkLine("+", line[1:], self.place))
            elif line.startswith("\\ ") and body.lines:
                body.lines[-1] = replace(body.lines[-1], bare=True)
            elif line.strip().startswith("*** "):
                break
            elif line.strip() or self._plus_after_blanks():
                expected = "every line of an added file starts with `+` (an empty one is `+` alone)"
                raise patch_syntax_error(self.place, line, expected, ADD_EXAMPLE)
            self.place += 1
        return (build_hunk(1, at, body.lines, HunkHeader()),) if body.lines else ()

    def _plus_after_blanks(self) -> bool:
        """Go to the last of the blank lines that begin here, and see whether the file's lines go on after it."""
        start = self.place
        while self.place + 1 < len(self.lines) and not self.lines[self.place + 1].strip():
            self.place += 1
        if self.place + 1 < len(self.lines) and self.lines[self.place + 1].startswith("+"):
            self.place = start
            return True
        return False

    def _move(self) -> str:
        line = self._line()
        found = _MOVE.match(line.rstrip()) if line is not None else None
        if not found:
            return ""
        if not found[1].strip():
            raise patch_syntax_error(self.place, line or "", "a path is missing", "*** Move to: new/path")
        self.place += 1
        return found[1].strip()

    def _hunks(self) -> tuple[Hunk, ...]:
        hunks: list[Hunk] = []
        self._skip_blank(only_before=("@@", "***"))
        while (line := self._line()) is not None and not self._is_header(line):
            if hunks and not line.startswith("@@"):
                expected = "expected `@@`, a file header or `*** End Patch`"
                raise patch_syntax_error(self.place, line, expected, V4A_EXAMPLE)
            body = self._hunk()
            hunk = build_hunk(len(hunks) + 1, body.at, body.lines, body.head, anchors=body.anchors, at_end=body.at_end)
            hunks.append(hunk)
        return tuple(hunks)

    def _hunk(self) -> _Body:
        body = _Body(self.place)
        while (line := self._line()) is not None and line.startswith("@@"):
            head = parse_hunk_header(line)
            if head.numbered:
                body.head = head
            elif head.anchor:
                body.anchors.append(head.anchor)
            self.place += 1
        while (line := self._line()) is not None:
            if line.strip() == END_OF_FILE and line[:1] != " ":
                body.at_end = True
                self.place += 1
                self._skip_blank(only_before=("",))
                break
            if line.startswith("@@") or self._is_header(line):
                break
            self._take(line, body)
            self.place += 1
        if all(line.op == " " for line in body.lines):
            expected = "this hunk has no line that starts with `-` or `+`, so it would change nothing"
            raise patch_syntax_error(body.at, self.lines[body.at], expected, V4A_EXAMPLE)
        return body

    def _take(self, line: str, body: _Body) -> None:
        if line[:1] in (" ", "+", "-"):
            body.lines.append(HunkLine(line[0], line[1:], self.place))
        elif not line.strip("\r"):
            body.lines.append(HunkLine(" ", line, self.place))
        elif line.startswith("\\ ") and body.lines:
            body.lines[-1] = replace(body.lines[-1], bare=True)
        else:
            expected = "a line of a hunk starts with ` ` (context), `-` or `+`"
            raise patch_syntax_error(self.place, line, expected, V4A_EXAMPLE)

    def _is_header(self, line: str) -> bool:
        text = line.strip()
        return line[:1] not in (" ", "+", "-") and (text in (BEGIN, END) or bool(_SECTION.match(text)))

    def _skip_blank(self, *, only_before: tuple[str, ...]) -> None:
        at = self.place
        while at < len(self.lines) and not self.lines[at].strip("\r"):
            at += 1
        if at == len(self.lines) or self.lines[at].startswith(only_before):
            self.place = at
