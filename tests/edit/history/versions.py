"""Two versions of a tree, and what became of each file between them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from itertools import pairwise

from tests.edit.history.lines import Line, meant, split

Op = tuple[int, int, int, int]  # old lines from, to; new lines from, to
SIMILAR = 0.6  # a file that was moved and shares so much with the old one is the same file


@dataclass(frozen=True)
class File:
    """The bytes of a file, and whether it may be executed."""

    data: bytes
    executable: bool = False

    @property
    def git_mode(self) -> str:
        return "100755" if self.executable else "100644"


Version = Mapping[str, File]


@dataclass(frozen=True)
class FileChange:
    """What became of one file: `old` or `new` is None where it was not there; the paths differ if it was moved."""

    path: str
    old: File | None
    new: File | None
    old_path: str = ""

    @property
    def before_path(self) -> str:
        return self.old_path or self.path

    @property
    def kind(self) -> str:
        if self.old is None:
            return "create"
        if self.new is None:
            return "delete"
        return "rename" if self.old_path else "update"

    @cached_property
    def a(self) -> list[Line]:
        return split(self.old.data) if self.old else []

    @cached_property
    def b(self) -> list[Line]:
        return split(self.new.data) if self.new else []

    @cached_property
    def ops(self) -> list[Op]:
        """The lines that differ, line ends included."""
        return differing([line.raw for line in self.a], [line.raw for line in self.b])

    @cached_property
    def body_ops(self) -> list[Op]:
        """The lines that differ by what they hold: all that a patch without line ends can say."""
        return differing([line.body for line in self.a], [line.body for line in self.b])

    @property
    def has_cr(self) -> bool:
        return any("\r" in line.raw for line in (*self.a, *self.b))

    def meaning(self) -> bytes:
        """What the change means where a patch shows no line ends: the file keeps its own, and its final newline."""
        return meant(self.a, self.b, self.body_ops)


def differing(a: list[str], b: list[str]) -> list[Op]:
    """The places where two texts differ, as few and as short as difflib finds them."""
    head = next((at for at, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))
    matcher = SequenceMatcher(None, a[head:], b[head:])
    return [(head + i, head + j, head + k, head + m) for tag, i, j, k, m in matcher.get_opcodes() if tag != "equal"]


def is_text(data: bytes) -> bool:
    """Whether a patch, which is text, can say all of it."""
    if b"\0" in data or data.startswith(b"\xef\xbb\xbf"):
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def text_only(version: Version, max_bytes: int = 400_000) -> dict[str, File]:
    """The files that are text and not huge."""
    return {path: file for path, file in version.items() if len(file.data) <= max_bytes and is_text(file.data)}


def changes(old: Version, new: Version) -> Iterator[FileChange]:
    """What became of each file, by path; one that went while a similar one came is a rename."""
    gone, came = old.keys() - new.keys(), new.keys() - old.keys()
    origins = _origins({path: old[path] for path in gone}, {path: new[path] for path in came})
    moved = set(origins.values())
    for path in sorted(old.keys() | new.keys()):
        if path in origins:
            yield FileChange(path, old[origins[path]], new[path], origins[path])
        elif path not in moved and old.get(path) != new.get(path):
            yield FileChange(path, old.get(path), new.get(path))


def _origins(gone: Version, came: Version) -> dict[str, str]:
    """For each new path the one that it was moved from."""
    bags = {path: Counter(file.data.split(b"\n")) for path, file in (*gone.items(), *came.items())}
    pairs = []
    for new in came:
        for old in gone:
            if new.rpartition("/")[2] == old.rpartition("/")[2] or came[new].data == gone[old].data:
                one, other = bags[new], bags[old]
                share = 2 * (one & other).total() / (one.total() + other.total())
                pairs.append((share, new, old))
    origins: dict[str, str] = {}
    for share, new, old in sorted(pairs, reverse=True):
        if share >= SIMILAR and new not in origins and old not in origins.values() and len(gone[old].data) > 1:
            origins[new] = old
    return origins


def steps(versions: list[Version]) -> Iterator[tuple[Version, Version]]:
    """Each version with the next."""
    yield from pairwise(versions)
