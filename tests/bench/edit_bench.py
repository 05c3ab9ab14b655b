"""The edit engine's rows of `make bench`: 130 hunks in a file of 20,000 lines, beside plain `str.replace`."""

import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kimi_agent.edit import FileState, WorkspaceFiles, commit_plan, format_patch_result, make_diff_view, plan_patch
from kimi_agent.errors import ToolError
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.files.outputs import Outputs
from kimi_agent.workspace.files.seen_files import SeenFiles

LINES, HUNKS = 20_000, 130
BUDGET = "2 s"
Row = Callable[[str, str, str, str], None]


@dataclass(frozen=True)
class Hunk:
    """`start` (0-based), three lines above, those that go, those that come, three below."""

    start: int
    above: tuple[str, ...]
    minus: tuple[str, ...]
    plus: tuple[str, ...]
    below: tuple[str, ...]

    @property
    def old(self) -> tuple[str, ...]:
        return (*self.above, *self.minus, *self.below)

    @property
    def new(self) -> tuple[str, ...]:
        return (*self.above, *self.plus, *self.below)

    def rows(self) -> list[str]:
        return [
            *(f" {line}" for line in self.above),
            *(f"-{line}" for line in self.minus),
            *(f"+{line}" for line in self.plus),
            *(f" {line}" for line in self.below),
        ]


def program() -> list[str]:
    """Lines of functions that are as alike as those of a real program: half of the lines stand there many times."""
    lines: list[str] = []
    for number in range(LINES // 10):
        lines += [
            f"def step_{number}(value, limit):",
            '    """Do "one" step - and say so."""',
            "    if value is None:",
            f"        raise ValueError('step {number}')",
            "    total = 0",
            f"    for item in range({number}, limit):",
            "        total += item",
            "    return total",
            "",
            "",
        ]
    return lines


def hunks(lines: Sequence[str]) -> list[Hunk]:
    """Changes that lie evenly over the file."""
    made: list[Hunk] = []
    for number in range(HUNKS):
        at = number * (LINES // HUNKS // 10) * 10 + 4
        plus = ("    total = 1", "    count = limit")
        made.append(Hunk(at - 3, tuple(lines[at - 3 : at]), (lines[at],), plus, tuple(lines[at + 1 : at + 4])))
    return made


def unified(given: Sequence[Hunk]) -> str:
    parts = ["--- a/big.py\n+++ b/big.py\n"]
    shift = 0
    for hunk in given:
        old, new = len(hunk.old), len(hunk.new)
        parts.append(f"@@ -{hunk.start + 1},{old} +{hunk.start + 1 + shift},{new} @@\n")
        parts += (f"{row}\n" for row in hunk.rows())
        shift += new - old
    return "".join(parts)


def v4a(given: Sequence[Hunk]) -> str:
    parts = ["*** Begin Patch\n*** Update File: big.py\n"]
    for hunk in given:
        parts += ("@@\n", *(f"{row}\n" for row in hunk.rows()))
    return "".join((*parts, "*** End Patch\n"))


def changed(given: Sequence[Hunk], change: Callable[[str], str], *, plus: bool = False) -> list[Hunk]:
    """The hunks with other context and removed lines, and other + lines with `plus`."""

    def each(lines: Sequence[str]) -> tuple[str, ...]:
        return tuple(map(change, lines))

    return [
        Hunk(hunk.start, each(hunk.above), each(hunk.minus), each(hunk.plus) if plus else hunk.plus, each(hunk.below))
        for hunk in given
    ]


@dataclass(frozen=True)
class OneFile:
    """A view of nothing but the big file."""

    data: bytes

    def name(self, spelling: str, /) -> str:
        return spelling

    def file(self, name: str, /) -> FileState | None:
        sha256 = hashlib.sha256(self.data).hexdigest()
        return FileState(name, self.data, sha256, seen=sha256, whole=True) if name == "big.py" else None

    def similar(self, name: str, /) -> Sequence[str]:
        return ()


def cpu_ms(call: Callable[[], object], runs: int) -> tuple[float, float]:
    """CPU milliseconds of `call`: the best run and the median one."""
    times = []
    for _ in range(runs):
        began = time.process_time()
        call()
        times.append((time.process_time() - began) * 1000)
    return min(times), statistics.median(times)


def edits(row: Row, runs: int = 7) -> None:
    """Print all rows through `row(what, value, budget, floor)`."""
    lines = program()
    given = hunks(lines)
    old, new = "\n".join(lines) + "\n", "\n".join(replaced(lines, given)) + "\n"
    data = old.encode()
    patches = {
        "unified": unified(given),
        "V4A": v4a(given),
        "V4A, trailing blanks": v4a(changed(given, lambda line: line + "  ")),
        "V4A, typographic quotes": v4a(changed(given, lambda line: line.replace('"', "”").replace("'", "’"))),
        "V4A, tabs for spaces": v4a(changed(given, tabs, plus=True)),
    }
    floor, _ = cpu_ms(lambda: by_replace(old, given), runs)
    for name, patch in patches.items():
        assert plan_patch(patch, OneFile(data)).changes[0].after == new.encode(), name
        best, median = cpu_ms(partial(plan_patch, patch, OneFile(data)), runs)
        row(f"edit 20,000 x 130, {name}", f"{best:.0f} ms CPU (median {median:.0f})", BUDGET, f"replace {floor:.0f} ms")
    wrong = v4a(changed(given, lambda line: line.replace("value", "volume")))
    best, median = cpu_ms(lambda: refused(wrong, data), runs)
    row("  refused: each of 130 hunks is wrong", f"{best:.0f} ms CPU (median {median:.0f})", BUDGET, "-")
    best, median = cpu_ms(lambda: on_disk(patches["V4A"], data), max(3, runs // 2))
    read, _ = cpu_ms(lambda: rewritten(data, new.encode()), max(3, runs // 2))
    row("  on disk, with the result and the diff", f"{best:.0f} ms CPU (median {median:.0f})", BUDGET, f"{read:.0f} ms")


def replaced(lines: Sequence[str], given: Sequence[Hunk]) -> list[str]:
    out = list(lines)
    for hunk in reversed(given):
        out[hunk.start : hunk.start + len(hunk.old)] = hunk.new
    return out


def by_replace(text: str, given: Sequence[Hunk]) -> str:
    """The floor: no patch to parse, no proof that a place is the only one."""
    for hunk in given:
        text = text.replace("\n".join(hunk.old), "\n".join(hunk.new), 1)
    return text


def tabs(line: str) -> str:
    depth = len(line) - len(line.lstrip())
    return "\t" * (depth // 4) + line[depth:]


def refused(patch: str, data: bytes) -> None:
    try:
        plan_patch(patch, OneFile(data))
    except ToolError:
        return
    raise AssertionError("it fitted")


def on_disk(patch: str, data: bytes) -> None:
    """Plan, commit with its journal and syncs, and all that is told of it."""
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        root = base / "ws"
        root.mkdir()
        (root / "big.py").write_bytes(data)
        seen_files = SeenFiles(lambda seen: None)
        files = Files(
            root, outputs=Outputs(base / "outputs"), seen_files=seen_files, home=base, journal=base / "journal"
        )
        change = plan_patch(patch, WorkspaceFiles(files))
        notes = commit_plan(change, files, around=2)
        format_patch_result(change, make_diff_view(change), notes)


def rewritten(data: bytes, new: bytes) -> None:
    """The floor of the disk: write, read, write."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "big.py")
        path.write_bytes(data)
        path.read_bytes()
        path.write_bytes(new)


if __name__ == "__main__":
    edits(lambda what, value, budget, floor: print(f"{what:<44} {value:>26}   budget {budget:<22} floor {floor}"))
