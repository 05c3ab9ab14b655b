"""Seen files: hash and lines of each file that the model read or wrote, so that no write is made blind.

Fed by every read and write, reported as `Seen` events and rebuilt from them when a session is resumed.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from kimi_agent.log.events import Compacted, Restored, Seen, Shortened, Stamped
from kimi_agent.log.fold.current_records import CurrentRecords

LineRange = tuple[int, int]
LineRanges = tuple[LineRange, ...]
StatSignature = tuple[int, int, int, int]


@dataclass(frozen=True)
class KnownFile:
    """The file as last seen: `sha256` ("" for: it is gone), first and last lines whose text is in the conversation.

    `whole` says that every line was shown at some time, or that we wrote the file.
    """

    sha256: str
    ranges: LineRanges = ()
    whole: bool = False
    by: Literal["read", "write"] = "read"


class SeenFiles:
    """The paths (as `Files.shown` spells them) and what is known of each; `report` gets each change as an event."""

    def __init__(self, report: Callable[[Seen], object]) -> None:
        self._report = report
        self._known: dict[str, KnownFile] = {}
        self._signatures: dict[str, StatSignature] = {}

    def hear(self, stamped: Stamped) -> None:
        """A listener: after a compaction the text of files is perhaps no longer in the conversation."""
        if isinstance(stamped.event, Compacted | Shortened | Restored):
            self.forget_text()

    def apply(self, seen: Seen) -> None:
        """Take in an event of the log, without reporting it again."""
        old = self._known.get(seen.path)
        self._known[seen.path] = add_seen(old, seen)
        if old is None or old.sha256 != seen.sha256:
            self._signatures.pop(seen.path, None)

    def rebuild(self, log: Iterable[Stamped]) -> None:
        """Forget all, and read it anew from the log: when a session is resumed, or its chat rewound."""
        self._known.clear()
        self._signatures.clear()
        for seen in seen_in_conversation(log):
            self.apply(seen)

    def record(
        self,
        path: str,
        sha256: str,
        *,
        ranges: Sequence[LineRange] = (),
        whole: bool = False,
        by: Literal["read", "write"] = "read",
        stat: os.stat_result | None = None,
    ) -> None:
        """The model saw lines `ranges` of `path` (or wrote it); `stat` lets `Files.changed` skip a hash later."""
        seen = Seen(path, sha256, tuple(ranges), whole, by)
        old = self._known.get(path)
        self.apply(seen)
        if stat is not None:
            self._signatures[path] = stat_signature(stat)
        if self._known[path] != old:
            self._report(seen)

    def known(self, path: str) -> KnownFile | None:
        """What is known of `path`, or None where the model never saw it."""
        return self._known.get(path)

    def forget_text(self, path: str = "") -> None:
        """Note that the text of `path` (or of all files) is no longer in the conversation; hashes stay."""
        for each in [path] if path else self.paths():
            old = self._known.get(each)
            if old is not None and old.ranges:
                self._known[each] = KnownFile(old.sha256, (), old.whole, old.by)

    def paths(self) -> Iterator[str]:
        """All paths that are known."""
        return iter(tuple(self._known))

    def same_stat(self, path: str, stat: os.stat_result) -> bool:
        """Whether `path` still has the size, times and inode it had when its hash was taken."""
        return self._signatures.get(path) == stat_signature(stat)

    def remember_stat(self, path: str, stat: os.stat_result) -> None:
        """Note that a file with this stat still has the content that was seen."""
        self._signatures[path] = stat_signature(stat)


def add_seen(old: KnownFile | None, seen: Seen) -> KnownFile:
    """What is known once `seen` is added to `old`: ranges of the same content add up."""
    if old is None or old.sha256 != seen.sha256:
        return KnownFile(seen.sha256, merge_ranges(seen.ranges), seen.whole, seen.by)
    return KnownFile(seen.sha256, merge_ranges((*old.ranges, *seen.ranges)), old.whole or seen.whole, seen.by)


def seen_in_conversation(log: Iterable[Stamped]) -> list[Seen]:
    """The events of what the model saw and still has in its conversation, after rewinds and compactions."""
    found: list[tuple[int, Seen]] = []
    replaced: list[int] = []
    current = CurrentRecords()
    for stamped in log:
        current.add(stamped)
        match stamped.event:
            case Seen() as seen:
                found.append((stamped.seq, seen))
            case Compacted() | Shortened() | Restored():
                replaced.append(stamped.seq)
            case _:
                pass
    last = max(filter(current.is_current, replaced), default=0)
    kept = ((seq, seen) for seq, seen in found if current.is_current(seq))
    return [seen if seq > last else replace(seen, ranges=()) for seq, seen in kept]


def merge_ranges(ranges: Iterable[LineRange]) -> LineRanges:
    """`ranges` in order, those that touch or overlap joined."""
    joined: list[LineRange] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return tuple(joined)


def stat_signature(stat: os.stat_result) -> StatSignature:
    """The fields that change when somebody writes a file; ctime too, since a formatter may set mtime back."""
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
