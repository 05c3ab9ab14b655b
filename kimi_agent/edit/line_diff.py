"""Line diff of two texts that stays fast on long ones: it splits them at lines that both hold once (patience)."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

MAX_DIFFLIB_LINES = 2_000  # lines of both sides together that difflib is given; on 20,000 it took half a minute


@dataclass(frozen=True)
class DiffBlock:
    """Lines that differ: from and to in the old text, from and to in the new one."""

    old: tuple[int, int]
    new: tuple[int, int]


def diff_lines(old: Sequence[Hashable], new: Sequence[Hashable]) -> Iterator[DiffBlock]:
    """The blocks that differ, in order; all that lies between them is equal."""
    todo = [DiffBlock((0, len(old)), (0, len(new)))]
    while todo:
        block = _trimmed(old, new, todo.pop())
        (a, b), (c, d) = block.old, block.new
        if a == b and c == d:
            continue
        common = _common(old, new, block) if a < b and c < d else []
        if common:
            starts = [(a, c), *((i + 1, k + 1) for i, k in common)]
            ends = [*common, (b, d)]
            pairs = zip(starts, ends, strict=True)
            todo += reversed([DiffBlock((i, j), (k, m)) for (i, k), (j, m) in pairs])
        elif a == b or c == d or b - a + d - c > MAX_DIFFLIB_LINES:
            yield block
        else:
            # autojunk bounds the work on repetitive texts; what it misses is reported as changed.
            for tag, i, j, k, m in SequenceMatcher(None, old[a:b], new[c:d]).get_opcodes():
                if tag != "equal":
                    yield DiffBlock((a + i, a + j), (c + k, c + m))


def _trimmed(old: Sequence[Hashable], new: Sequence[Hashable], block: DiffBlock) -> DiffBlock:
    """The block without the equal lines at its head and tail."""
    (a, b), (c, d) = block.old, block.new
    while a < b and c < d and old[a] == new[c]:
        a, c = a + 1, c + 1
    while a < b and c < d and old[b - 1] == new[d - 1]:
        b, d = b - 1, d - 1
    return DiffBlock((a, b), (c, d))


def _common(old: Sequence[Hashable], new: Sequence[Hashable], block: DiffBlock) -> list[tuple[int, int]]:
    """The most lines, ascending on both sides, that each side of the block holds just once."""
    (a, b), (c, d) = block.old, block.new
    counts = Counter(old[a:b])
    others = Counter(new[c:d])
    where = {new[at]: at for at in range(c, d)}
    pairs = [(at, where[old[at]]) for at in range(a, b) if counts[old[at]] == 1 == others[old[at]]]
    # The longest ascending run of the second numbers, as patience sorting finds it.
    tops: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for number, (_, there) in enumerate(pairs):
        at = bisect_left(tops, there)
        if at == len(tops):
            tops.append(there)
            ends.append(number)
        else:
            tops[at], ends[at] = there, number
        before.append(ends[at - 1] if at else -1)
    run: list[tuple[int, int]] = []
    number = ends[-1] if ends else -1
    while number >= 0:
        run.append(pairs[number])
        number = before[number]
    return run[::-1]
