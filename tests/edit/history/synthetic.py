"""A history that never was: sources of the standard library, changed by dice as people change sources."""

import random
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.edit.history.versions import File

ROOT = Path(sysconfig.get_path("stdlib"))
PACKAGES = (
    "asyncio",
    "concurrent",
    "email",
    "html",
    "http",
    "importlib",
    "json",
    "logging",
    "unittest",
    "urllib",
    "xml",
)
WORDS = ("total", "name", "index", "result", "value", "found", "other", "state", "limit", "order")


def sources(max_lines: int = 220) -> dict[str, list[str]]:
    """Lines of the sources by path, the small ones, so that many changes take little time.

    They are nobody's of this project: its own would be other dice with each change of it.
    """
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    texts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").split("\n") for path in paths}
    return {path: lines[:-1] for path, lines in texts.items() if 12 <= len(lines) <= max_lines}


def blocks(lines: Sequence[str]) -> list[tuple[int, int]]:
    """Runs of lines that begin at the margin and are indented after it: functions, classes, statements."""
    starts = [at for at, line in enumerate(lines) if line[:1].strip() and line[0] not in ")]}"]
    return list(zip(starts, [*starts[1:], len(lines)], strict=True))


def edited(lines: list[str], dice: random.Random) -> None:
    """One word of one line is another."""
    at = dice.randrange(len(lines))
    words = lines[at].split(" ")
    words[dice.randrange(len(words))] = dice.choice(WORDS)
    lines[at] = " ".join(words)


def inserted(lines: list[str], dice: random.Random) -> None:
    """A function came."""
    at = dice.choice(blocks(lines) or [(0, 0)])[0]
    name, other = dice.sample(WORDS, 2)
    lines[at:at] = [f"def {name}_of({other}):", f"    {name} = {other} + 1", f"    return {name}", "", ""]


def dropped(lines: list[str], dice: random.Random) -> None:
    """Some lines went, or a block did."""
    spans = [(at, at + dice.randint(1, 4)) for at in (dice.randrange(len(lines)),)]
    first, last = dice.choice([*spans, dice.choice(blocks(lines) or spans)])
    if last - first < len(lines):
        del lines[first:last]


def moved(lines: list[str], dice: random.Random) -> None:
    """A block stands elsewhere."""
    spans = blocks(lines)
    if len(spans) > 2:
        first, last = dice.choice(spans)
        taken = lines[first:last]
        del lines[first:last]
        to = dice.choice(blocks(lines))[0]
        lines[to:to] = taken


def nested(lines: list[str], dice: random.Random) -> None:
    """Some lines came under a condition."""
    first, last = dice.choice(blocks(lines) or [(0, 1)])
    if last - first > 3:
        at = dice.randrange(first + 1, last - 1)
        depth = len(lines[at]) - len(lines[at].lstrip())
        lines[at : at + 2] = [" " * depth + "if limit:", *("    " + line for line in lines[at : at + 2])]


def swapped(lines: list[str], dice: random.Random) -> None:
    """Two neighbours changed places."""
    if len(lines) > 1:
        at = dice.randrange(len(lines) - 1)
        lines[at : at + 2] = lines[at + 1], lines[at]


def repeated(lines: list[str], dice: random.Random) -> None:
    """A block stands there twice: what makes places ambiguous."""
    first, last = dice.choice(blocks(lines) or [(0, len(lines))])
    to = dice.choice(blocks(lines) or [(0, 0)])[0]
    lines[to:to] = lines[first:last]


CHANGES: tuple[Callable[[list[str], random.Random], None], ...] = (
    edited,
    edited,
    edited,
    inserted,
    dropped,
    moved,
    nested,
    swapped,
)


def data(lines: Sequence[str], *, newline: bool = True) -> bytes:
    text = "\n".join(lines)
    return (text + "\n" if newline and lines else text).encode()


def versions(
    given: Mapping[str, list[str]], dice: random.Random, count: int
) -> tuple[dict[str, File], dict[str, File]]:
    """Two versions of `count` files: most were edited in some places, some moved, some came, some went."""
    old: dict[str, File] = {}
    new: dict[str, File] = {}
    for path in dice.sample(sorted(given), count):
        lines = list(given[path])
        for _ in range(dice.choice([0, 0, 1, 3])):
            repeated(lines, dice)
        before = File(data(lines, newline=dice.random() < 0.95), dice.random() < 0.1)
        for _ in range(dice.choice([1, 1, 2, 4, 8])):
            dice.choice(CHANGES)(lines, dice)
        after = File(data(lines, newline=dice.random() < 0.95), before.executable != (dice.random() < 0.05))
        match dice.random():
            case roll if roll < 0.04:
                new[path] = after
            case roll if roll < 0.08:
                old[path] = before
            case roll if roll < 0.14:
                old[path], new["moved/" + path] = before, after
            case _:
                old[path], new[path] = before, after
    return old, new


def pulp(dice: random.Random) -> Iterator[tuple[str, File, File]]:
    """Texts of a few different lines, in which nearly every place has a twin."""
    few_lines = [
        "def one():",
        "def two():",
        "class A:",
        "    a = 1",
        "    b = 2",
        "    return a",
        "",
        "    a = 1",
        "    pass",
    ]
    number = 0
    while True:
        few = dice.sample(few_lines, dice.randint(2, len(few_lines)))
        lines = [dice.choice(few) for _ in range(dice.randint(8, 60))]
        if dice.random() < 0.5:
            lines = lines[: dice.randint(2, 12)] * dice.randint(2, 6)
        before = data(lines)
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(lines))
            lines[at : at + dice.randint(0, 2)] = [dice.choice([*few_lines, f"    c = {number}"])] * dice.randint(0, 2)
            lines = lines or [""]
        if data(lines) != before:
            yield f"pulp{number}.py", File(before), File(data(lines))
        number += 1
