"""A parser of ripgrep's output, in pieces of any size; it keeps only the page that was asked for.

`rg --json` would be simpler to read but ignores --max-columns: one line of 6.5 MB is one record of 7 MB. With --null
each record of the plain output is `path NUL number (":" | "-") text LF`, whatever characters the path holds.
"""

import bisect
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from kimi_agent.workspace.files.access_rules import HiddenReason

_RECORD = re.compile(rb"([^\0]*)\0(?:(\d+)([:-])([^\n]*)|(\d+))\n")
# rg prints this on stdout, so it comes before the path of the next record.
_BINARY = re.compile(rb"\A.*: (?:WARNING: stopped searching binary file|binary file matches)[^\n]*\n", re.DOTALL)
_SEARCHED = re.compile(rb"\n(\d+) files searched\n")
_MAX_BUFFER = 1_000_000
_MAX_KEPT = 8_000_000

MAX_MATCHING_LINES = 200_000
"""Matching lines after which a search is stopped."""


@dataclass(frozen=True)
class MatchLine:
    """One line of a file: a match, or context of one."""

    number: int
    text: str
    match: bool


@dataclass
class MatchGroup:
    """The hits of one file: how many lines match, and those of its lines that were kept."""

    path: bytes
    matches: int = 0
    lines: list[MatchLine] = field(default_factory=list)
    kept: int = 0
    last: int = 0
    size: int = 0


def order_by_path(group: MatchGroup) -> tuple[int, bytes]:
    """The order of matches."""
    return 0, group.path


def order_by_count(group: MatchGroup) -> tuple[int, bytes]:
    """The order of files: most matches first."""
    return -group.matches, group.path


@dataclass
class MatchPage:
    """Hits as they come, of which the first `need` in `order` are kept: matches with their context, or counted files.

    Memory is bounded by `need` and by 8 MB; the counts are of all hits. Hits in files that `hidden` gives a reason for
    are only counted, and those in files of ours not even that.
    """

    need: int
    after: int
    order: Callable[[MatchGroup], tuple[int, bytes]]
    hidden: Callable[[bytes], HiddenReason]
    groups: list[MatchGroup] = field(default_factory=list)
    matches: int = 0
    files: int = 0
    searched: int = 0
    secret_matches: int = 0
    secret_files: list[bytes] = field(default_factory=list)
    denied_matches: int = 0
    denied_files: int = 0
    _buffer: bytes = b""
    _open: MatchGroup | None = None
    _hidden: HiddenReason = ""
    _kept: int = 0
    _size: int = 0

    def feed(self, data: bytes) -> bool:
        """Take in a piece; False when there are more matches than anyone will read."""
        self._buffer += data
        end = 0
        # Anchored matches: searching would look at an unfinished record from each of its bytes.
        while record := _RECORD.match(self._buffer, end):
            path = record[1]
            if b": " in path:
                path = _BINARY.sub(b"", path)
            if record[5] is not None:
                self._count(path, int(record[5]))
            else:
                self._line(path, int(record[2]), record[4], match=record[3] == b":")
            end = record.end()
        self._buffer = self._buffer[end:]
        if len(self._buffer) > _MAX_BUFFER:
            self._buffer = b""
        return self.matches < MAX_MATCHING_LINES

    def finish(self) -> None:
        """Close the last file and read the statistics, once all output was taken in."""
        self._close()
        searched = _SEARCHED.search(self._buffer)
        self.searched = int(searched[1]) if searched else 0

    def _count(self, path: bytes, matches: int) -> None:
        """A record of --count: a file and how many of its lines match."""
        self._enter(path)
        self._add(matches)

    def _line(self, path: bytes, number: int, text: bytes, *, match: bool) -> None:
        self._enter(path)
        group = self._open
        if match:
            self._add(1)
        if self._hidden or group is None or group.size > _MAX_KEPT:
            return
        if group.kept >= self.need and (match or number > group.last + self.after):
            return
        shown = text.removesuffix(b"\r").decode("utf-8", "replace")
        group.lines.append(MatchLine(number, shown, match))
        group.size += len(shown) + 100
        if match:
            group.kept, group.last = group.kept + 1, number

    def _enter(self, path: bytes) -> None:
        if self._open is None or self._open.path != path:
            self._close()
            self._open = MatchGroup(path)
            self._hidden = self.hidden(path)

    def _add(self, matches: int) -> None:
        if self._hidden == "sensitive":
            self.secret_matches += matches
        elif self._hidden == "denied":
            self.denied_matches += matches
        elif not self._hidden and self._open is not None:
            self.matches += matches
            self._open.matches += matches

    def _close(self) -> None:
        """Keep the finished file in its place, and let go of what lies beyond the page."""
        group, self._open = self._open, None
        if group is None:
            return
        if self._hidden:
            self.secret_files += [group.path] if self._hidden == "sensitive" else []
            self.denied_files += self._hidden == "denied"
            return
        self.files += 1
        bisect.insort(self.groups, group, key=self.order)
        self._kept += max(group.kept, 1)
        self._size += group.size
        while len(self.groups) > 1:
            last = self.groups[-1]
            if self._kept - max(last.kept, 1) < self.need and self._size <= _MAX_KEPT:
                return
            self.groups.pop()
            self._kept -= max(last.kept, 1)
            self._size -= last.size


@dataclass
class NulPaths:
    """Paths that end with NUL (`rg --files --null`), as they come."""

    paths: list[bytes] = field(default_factory=list)
    most: int = 1_000_000
    _buffer: bytes = b""

    def feed(self, data: bytes) -> bool:
        """Take in a piece; False when there are more than anyone will look at."""
        *paths, self._buffer = (self._buffer + data).split(b"\0")
        self.paths += paths
        return len(self.paths) < self.most
