"""Writes changes as patches: as git does, and in V4A as a model does that was taught to use anchors sparingly."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tests.edit.history.lines import Line
from tests.edit.history.versions import FileChange, Op

AROUND = 3
_DEFINITION = re.compile(
    r"\s*(?:(?:export|default|async|static|public|private)\s+)*(?:def|class|function)\b"
    r"|\s*[\w$.]+\s*[:=]\s*(?:async\s+)?function\b|\s*(?:async\s+|get\s+|set\s+)?[\w$]+\([^()]*\)\s*\{\s*$"
)
_TITLE = re.compile(r"#{1,6} |\[[\w.:-]+\]\s*$")
_FUNCNAME = re.compile(r"[A-Za-z_$]")


@dataclass(frozen=True)
class Row:
    """One line of a hunk, without its newline; `bare` if it has none."""

    op: str
    text: str
    bare: bool = False


@dataclass(frozen=True)
class Hunk:
    """Where it begins in the old and the new text (0-based), its rows, and what stands above it."""

    old_start: int
    new_start: int
    rows: tuple[Row, ...]
    heading: str = ""
    anchors: tuple[str, ...] = ()
    at_end: bool = False

    @property
    def old(self) -> list[str]:
        return [row.text for row in self.rows if row.op != "+"]

    def header(self) -> str:
        old, new = (sum(row.op in ops for row in self.rows) for ops in (" -", " +"))
        numbers = f"@@ -{_range(self.old_start, old)} +{_range(self.new_start, new)} @@"
        return f"{numbers} {self.heading}" if self.heading else numbers


def _range(start: int, count: int) -> str:
    first = start + 1 if count else start
    return str(first) if count == 1 else f"{first},{count}"


def hunks(a: Sequence[Line], b: Sequence[Line], ops: Sequence[Op], *, ends: bool, around: int = AROUND) -> list[Hunk]:
    """The change as hunks with `around` lines of context; with `ends` the rows show a CR and a missing newline."""
    groups: list[list[Op]] = []
    for op in ops:
        if groups and op[0] - groups[-1][-1][1] <= 2 * around:
            groups[-1].append(op)
        else:
            groups.append([op])
    return [_hunk(a, b, group, ends, around) for group in groups]


def _hunk(a: Sequence[Line], b: Sequence[Line], group: Sequence[Op], ends: bool, around: int) -> Hunk:
    first, last = max(0, group[0][0] - around), min(len(a), group[-1][1] + around)
    rows: list[Row] = []
    at = first
    for i, j, k, m in group:
        rows += [_row(" ", line, ends) for line in a[at:i]]
        rows += [_row("-", line, ends) for line in a[i:j]]
        rows += [_row("+", line, ends) for line in b[k:m]]
        at = j
    rows += [_row(" ", line, ends) for line in a[at:last]]
    heading = next((a[number].body for number in range(first - 1, -1, -1) if _FUNCNAME.match(a[number].body)), "")
    return Hunk(first, group[0][2] - (group[0][0] - first), tuple(rows), heading[:80].strip())


def _row(op: str, line: Line, ends: bool) -> Row:
    if not ends:
        return Row(op, line.body)
    return Row(op, line.raw.removesuffix("\n"), not line.end)


# -- unified ---------------------------------------------------------------------------------------------------------


def unified_hunks(change: FileChange, around: int = AROUND) -> list[Hunk]:
    """The hunks as git shows them."""
    return hunks(change.a, change.b, change.ops, ends=True, around=around)


def unified(change: FileChange, given: Sequence[Hunk] | None = None, *, numbers: bool = True) -> str:
    """The change as git writes it; `given` hunks stand in for its own; without `numbers` their headers are bare."""
    shown = unified_hunks(change) if given is None else given
    body = "".join(_unified_hunk(hunk, numbers) for hunk in shown)
    a, b = _quoted(f"a/{change.before_path}"), _quoted(f"b/{change.path}")
    head = [f"diff --git {a} {b}"]
    match change.kind:
        case "create":
            head.append(f"new file mode {change.new.git_mode if change.new else ''}")
            a = "/dev/null"
        case "delete":
            head.append(f"deleted file mode {change.old.git_mode if change.old else ''}")
            b = "/dev/null"
        case _:
            if change.old and change.new and change.old.executable != change.new.executable:
                head += [f"old mode {change.old.git_mode}", f"new mode {change.new.git_mode}"]
            if change.kind == "rename":
                names = _quoted(change.old_path), _quoted(change.path)
                head += ["similarity index 90%", f"rename from {names[0]}", f"rename to {names[1]}"]
    if body:
        tabs = ("\t" if " " in name else "" for name in (a, b))
        head += [f"--- {a}{next(tabs)}", f"+++ {b}{next(tabs)}"]
    return "\n".join(head) + "\n" + body


def _unified_hunk(hunk: Hunk, numbers: bool) -> str:
    rows = [hunk.header() if numbers else "@@"]
    for row in hunk.rows:
        rows.append(row.op + row.text)
        if row.bare:
            rows.append("\\ No newline at end of file")
    return "\n".join(rows) + "\n"


def _quoted(path: str) -> str:
    """As git shows a path that holds more than plain characters."""
    if path.isascii() and path.isprintable() and not set(path) & {'"', "\\"}:
        return path
    return '"' + "".join(_escaped(byte) for byte in path.encode()) + '"'


def _escaped(byte: int) -> str:
    char = chr(byte)
    return f"\\{char}" if char in '"\\' else char if 32 <= byte < 127 else f"\\{byte:03o}"


# -- V4A -------------------------------------------------------------------------------------------------------------


def v4a_hunks(change: FileChange, around: int = AROUND) -> list[Hunk]:
    """The hunks as a model writes them: no numbers, no line ends, anchors only where the lines alone are not unique."""
    found = hunks(change.a, change.b, change.body_ops, ends=False, around=around)
    bodies = [line.body for line in change.a]
    return [_anchored(hunk, bodies) for hunk in found]


def _anchored(hunk: Hunk, bodies: Sequence[str]) -> Hunk:
    old = hunk.old
    if not old or count(bodies, old) < 2:
        return hunk
    if hunk.old_start + len(old) == len(bodies):
        return replace(hunk, at_end=True)
    above = list(enclosing(bodies, hunk.old_start, old))
    if not above:
        return hunk
    # One anchor; the whole path to it only where that one line stands more than once.
    return replace(hunk, anchors=tuple(above[-1:] if bodies.count(above[-1]) == 1 else above))


def count(bodies: Sequence[str], old: Sequence[str]) -> int:
    """How often the lines `old` stand in `bodies`."""
    wanted, size = list(old), len(old)
    first = wanted[0]
    return sum(
        line == first and list(bodies[at : at + size]) == wanted
        for at, line in enumerate(bodies[: len(bodies) - size + 1])
    )


def enclosing(bodies: Sequence[str], start: int, old: Sequence[str]) -> Iterator[str]:
    """The definitions around line `start`, the outermost first; the title above it in what is no program."""
    found: list[str] = []
    limit = min((_indent(line) for line in old if line.strip()), default=0) or 1
    for number in range(start - 1, -1, -1):
        line = bodies[number]
        if not line.strip() or _indent(line) >= limit:
            continue
        if _DEFINITION.match(line):
            found.append(line)
            limit = _indent(line)
        elif not found and (_TITLE.match(line) or _underlined(bodies, number)):
            found.append(line)
            break
        if limit == 0:
            break
    yield from reversed(found)


def _underlined(bodies: Sequence[str], number: int) -> bool:
    below = bodies[number + 1] if number + 1 < len(bodies) else ""
    return len(below) >= 3 and set(below) <= set("=-~^") and len(set(below)) == 1


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def v4a(change: FileChange, given: Sequence[Hunk] | None = None) -> str:
    """The sections for the change, without the envelope. V4A knows neither modes nor a missing final newline."""
    path = change.path
    if change.kind == "create":
        return "".join([f"*** Add File: {path}\n", *(f"+{line.body}\n" for line in change.b)])
    if change.kind == "delete":
        return f"*** Delete File: {path}\n"
    shown = v4a_hunks(change) if given is None else given
    head = f"*** Update File: {change.before_path}\n"
    if change.kind == "rename":
        head += f"*** Move to: {path}\n"
    return head + "".join(_v4a_hunk(hunk) for hunk in shown)


def _v4a_hunk(hunk: Hunk) -> str:
    rows = [f"@@ {anchor}" for anchor in hunk.anchors] or ["@@"]
    rows += [row.op + row.text for row in hunk.rows]
    if hunk.at_end:
        rows.append("*** End of File")
    return "\n".join(rows) + "\n"


def envelope(sections: Iterable[str]) -> str:
    """A whole V4A patch."""
    return "*** Begin Patch\n" + "".join(sections) + "*** End Patch\n"
