"""Text page: numbered lines of a streamed text within limits, its encoding, and what is unusual about it."""

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

MAX_SHOWN_LINE_CHARS = 2_000  # of one line
MAX_PAGE_BYTES = 60_000  # of one page
BINARY_CHECK_BYTES = 8_192
BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
CONTROL_BYTES = bytes(set(range(32)) - set(b"\t\n\v\f\r\b\x1b"))
VISIBLE_CONTROLS = {0: "␀", 13: "␍"}


@dataclass
class TextPage:
    """Takes text piece by piece and keeps lines `first` to at most `first + limit - 1`, each from `column` on."""

    first: int
    limit: int
    column: int = 1
    lines: list[str] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)  # numbers of lines that are longer than what is shown
    is_full: bool = False
    total: int = 0  # lines in all, once the text has ended
    crlf: int = 0
    final_newline: bool = True
    _number: int = 1
    _size: int = 0
    _chars: int = 0
    _kept: list[str] = field(default_factory=list)
    _held: str = ""

    def feed(self, text: str) -> None:
        """The next piece."""
        text = self._held + text
        self.crlf += text.count("\r\n")
        self._held = "\r" if text.endswith("\r") else ""  # its "\n" may come with the next piece
        self._take(text[:-1] if self._held else text)

    def finish(self) -> None:
        """The text has ended."""
        self._take(self._held)
        self._held = ""
        self.final_newline = self._chars == 0
        if self._chars:
            if not self.is_full and self._number >= self.first:
                self._line()
            self._number += 1
        self.total = self._number - 1

    def _take(self, text: str) -> None:
        at = 0
        if self._number < self.first or self.is_full:
            ends = text.count("\n")
            skipped = ends if self.is_full else min(ends, self.first - self._number)
            if skipped == ends:
                at = text.rfind("\n") + 1
            else:
                for _ in range(skipped):
                    at = text.index("\n", at) + 1
            self._number += skipped
            self._chars = 0 if at else self._chars
            if self._number < self.first or self.is_full:
                self._chars += len(text) - at
                return
        while (end := text.find("\n", at)) >= 0:
            self._part(text[at:end])
            goes_on = self._line()
            self._number += 1
            self._chars = 0
            at = end + 1
            if not goes_on:
                self._take(text[at:])
                return
        self._part(text[at:])

    def _part(self, text: str) -> None:
        start = self.column - 1 - self._chars
        kept = text[max(0, start) : max(0, start + MAX_SHOWN_LINE_CHARS + 1)]
        if kept:
            self._kept.append(kept)
        self._chars += len(text)

    def _line(self) -> bool:
        """Take the line that has just ended; whether there is room for another."""
        body = "".join(self._kept)
        self._kept.clear()
        if len(body.removesuffix("\r")) > MAX_SHOWN_LINE_CHARS:
            body = body[:MAX_SHOWN_LINE_CHARS]
            self.cut.append(self._number)
        size = len(body.encode("utf-8", "replace")) + 8
        if self.lines and self._size + size > MAX_PAGE_BYTES:
            self.is_full = True
            self.cut = [number for number in self.cut if number != self._number]
            return False
        self._size += size
        self.lines.append(body)
        self.is_full = len(self.lines) >= self.limit
        return not self.is_full

    @property
    def last(self) -> int:
        """The number of the last line shown."""
        return self.first + len(self.lines) - 1

    @property
    def uniform(self) -> bool:
        """Whether every line ends in CRLF (the last one may lack its newline)."""
        return self.crlf > 0 and self.crlf >= self.total - (not self.final_newline)

    def numbered(self) -> Iterator[str]:
        """`N<TAB>text` lines; CRs are shown where they are not simply every line's ending."""
        for number, body in enumerate(self.lines, self.first):
            shown = body.removesuffix("\r") if self.uniform else body
            yield f"{number}\t{shown.translate(VISIBLE_CONTROLS)}"

    def notes(self) -> Iterator[str]:
        """What is unusual, for the trailer."""
        if self.crlf:
            yield "CRLF line ends" if self.uniform else "mixed line ends (CR shown as ␍)"
        elif any("\r" in line for line in self.lines):
            yield "CR within lines (shown as ␍)"
        if self.cut:
            numbers = ", ".join(map(str, self.cut[:10])) + (", …" if len(self.cut) > 10 else "")
            yield f"lines {numbers} cut at {MAX_SHOWN_LINE_CHARS} characters; use column_offset"
        if self.total and not self.final_newline:
            yield "no final newline"


@dataclass(frozen=True)
class TextCoding:
    """How bytes become text: a codec, the length of the byte order mark, what to do with bytes that do not fit."""

    codec: str
    bom: int = 0
    errors: str = "strict"
    note: str = ""


def detect_coding(head: bytes) -> TextCoding:
    """By the byte order mark, else strict UTF-8."""
    for bom, codec in BYTE_ORDER_MARKS:
        if head.startswith(bom):
            if codec == "utf-8":
                return TextCoding(codec, len(bom), note="UTF-8 BOM")
            return TextCoding(codec, len(bom), "replace", f"encoding {codec.upper()} with BOM")
    return TextCoding("utf-8")


def guess_legacy_coding(sample: bytes) -> TextCoding:
    """For bytes that are not UTF-8: mostly UTF-8 after all, or an old one-byte encoding."""
    if any(ord(char) > 127 for char in sample.decode("utf-8", "ignore")):
        return TextCoding("utf-8", errors="backslashreplace", note=r"not valid UTF-8 (other bytes shown as \xNN)")
    try:
        sample.decode("cp1252")
    except UnicodeDecodeError:
        return TextCoding("latin-1", note="encoding unknown, shown as latin-1")
    return TextCoding("cp1252", errors="replace", note="encoding cp1252 (detected)")


def decode_chunks(chunks: Iterable[bytes], how: TextCoding) -> Iterator[str]:
    """The text of `chunks`, which start after the byte order mark. Raises UnicodeDecodeError if strict."""
    decoder = codecs.getincrementaldecoder(how.codec)(how.errors)
    for chunk in chunks:
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def is_binary(head: bytes) -> bool:
    """NUL in the first 8 KB, or more than 30 % control characters; UTF-16 announces itself by its mark."""
    head = head[:BINARY_CHECK_BYTES]
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return False
    return b"\0" in head or len(head.translate(None, CONTROL_BYTES)) < 0.7 * len(head)
