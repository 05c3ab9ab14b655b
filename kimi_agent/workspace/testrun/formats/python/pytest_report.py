"""pytest report parser: its JUnit cases as node ids, held against the counts that it prints."""

import functools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport
from kimi_agent.workspace.testrun.formats.junit import MAX_JUNIT_CASES, JUnitCase, JUnitReport
from kimi_agent.workspace.testrun.formats.python.pytest_text import PytestText, read_pytest_text
from kimi_agent.workspace.testrun.reports.cases import merge_cases
from kimi_agent.workspace.testrun.reports.failure_excerpt import (
    excerpt_python_failure,
    first_nonblank_line,
    make_path_mapper,
    strip_escapes,
)

_COLLECTION = ("collection failure", "collection error")


def parse_pytest_report(report: JUnitReport | None, lines: Iterable[str], *, root: Path, folder: Path) -> ParsedReport:
    """The report of a run: from its JUnit file, or, where it wrote none, from its lines.

    Lines tell results only where there is no file: a test may print whatever it likes.
    """
    text = read_pytest_text(lines)
    if report is None or (report.trouble and not report.elements):
        return _parse_text(text, report.trouble if report else "", make_path_mapper(root, folder))
    # A test that calls `pytest.exit` stands in the file as a case without a name.
    elements = [element for element in report.elements if element.name or element.classname]
    total = report.total - (len(report.elements) - len(elements))
    modules = [each for each in elements if _failed_to_collect(each) or each.message == "collection skipped"]
    unloaded = [element for element in modules if _failed_to_collect(element)]
    ids = _IdMaker(text, root, folder)
    cases = merge_cases(ids.case(element) for element in elements)
    tries = Counter(ids.id(element) for element in elements)
    doubles = _double_failures(elements)
    tests = total - len(doubles) - len(modules)
    counted = tests if report.counted is None else report.counted - len(modules)
    trouble = report.trouble or text.last_words
    if total > len(elements):
        trouble = f"{total:,} tests were reported; the first {MAX_JUNIT_CASES:,} and every failure are kept"
    if counted < tests:
        # The suite counts a test once, however often pytest-rerunfailures or flaky wrote it.
        tries.subtract(ids.id(element) for element in doubles)
    else:
        tries = Counter({ids.printed(node_id): count + 1 for node_id, count in text.retried.items()})
    return ParsedReport(
        _with_retries(cases, tries),
        fatal_error=_error_text(unloaded[0]) if unloaded and len(modules) == len(elements) else "",
        running=", ".join(map(ids.printed, text.started)) if report.trouble else "",
        trouble=trouble,
        is_complete=not report.trouble,
        announced=text.announced,
        ended=min(tests, counted),
    )


def _parse_text(text: PytestText, trouble: str, spelled: Callable[[str], str]) -> ParsedReport:
    cases = tuple(TestCase(_spelled_id(node_id, spelled), outcome) for node_id, outcome in text.outcomes.items())
    tries = Counter({_spelled_id(node_id, spelled): count + 1 for node_id, count in text.retried.items()})
    return ParsedReport(
        _with_retries(cases, tries),
        running=", ".join(_spelled_id(node_id, spelled) for node_id in text.started),
        trouble=trouble or text.last_words,
        # It came to its end, with a line for each test: `-p no:junitxml` is among the project's options.
        is_complete=text.has_summary and not text.started and len(cases) >= (text.announced or 1),
        announced=text.announced,
    )


def _with_retries(cases: tuple[TestCase, ...], tries: Mapping[str, int]) -> tuple[TestCase, ...]:
    """The cases, with how often those ran that pytest itself repeated (`tries` by id).

    pytest-rerunfailures 16.7 and flaky 3.8 write a case for each try, pytest-retry 1.7 a line.
    """
    if max(tries.values(), default=0) < 2:
        return cases
    return tuple(
        replace(case, runs=runs, failures=runs - (case.outcome not in FAILED_OUTCOMES))
        if (runs := tries.get(case.id, 1)) > 1
        else case
        for case in cases
    )


def _double_failures(elements: Sequence[JUnitCase]) -> list[JUnitCase]:
    """The second cases of tests that failed and whose teardown failed too."""
    failed: set[tuple[str, str]] = set()
    doubles = []
    for element in elements:
        name = (element.classname, element.name)
        if element.outcome == "error" and name in failed:
            doubles.append(element)
        elif element.outcome in FAILED_OUTCOMES:
            failed.add(name)
    return doubles


class _IdMaker:
    """Turns the names of JUnit cases into node ids relative to the workspace."""

    def __init__(self, text: PytestText, root: Path, folder: Path) -> None:
        self._text = text
        self._folder = folder
        self._base = Path(text.rootdir) if text.rootdir else folder
        self._spelled = make_path_mapper(root, self._base)
        self._printed = make_path_mapper(root, folder)
        self._places: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {}

    def printed(self, node_id: str) -> str:
        """The id that was printed as `node_id`, relative to the folder of the run."""
        return _spelled_id(node_id, self._printed)

    def id(self, element: JUnitCase) -> str:
        """The id of a test, or the path of a module that did not load."""
        path, inner = self._place(element)
        if not path:
            return element.name
        if _failed_to_collect(element) or not (inner or element.classname or element.name != element.file):
            return path
        return "::".join((path, *inner, *((element.name,) if element.classname else ())))

    def case(self, element: JUnitCase) -> TestCase:
        """The test, with its failure shortened."""
        node_id = self.id(element)
        if element.outcome not in FAILED_OUTCOMES:
            return TestCase(node_id, element.outcome, message=first_nonblank_line(element.message))
        shortened = excerpt_python_failure(element.text, self._spelled, node_id.partition("::")[0])
        place = shortened.place
        if not place and element.line.isdigit() and (file := self._spelled(element.file)):
            place = f"{file}:{int(element.line) + 1}"
        message = first_nonblank_line(element.message)
        if _failed_to_collect(element) and shortened.last_message:
            message = first_nonblank_line(shortened.last_message.removeprefix("E  "))
        return TestCase(node_id, element.outcome, place, message, shortened.detail)

    def _place(self, element: JUnitCase) -> tuple[str, tuple[str, ...]]:
        """The file of a test, and the classes in it."""
        key = (element.classname or element.name, element.file)
        if key not in self._places:
            path, inner = self._find_place(element)
            self._places[key] = (self._spelled(path) or path, inner)
        return self._places[key]

    def _find_place(self, element: JUnitCase) -> tuple[str, tuple[str, ...]]:
        dotted = element.classname or element.name
        module = element.file.removesuffix(".py").replace("/", ".")
        if module and f"{dotted}.".startswith(f"{module}."):
            return element.file, _parts(dotted[len(module) + 1 :])
        # `file` says where the function stands: for an inherited test that is another file than the id names.
        parts = dotted.split(".")
        for length in range(len(parts), 0, -1):
            path = "/".join(parts[:length]) + ".py"
            if (self._base / path).is_file():
                return path, tuple(parts[length:])
        # A folder with a dot in its name: only the printed id tells it.
        if printed := self._ids_by_classname.get(dotted):
            return printed
        return element.file, ()

    @functools.cached_property
    def _ids_by_classname(self) -> Mapping[str, tuple[str, tuple[str, ...]]]:
        found = {}
        for node_id in (*self._text.outcomes, *self._text.started):
            path, *names = node_id.partition("[")[0].split("::")
            path = os.path.relpath(self._folder / path, self._base)
            module = path.removesuffix(".py").replace("/", ".")
            found[".".join((module, *names[:-1]))] = (path, tuple(names[:-1]))
        return found


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(dotted.split(".")) if dotted else ()


def _spelled_id(node_id: str, spelled: Callable[[str], str]) -> str:
    path, separator, node = node_id.partition("::")
    return (spelled(path) or path) + separator + node


def _failed_to_collect(element: JUnitCase) -> bool:
    return element.outcome == "error" and element.message.startswith(_COLLECTION)


def _error_text(element: JUnitCase) -> str:
    lines = [line.rstrip() for line in strip_escapes(element.text).split("\n") if line.strip()]
    return "\n".join(lines[-15:]) or element.message
