"""Text of a file as lines that each keep their own ending, and the conversion from and to its bytes.

Lines end at LF only: form feeds, NEL, U+2028 and a lone CR are ordinary characters, so that a file that holds them
keeps its line numbers and its bytes.
"""

import codecs
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kimi_agent.errors import ToolError

BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
# Every byte is one character and comes back as that byte: a view on what is not UTF-8, never a guess at its encoding.
SINGLE_BYTE = "latin-1"


@dataclass(frozen=True)
class TextCodec:
    """How the bytes were read and are to be written: a Python codec name, and the byte order mark in front."""

    name: str = "utf-8"
    bom: bytes = b""

    @property
    def opaque(self) -> bool:
        """Whether the characters of the view are bytes of an unknown encoding."""
        return self.name == SINGLE_BYTE

    @property
    def note(self) -> str:
        """What is unusual about it, for a result; "" for plain UTF-8."""
        if self.opaque:
            return "not UTF-8; its bytes kept"
        if self.name == "utf-8":
            return "UTF-8 BOM kept" if self.bom else ""
        return f"{self.name.upper()} with BOM kept"


@dataclass(frozen=True)
class FileText:
    """Lines without their endings, and the endings ("\\n", "\\r\\n", or "" for a last line without newline)."""

    bodies: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    codec: TextCodec = TextCodec()

    @property
    def ends_with_newline(self) -> bool:
        """Whether the last line has a newline; an empty file counts as one that will get it."""
        return not self.ends or self.ends[-1] != ""

    def raw(self) -> list[str]:
        """The lines with CR and LF as they stand in the file."""
        return [body + end for body, end in zip(self.bodies, self.ends, strict=True)]


def decode_text(data: bytes, path: str = "the file") -> FileText:
    """The text of `data`. Raises ToolError (binary) for what holds NULs or breaks its own UTF-16."""
    bom, name = next((pair for pair in BOMS if data.startswith(pair[0])), (b"", "utf-8"))
    body = data[len(bom) :]
    try:
        text = body.decode(name)
    except UnicodeDecodeError as error:
        if name != "utf-8":
            raise _binary(path, f"{name.upper()} that breaks at byte {error.start + len(bom)}") from None
        name = SINGLE_BYTE
        text = body.decode(name)
    if "\0" in text:
        raise _binary(path, f"NUL at character {text.index(chr(0))}")
    return split_text(text, TextCodec(name, bom))


def split_text(text: str, codec: TextCodec = TextCodec()) -> FileText:
    """`text` as lines that each keep their ending."""
    pieces = text.split("\n")
    last = pieces.pop()
    ends = ["\r\n" if piece.endswith("\r") else "\n" for piece in pieces]
    bodies = [piece[:-1] if piece.endswith("\r") else piece for piece in pieces]
    if last:
        bodies.append(last)
        ends.append("")
    return FileText(tuple(bodies), tuple(ends), codec)


def encode_text(text: FileText, path: str = "the file") -> bytes:
    """The bytes of `text`. Raises ToolError (encoding) for a character that its codec lacks."""
    return text.codec.bom + encode_characters("".join(text.raw()), text.codec, path)


def encode_characters(text: str, codec: TextCodec, path: str) -> bytes:
    """`text` in `codec`, without its BOM. Raises ToolError (encoding) that names the character."""
    try:
        return text.encode(codec.name)
    except UnicodeEncodeError as error:
        why = f"{path}: character {error.object[error.start]!a} cannot be written in {codec.name.upper()}"
        mend = "send the text without that character (an escape like \\ud800 is half a character)"
        raise ToolError("encoding", why, mend) from None


def find_non_ascii(lines: Iterable[str]) -> str:
    """The first character beyond ASCII in `lines`, or ""."""
    for line in lines:
        if not line.isascii():
            return next(char for char in line if ord(char) > 127)
    return ""


def find_usual_ending(ends: Sequence[str]) -> str:
    """The ending that most lines have; LF where none has one, or as many."""
    count = Counter(ends)
    return "\r\n" if count["\r\n"] > count["\n"] else "\n"


def _binary(path: str, why: str) -> ToolError:
    return ToolError("binary", f"{path} is not text ({why}); nothing was changed", "change it with a program, by shell")
