"""JUnit reports of any runner: their test cases, held against what their suites count.

For runners of which nothing more is known than that they write JUnit XML; the others read `JUnitCase` in their own way.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport
from kimi_agent.workspace.testrun.formats.junit import JUnitCase, JUnitReport, read_junit_report
from kimi_agent.workspace.testrun.reports.cases import clean_test_name, excerpt_innermost_first, merge_cases
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, make_path_mapper

# A frame in the notations that most runners use: "a/b.ext:3", "(/w/a/b.ext:3:5)", 'File "b.ext", line 3'.
_FRAME = re.compile(r"(?P<path>/?[\w.@+-]+(?:/[\w.@+-]+)*\.\w+)(?::|\",? line )(?P<line>\d+)\b")
_FRAME_ELSEWHERE = re.compile(r"\s+at \S")
_LONGEST_PATH = 500


def parse_junit_reports(paths: Iterable[Path], *, root: Path, folder: Path) -> ParsedReport | None:
    """The report of all files at `paths` together, None where there is none of them.

    Ids are "file::class::name" with what the report holds of them, the class left out where it repeats the file or
    the name.
    """
    reports = [report for path in paths if (report := read_junit_report(path)) is not None]
    if not reports:
        return None
    trouble = next((report.trouble for report in reports if report.trouble), "")
    make = _CaseMaker(root, folder)
    told = [case for report in reports for case in make.cases(report)]
    unnamed = sum(_is_cut_off(element) for report in reports for element in report.elements)
    ended = sum(report.total for report in reports) - unnamed
    cases = merge_cases(told)
    uncounted = sum(report.counted_bad for report in reports) and not any(
        case.outcome in FAILED_OUTCOMES for case in cases
    )
    return ParsedReport(
        cases,
        stated_result="failed" if uncounted else "",
        trouble=trouble,
        is_complete=not trouble,
        announced=ended + unnamed + sum(report.missing for report in reports),
        ended=ended,
    )


class _CaseMaker:
    def __init__(self, root: Path, folder: Path) -> None:
        self._folder = folder
        self._spelled = make_path_mapper(root, folder)
        self._files: dict[str, bool] = {}

    def cases(self, report: JUnitReport) -> Iterator[TestCase]:
        for element in chain(report.elements, report.suite_failures):
            if not _is_cut_off(element):
                yield self._case(element)

    def _case(self, element: JUnitCase) -> TestCase:
        file = self._file(element)
        name = _name(element)
        owner = clean_test_name(element.classname or ("" if name else element.suite))
        parts = [file, "" if _repeats(owner, file, name) else owner, name]
        node_id = "::".join(filter(None, parts)) or clean_test_name(element.suite) or "."
        failed = element.outcome in FAILED_OUTCOMES
        failures = element.failed_attempts + failed if element.failed_attempts else 0
        runs = failures + (not failed) if failures else 1
        if not failed:
            message = first_nonblank_line(element.message)
            return TestCase(node_id, element.outcome, message=message, runs=runs, failures=failures)
        text = element.text if element.message.strip() in element.text else f"{element.message}\n{element.text}"
        shortened = excerpt_innermost_first(text, self._frame, file)
        place = shortened.place or (f"{file}:{element.line}" if file and element.line.isdigit() else "")
        message = first_nonblank_line(element.message or text)
        return TestCase(node_id, element.outcome, place, message, shortened.detail, runs=runs, failures=failures)

    def _frame(self, line: str) -> str | None:
        found = _FRAME.search(line)
        if found and self._is_file(found["path"]) and (shown := self._spelled(found["path"])):
            return f"{shown}:{found['line']}"
        return "" if _FRAME_ELSEWHERE.match(line) else None

    def _file(self, element: JUnitCase) -> str:
        """The file of a case, by its own word, its suite's, or by a class or suite that is called like a file."""
        for stated in (element.file, element.suite_file):
            if stated and (shown := self._spelled(stated.removeprefix("file://"))):
                return shown
        named = (each.removeprefix("file://") for each in (element.classname, element.suite))
        return next((shown for each in named if self._is_file(each) and (shown := self._spelled(each))), "")

    def _is_file(self, path: str) -> bool:
        if path not in self._files:
            self._files[path] = (
                bool(path) and "\x00" not in path and len(path) < 500 and (self._folder / path).is_file()
            )
        return self._files[path]


def _name(element: JUnitCase) -> str:
    return clean_test_name(element.name)


def _is_cut_off(element: JUnitCase) -> bool:
    """Whether it is a case without a name, which pytest 9.2 writes for a test in which the run was ended."""
    return element.outcome == "passed" and not _name(element)


def _repeats(owner: str, file: str, name: str) -> bool:
    """Whether the class says nothing that the file or the name does not say."""
    dotted = re.sub(r"[/\\]", ".", owner.removeprefix("file://").removeprefix("./").strip("/"))
    of_file = re.sub(r"[/\\]", ".", file)
    stem = of_file.rpartition(".")[0]
    same = f".{of_file}".endswith(f".{dotted}") or f".{stem}".endswith(f".{dotted}") or dotted.endswith(f".{of_file}")
    return not owner or owner == name or (bool(file) and same)
