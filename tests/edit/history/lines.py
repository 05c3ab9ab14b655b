"""Lines that keep their ends, and what a change means for lines that are not quite those it was written for.

Written apart from the engine on purpose: it is the other opinion that the engine's trees are compared with.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Line(NamedTuple):
    """`end` is "\\n", "\\r\\n", or "" for a last line without newline."""

    body: str
    end: str

    @property
    def raw(self) -> str:
        return self.body + self.end


def split(data: bytes) -> list[Line]:
    """The lines of UTF-8 bytes; only "\\n" ends one."""
    pieces = data.decode().split("\n")
    last = pieces.pop()
    lines = [Line(piece[:-1], "\r\n") if piece.endswith("\r") else Line(piece, "\n") for piece in pieces]
    return [*lines, Line(last, "")] if last else lines


def joined(lines: Sequence[Line]) -> bytes:
    """The bytes again."""
    return "".join(line.raw for line in lines).encode()


def meant(
    a: Sequence[Line],
    b: Sequence[Line],
    ops: Sequence[tuple[int, int, int, int]],
    extra: Mapping[int, Sequence[Line]] = {},
    *,
    newline: bool | None = None,
) -> bytes:
    """The old lines `a` after the change, by the rules for line ends: the specification, said once more in short.

    Untouched lines stay as `a` has them; a new line takes the end of the line it replaces, else of the one above, else
    below, else of most; the final newline stays unless `newline` says what it shall be. `extra` holds lines that came
    before a line of `a` meanwhile.
    """
    out: list[Line] = []
    crlf = sum(line.end == "\r\n" for line in a)
    usual = "\r\n" if crlf > sum(line.end == "\n" for line in a) else "\n"
    waiting = dict(extra)
    at = 0
    for i, j, k, m in [*ops, (len(a), len(a), 0, 0)]:
        for number in range(at, i):
            out += [*waiting.pop(number, ()), a[number]]
        out += waiting.pop(i, ())
        below = a[j].end if j < len(a) else ""
        for place in range(k, m):
            own = a[i + place - k].end if i + place - k < j else ""
            above = out[-1].end if out else ""
            out.append(Line(b[place].body, own or above or below or usual))
        at = j
    for number, line in enumerate(out[:-1]):
        if not line.end:
            out[number] = Line(line.body, out[number - 1].end if number else usual)
    if out:
        wanted = not a or a[-1].end != "" if newline is None else newline
        above = out[-2].end if len(out) > 1 else ""
        out[-1] = Line(out[-1].body, (out[-1].end or above or usual) if wanted else "")
    return joined(out)
