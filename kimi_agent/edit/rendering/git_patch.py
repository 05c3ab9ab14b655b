"""Git patch writer: changes of files as a patch that `git apply` takes.

Exact bytes, modes, links, binary files, any name.
"""

import zlib
from base64 import b85encode
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha1
from itertools import pairwise

from kimi_agent.edit.line_diff import DiffBlock, diff_lines

_AROUND = 3
_BINARY_LOOK = 8_000
_LINE = 52
_ESCAPES = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 34: '"', 92: "\\"}


@dataclass(frozen=True)
class FileVersion:
    """A file before or after: its bytes (the target of a link), and git's mode, such as "100644" or "120000"."""

    mode: str
    data: bytes


def format_git_patch(path: bytes, before: FileVersion | None, after: FileVersion | None) -> bytes:
    """What becomes of the file at `path`; None is "not there"."""
    if before is not None and after is not None and before.mode[:2] != after.mode[:2]:
        # A link never becomes a file in one step.
        return format_git_patch(path, before, None) + format_git_patch(path, None, after)
    old, new = _quoted(b"a/" + path), _quoted(b"b/" + path)
    head = [b"diff --git %s %s" % (old, new)]
    if before is None and after is not None:
        head.append(b"new file mode " + after.mode.encode())
    elif after is None and before is not None:
        head.append(b"deleted file mode " + before.mode.encode())
    elif before is not None and after is not None and before.mode != after.mode:
        head += [b"old mode " + before.mode.encode(), b"new mode " + after.mode.encode()]
    one, other = before.data if before else b"", after.data if after else b""
    if one == other and before is not None and after is not None:
        return b"\n".join(head) + b"\n"
    head.append(b"index %s..%s" % (_name(before), _name(after)))
    if b"\0" in one[:_BINARY_LOOK] or b"\0" in other[:_BINARY_LOOK]:
        return b"\n".join([*head, b"GIT binary patch", _literal(other), _literal(one)]) + b"\n"
    if one != other:
        blank = b"\t" if b" " in path else b""  # ends a name that has blanks in it
        head.append(b"--- " + (b"/dev/null" if before is None else old + blank))
        head.append(b"+++ " + (b"/dev/null" if after is None else new + blank))
    return b"\n".join(head) + b"\n" + b"".join(_hunks(one, other))


def _name(side: FileVersion | None) -> bytes:
    """Git's name of the content; a binary patch must have it whole."""
    if side is None:
        return b"0" * 40
    return sha1(b"blob %d\0" % len(side.data) + side.data, usedforsecurity=False).hexdigest().encode()


def _hunks(old: bytes, new: bytes) -> Iterator[bytes]:
    before, after = _lines(old), _lines(new)
    blocks = list(diff_lines(before, after))
    cuts = [at for at, (one, two) in enumerate(pairwise(blocks), 1) if two.old[0] - one.old[1] > 2 * _AROUND]
    for start, end in pairwise([0, *cuts, len(blocks)]):
        if start < end:
            yield from _hunk(blocks[start:end], before, after)


def _lines(data: bytes) -> list[bytes]:
    """Only a newline ends a line of a patch; `splitlines` knows more of them."""
    rows = [row + b"\n" for row in data.split(b"\n")]
    rows[-1] = rows[-1][:-1]
    return rows if rows[-1] else rows[:-1]


def _hunk(blocks: list[DiffBlock], old: list[bytes], new: list[bytes]) -> Iterator[bytes]:
    first, last = blocks[0], blocks[-1]
    start, end = max(0, first.old[0] - _AROUND), min(len(old), last.old[1] + _AROUND)
    begin, stop = first.new[0] - (first.old[0] - start), last.new[1] + end - last.old[1]
    yield b"@@ -%s +%s @@\n" % (_range(start, end), _range(begin, stop))
    at = start
    for block in blocks:
        yield from (_row(b" ", line) for line in old[at : block.old[0]])
        yield from (_row(b"-", line) for line in old[slice(*block.old)])
        yield from (_row(b"+", line) for line in new[slice(*block.new)])
        at = block.old[1]
    yield from (_row(b" ", line) for line in old[at:end])


def _range(start: int, end: int) -> bytes:
    return b"%d,%d" % (start + (end > start), end - start)


def _row(sign: bytes, line: bytes) -> bytes:
    return sign + line if line.endswith(b"\n") else b"%s%s\n\\ No newline at end of file\n" % (sign, line)


def _literal(data: bytes) -> bytes:
    """The whole content as git writes it: deflated, in lines of base 85 that begin with their length."""
    packed = zlib.compress(data)
    rows = [b"literal %d" % len(data)]
    for at in range(0, len(packed), _LINE):
        part = packed[at : at + _LINE]
        length = len(part) + (ord("A") - 1 if len(part) <= 26 else ord("a") - 27)
        rows.append(bytes([length]) + b85encode(part, pad=True))
    return b"\n".join(rows) + b"\n"


def _quoted(name: bytes) -> bytes:
    """A name as git quotes it: one with control characters, quotes, or bytes that are no text."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        text = ""
    if text.isprintable() and text and not set(text) & {'"', "\\"}:
        return name
    inner = "".join(
        f"\\{_ESCAPES[byte]}" if byte in _ESCAPES else chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}"
        for byte in name
    )
    return f'"{inner}"'.encode()
