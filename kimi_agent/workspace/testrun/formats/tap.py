"""TAP parser (Test Anything Protocol 12 to 14): plans, test points and subtests become test cases. Pure.

Held against itself: a plan that is missing, comes twice or counts other tests than were reported, and numbers that
come twice, make a report that is not complete. So a test that prints "ok 4" has not passed a fourth test.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestOutcome
from kimi_agent.workspace.testrun.reports.cases import clean_test_name, merge_cases
from kimi_agent.workspace.testrun.reports.failure_excerpt import (
    MAX_EXCERPT_LINE_CHARS,
    MAX_EXCERPT_LINES,
    first_nonblank_line,
    strip_escapes,
)

_PLAN = re.compile(r"1\.\.(?P<count>\d{1,9})\s*(?:#\s*(?:SKIP\w*\s*)?(?P<why>.*))?", re.IGNORECASE)
_POINT = re.compile(r"(?P<bad>not )?ok(?=\s|$)(?:\s+(?P<number>\d{1,9})(?=\s|$))?(?:\s+-(?=\s|$))?\s*(?P<rest>.*)")
_DIRECTIVE = re.compile(r"(?:^|\s)#\s*(?P<word>TODO|SKIP)\w*\b\s*(?P<why>.*)$", re.IGNORECASE)
_DURATION = re.compile(r"\s+# time=\S+$")  # node-tap: it differs from run to run
_BAIL = re.compile(r"Bail out!\s*(?P<why>.*)")
_MESSAGE = re.compile(r"(?:message|error):\s*(?P<text>\S.*)")
_BLOCK_MARK = re.compile(r"[|>][+-]?")
_PLACE = re.compile(r"(?P<path>(?:[\w.@+-]*/)*[\w.@+-]+\.\w+)(?::(?P<colon>\d+)|['\"]?,? (?:at )?line (?P<line>\d+))")
_ONLY_A_PLACE = re.compile(r"\(.*[,)]")
_INDENT, _DEEPEST = 4, 50
_MOST_DETAIL = 100


@dataclass
class _Point:
    name: str
    bad: bool
    word: str = ""
    why: str = ""
    detail: list[str] = field(default_factory=list)
    inner: "_Block | None" = None


@dataclass
class _Block:
    """The test points of one level; `plan` is None where none was reported."""

    points: list[_Point] = field(default_factory=list)
    numbers: set[int] = field(default_factory=set)
    plan: int | None = None
    why: str = ""
    fault: str = ""

    def missing(self) -> int:
        """How many of the planned tests were not reported, those of subtests included."""
        below = sum(point.inner.missing() for point in self.points if point.inner)
        return below + max(0, (self.plan or 0) - len(self.points))

    def find_fault(self, name: str = "the TAP") -> str:
        """What contradicts itself here or below, "" where nothing does."""
        if self.fault:
            return f"{name} {self.fault}"
        if self.plan is None:
            return f"{name} has no plan (1..N)" if self.points else ""
        if len(self.points) > self.plan:
            return f"{name} plans {self.plan:,} tests and reports {len(self.points):,}"
        found = (point.inner.find_fault(point.name) for point in self.points if point.inner)
        return next(filter(None, found), "")


def parse_tap(lines: Iterable[str], spelled: Callable[[str], str] = str) -> ParsedReport:
    """The report of one TAP document; `spelled` makes a path workspace-relative, "" for one outside.

    Ids are names, joined by "::" below their subtests. A failing TODO test counts as skipped.
    """
    reader = _Reader()
    for line in lines:
        reader.take(line)
    top = reader.close()
    told = list(_cases(top, "", spelled))
    cases = merge_cases(told)
    if reader.bail:
        return ParsedReport(cases, trouble=reader.bail, is_complete=False, ended=len(told))
    if top.plan == 0 and not top.points:
        return ParsedReport(stated_result="none", trouble=top.why)
    fault = top.find_fault()
    announced = len(told) + top.missing() if top.plan is not None else None
    return ParsedReport(cases, trouble=fault, is_complete=not fault, announced=announced, ended=len(told))


class _Reader:
    """Takes the lines. `open` holds the block of each level that is being read, the top first."""

    def __init__(self) -> None:
        self.bail = ""
        self._open: dict[int, _Block] = {0: _Block()}
        self._last: _Point | None = None
        self._yaml = ""
        self._may_open_yaml = False

    def take(self, line: str) -> None:
        text = strip_escapes(line).rstrip()
        bare = text.lstrip(" ")
        indent = len(text) - len(bare)
        if self._yaml:
            self._in_yaml(text)
        elif bare == "---" and self._may_open_yaml and indent % _INDENT:
            self._yaml = " " * indent
        elif found := _BAIL.fullmatch(bare):
            self.bail = first_nonblank_line(f"Bail out! {found['why']}")
        elif bare.startswith("#"):
            self._keep(bare.lstrip("#"))
        elif (leveled := indent % _INDENT == 0 and indent <= _INDENT * _DEEPEST) and (plan := _PLAN.fullmatch(bare)):
            self._plan(indent // _INDENT, int(plan["count"]), plan["why"] or "")
        elif leveled and (point := _POINT.fullmatch(bare)):
            self._point(indent // _INDENT, point)
            self._may_open_yaml = True
            return
        elif bare:
            self._last = None
        self._may_open_yaml = False

    def close(self) -> _Block:
        """The block at the top."""
        return self._open[0]

    def _plan(self, level: int, count: int, why: str) -> None:
        block = self._open.setdefault(level, _Block())
        if block.plan is not None:
            block.fault = block.fault or "has two plans"
        block.plan, block.why = count, first_nonblank_line(why)
        self._last = None

    def _point(self, level: int, found: re.Match[str]) -> None:
        block = self._open.setdefault(level, _Block())
        inner = self._open.pop(level + 1, None)
        for deeper in [each for each in self._open if each > level]:
            del self._open[deeper]
        point = _make_point(found, len(block.points) + 1)
        # Without a plan it is no subtest, but text that a test printed.
        point.inner = inner if inner is not None and inner.plan is not None and inner.points else None
        if number := int(found["number"] or 0):
            if number in block.numbers:
                block.fault = block.fault or f"reports number {number} twice"
            block.numbers.add(number)
        block.points.append(point)
        self._last = point

    def _in_yaml(self, text: str) -> None:
        if text == f"{self._yaml}...":
            self._yaml = ""
        else:
            self._keep(text.removeprefix(self._yaml))

    def _keep(self, text: str) -> None:
        if self._last is not None and len(self._last.detail) < _MOST_DETAIL and text.strip():
            self._last.detail.append(text.rstrip()[:MAX_EXCERPT_LINE_CHARS])


def _make_point(found: re.Match[str], ordinal: int) -> _Point:
    rest = found["rest"]
    directive = _DIRECTIVE.search(rest.replace("\\#", "\x00#"))
    word = directive["word"].upper() if directive else ""
    name = rest.replace("\\#", "\x00#")[: directive.start()] if directive else rest
    name = clean_test_name(_DURATION.sub("", name.replace("\x00#", "#").replace("\\#", "#")))
    return _Point(name or f"test {ordinal}", found["bad"] is not None, word, directive["why"] if directive else "")


def _cases(block: _Block, above: str, spelled: Callable[[str], str], *, todo: bool = False) -> Iterator[TestCase]:
    """The leaves; a parent only where it failed and nothing below it did."""
    for point in block.points:
        expected = todo or point.word == "TODO"
        node_id = f"{above}{point.name}"
        below = list(_cases(point.inner, f"{node_id}::", spelled, todo=expected)) if point.inner else []
        yield from below
        failed_below = any(case.outcome in FAILED_OUTCOMES for case in below)
        if not below or (point.bad and not expected and not failed_below):
            yield _case(node_id, point, spelled, todo=expected)


def _case(node_id: str, point: _Point, spelled: Callable[[str], str], *, todo: bool) -> TestCase:
    outcome: TestOutcome = "failed" if point.bad else "passed"
    if point.word == "SKIP" or (todo and point.bad):
        outcome = "skipped"
    if outcome not in FAILED_OUTCOMES:
        return TestCase(node_id, outcome, message=first_nonblank_line(point.why) if outcome == "skipped" else "")
    detail = point.detail[:MAX_EXCERPT_LINES]
    hits = (_PLACE.search(line) for line in detail)
    places = (f"{path}:{hit['colon'] or hit['line']}" for hit in hits if hit and (path := spelled(hit["path"])))
    return TestCase(node_id, outcome, next(places, ""), _message(point.detail), "\n".join(detail))


def _message(detail: list[str]) -> str:
    """The message of a YAML block, else the first line that a comment said."""
    for number, line in enumerate(detail):
        if found := _MESSAGE.fullmatch(line.strip()):
            block = _BLOCK_MARK.fullmatch(found["text"])
            return first_nonblank_line(
                "".join(detail[number + 1 : number + 2]) if block else found["text"].strip("'\"")
            )
    # bats puts the place on a line of its own: "(in test file a.bats, line 2)".
    says = (line for line in detail if not _ONLY_A_PLACE.fullmatch(line.strip()))
    return first_nonblank_line(next(says, "")) or first_nonblank_line("\n".join(detail))
