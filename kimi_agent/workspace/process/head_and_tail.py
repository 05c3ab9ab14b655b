"""The output of a process as bounded, clean text: its head and its tail, whatever it prints."""

import codecs
import re
from collections import deque

_MAX_HELD_CHARS = 8_192
"""Characters of an unfinished line that are held back, because a carriage return may yet overwrite them."""

_ESCAPE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b\x9c\n]*(?:[\x07\x9c]|(?=[\x1b\n]))"  # OSC, DCS ...: titles, links, clipboard
    r"|\x1b[ -/]+[0-~]"  # character sets
    r"|\x1b[0-OQ-WYZ\\`-~]"  # two characters, the end of a string (ESC \) among them
)
_STRING_BEGUN = re.compile(r"\x1b[\]PX^_][^\x07\x1b\x9c\n]*\Z")
_SEQUENCE_BEGUN = re.compile(r"\x1b(?:\[[0-?]{0,200}[ -/]{0,20}|[ -/]{0,20})\Z")
_STRING_END = re.compile(r"[\x07\x9c\x1b\n]")
_C1_INTRODUCERS = {"\x9b": "\x1b[", "\x9d": "\x1b]", "\x90": "\x1bP", "\x98": "\x1bX", "\x9e": "\x1b^", "\x9f": "\x1b_"}
_C1_INTRODUCER = re.compile("[" + "".join(_C1_INTRODUCERS) + "]")
_CONTROLS = re.compile(r"[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f]+")  # all but BS, TAB, LF and CR

_ASCII_KEPT = bytes([8, 9, 10, 13, *range(0x20, 0x7F)])


class OutputCleaner:
    """Bytes in pieces of any size to text that a terminal would not act on.

    Invalid UTF-8 becomes U+FFFD, escape sequences and control characters go, a line overwritten by carriage returns
    or backspaces is what it showed last. Nothing here swallows a newline, so lines can be counted behind it.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._escape = ""
        self._in_string = False
        self._line = ""

    @property
    def line(self) -> str:
        """The unfinished last line so far."""
        return self._line.rstrip("\r")

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """The text that is final with `data`; with `final` all that was held back too."""
        text = self._line + self._stripped(self._decoder.decode(data, final))
        if "\r" not in text and "\b" not in text:
            body, newline, rest = text.rpartition("\n")
        else:
            whole, newline, unfinished = text.rpartition("\n")
            body = "\n".join(_overwritten(line) for line in whole.split("\n"))
            rest = _overwritten(unfinished) + ("\r" if unfinished.endswith("\r") else "")
        out = body + newline
        if final or len(rest) > _MAX_HELD_CHARS:
            out, rest = out + rest.rstrip("\r"), ""
        self._line = rest
        return out

    def _stripped(self, text: str) -> str:
        """`text` without escape sequences; one that is unfinished at its end waits for the next piece."""
        text = self._escape + text
        self._escape = ""
        if not self._in_string and _plain(text):
            return text
        if self._in_string:
            end = _STRING_END.search(text)
            if end is None:
                return ""
            # A newline or the next sequence ends it too, and stays.
            self._in_string = False
            text = text[end.end() if end[0] in "\x07\x9c" else end.start() :]
        text = _C1_INTRODUCER.sub(lambda found: _C1_INTRODUCERS[found[0]], text)
        last = text.rfind("\x1b")
        begun = last >= 0 and _SEQUENCE_BEGUN.match(text, last)
        self._in_string = last >= 0 and _STRING_BEGUN.match(text, last) is not None
        unfinished = len(text) - last if begun or self._in_string else 0
        self._escape = text[last:] if begun else ""
        # On the whole text, because an unfinished sequence also ends a string sequence before it.
        text = _ESCAPE.sub("", text)
        return _CONTROLS.sub("", text[: len(text) - unfinished])


def _plain(text: str) -> bool:
    """Whether nothing in `text` has to go. For ASCII a table is six times as fast as the expression."""
    if text.isascii():
        return not text.encode("ascii").translate(None, _ASCII_KEPT)
    return not _CONTROLS.search(text)


def _overwritten(line: str) -> str:
    """What a screen shows once `line`, with its carriage returns and backspaces, has been written."""
    if "\r" in line:
        line = line.rstrip("\r").rpartition("\r")[2]
    if "\b" not in line:
        return line
    shown: list[str] = []
    for character in line:
        if character != "\b":
            shown.append(character)
        elif shown:
            shown.pop()
    return "".join(shown)


class HeadAndTail:
    """The first `head` and the last `tail` characters of a text that comes in pieces, with exact counts."""

    def __init__(self, head: int, tail: int) -> None:
        self._head_chars = head
        self._tail_chars = tail
        self._head = ""
        self._tail: deque[str] = deque()
        self._tail_held = 0
        self.chars = 0
        self.bytes = 0
        self.newlines = 0
        self._open_line = False

    @property
    def lines(self) -> int:
        """Lines so far; an unfinished last one counts."""
        return self.newlines + self._open_line

    @property
    def whole(self) -> bool:
        """Whether nothing has to be left out."""
        return self.chars <= self._head_chars + self._tail_chars

    def add(self, text: str) -> None:
        """Take in the next piece."""
        if not text:
            return
        self.chars += len(text)
        self.bytes += len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        self.newlines += text.count("\n")
        self._open_line = not text.endswith("\n")
        room = self._head_chars - len(self._head)
        if room > 0:
            self._head, text = self._head + text[:room], text[room:]
        if text:
            # One character more than is shown, to see whether the tail starts on a new line.
            text = text[-self._tail_chars - 1 :]
            self._tail.append(text)
            self._tail_held += len(text)
            while self._tail_held - len(self._tail[0]) > self._tail_chars:
                self._tail_held -= len(self._tail.popleft())

    def text(self, where: str) -> str:
        """All of it if that fits, else its ends around a line that counts what is missing and says `where` it is."""
        tail = "".join(self._tail)
        if self.whole:
            return self._head + tail
        head = self._head
        # Whole lines where that costs little; a line without end is cut where it is.
        cut = head.rfind("\n") + 1
        if cut > len(head) * 3 // 4:
            head = head[:cut]
        start = len(tail) - self._tail_chars
        begin = tail.find("\n", max(0, start - 1)) + 1
        tail = tail[begin if 0 < begin < start + self._tail_chars // 4 else start :]
        lines = self.newlines - head.count("\n") - tail.count("\n")
        size = self.bytes - len(head.encode("utf-8", "replace")) - len(tail.encode("utf-8", "replace"))
        missing = f"{lines:,} lines, {size:,} bytes" if lines else f"{size:,} bytes of one line"
        gap = "" if head.endswith("\n") or not head else "\n"
        return f"{head}{gap}[… {missing} left out; {where} …]\n{tail}"
