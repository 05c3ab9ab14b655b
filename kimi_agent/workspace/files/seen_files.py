"""What the model has seen of which file: the proof that a write is not made blind.

Fed by every read and write, told as `Seen` events and rebuilt from them when a session is resumed.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from kimi_agent.log.events import Compacted, Restored, Rewound, Said, Seen, Shortened, Stamped

Range = tuple[int, int]
Ranges = tuple[Range, ...]
Signature = tuple[int, int, int, int]


@dataclass(frozen=True)
class Known:
    """The file as last seen: `sha256` ("" for: it is gone), first and last lines whose text is in the conversation.

    `whole` says that every line was shown at some time, or that we wrote the file.
    """

    sha256: str
    ranges: Ranges = ()
    whole: bool = False
    by: Literal["read", "write"] = "read"


class Ledger:
    """Paths (as `Files.shown` spells them) and what is known of each; `tell` hears what is news."""

    def __init__(self, tell: Callable[[Seen], object]) -> None:
        self._tell = tell
        self._known: dict[str, Known] = {}
        self._signatures: dict[str, Signature] = {}

    def hear(self, stamped: Stamped) -> None:
        """A listener: where room was made in the conversation, the text of files is perhaps no longer in it."""
        if isinstance(stamped.event, Compacted | Shortened | Restored):
            self.forget_text()

    def feed(self, seen: Seen) -> None:
        """Take in an event of the log, without telling it again."""
        old = self._known.get(seen.path)
        self._known[seen.path] = after(old, seen)
        if old is None or old.sha256 != seen.sha256:
            self._signatures.pop(seen.path, None)

    def rebuild(self, log: Iterable[Stamped]) -> None:
        """Know what this log tells and nothing else: of a session that is resumed, or after a rewind of its chat."""
        self._known.clear()
        self._signatures.clear()
        for seen in standing(log):
            self.feed(seen)

    def saw(
        self,
        path: str,
        sha256: str,
        *,
        ranges: Sequence[Range] = (),
        whole: bool = False,
        by: Literal["read", "write"] = "read",
        stat: os.stat_result | None = None,
    ) -> None:
        """The model saw lines `ranges` of `path` (or wrote it); `stat` lets `Files.changed` skip a hash later."""
        seen = Seen(path, sha256, tuple(ranges), whole, by)
        old = self._known.get(path)
        self.feed(seen)
        if stat is not None:
            self._signatures[path] = signature(stat)
        if self._known[path] != old:
            self._tell(seen)

    def known(self, path: str) -> Known | None:
        """What is known of `path`, or None where the model never met it."""
        return self._known.get(path)

    def forget_text(self, path: str = "") -> None:
        """The text of `path` (or of all files: after a compaction) is no longer in the conversation; hashes stay."""
        for each in [path] if path else list(self._known):
            old = self._known.get(each)
            if old is not None and old.ranges:
                self._known[each] = Known(old.sha256, (), old.whole, old.by)

    def paths(self) -> Iterator[str]:
        """All paths that are known."""
        return iter(tuple(self._known))

    def same_stat(self, path: str, stat: os.stat_result) -> bool:
        """Whether `path` still has the size, times and inode it had when its hash was taken."""
        return self._signatures.get(path) == signature(stat)

    def remember_stat(self, path: str, stat: os.stat_result) -> None:
        """The content behind `stat` was hashed and is what the ledger knows."""
        self._signatures[path] = signature(stat)


def after(old: Known | None, seen: Seen) -> Known:
    """What is known once `seen` is added to `old`: ranges of one and the same content add up."""
    if old is None or old.sha256 != seen.sha256:
        return Known(seen.sha256, merged(seen.ranges), seen.whole, seen.by)
    return Known(seen.sha256, merged((*old.ranges, *seen.ranges)), old.whole or seen.whole, seen.by)


def standing(log: Iterable[Stamped]) -> list[Seen]:
    """What the model saw and still has in its conversation: less what a rewind took out, or what made room for more."""
    found: list[tuple[int, Seen]] = []
    before: dict[int, list[tuple[int, Seen]]] = {}
    for stamped in log:
        match stamped.event:
            case Seen() as seen:
                found.append((stamped.seq, seen))
            case Said():
                before.clear()
            case Compacted() | Shortened() | Restored():
                found = [(seq, replace(seen, ranges=())) for seq, seen in found]
            case Rewound(to, what, undoes=undoes) if what != "code":
                old, found = found, [each for each in found if each[0] < to]
                if undoes:
                    found = list(before.get(undoes, old))
                else:
                    before[stamped.seq] = old
            case _:
                pass
    return [seen for _, seen in found]


def merged(ranges: Iterable[Range]) -> Ranges:
    """`ranges` in order, those that touch or overlap joined."""
    joined: list[Range] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return tuple(joined)


def covers(ranges: Ranges, first: int, last: int) -> bool:
    """Whether lines `first` to `last` all lie in `ranges` (which are merged)."""
    return any(a <= first and last <= b for a, b in ranges)


def signature(stat: os.stat_result) -> Signature:
    """What changes when somebody writes a file; ctime too, since a formatter may set mtime back."""
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
