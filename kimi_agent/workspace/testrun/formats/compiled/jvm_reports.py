"""JUnit reports of Gradle and Maven: find those of this run below a folder, and read the cases in them."""

import os
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.formats.junit import JUnitCase, read_junit_report
from kimi_agent.workspace.testrun.reports.cases import MAX_CASES, clean_test_name, excerpt_innermost_first, merge_cases
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line
from kimi_agent.workspace.testrun.reports.source_index import SourceIndex

JVM_SUFFIXES = (".java", ".kt", ".groovy", ".scala")
_MOST_ENTRIES, _MOST_REPORTS, _MOST_BYTES = 200_000, 5_000, 400_000_000
_MOST_SOURCES, _MOST_SOURCE_BYTES = 5_000, 1_000_000
_DECLARES_TESTS = re.compile(
    rb"(?:^|[\s{};])@(?:[\w.]+\.)?(?:\w*Test|TestFactory|TestTemplate|Property)\b"
    rb"|\b(?:extends|:)\s+(?:[\w.]+\.)?(?:TestCase|\w*Spec|Specification)\b",
    re.MULTILINE,
)
_REPORT = re.compile(r"TEST-.*\.xml")
_FRAME = re.compile(r"\s*at (?:[^\s(/]*/)*(?P<class>[^\s(]+)\.[^\s(.]+\((?P<file>[^\s():]+):(?P<line>\d+)\)(?: .*)?")
# What the runners call a failure of a whole class, of which no method can be run again.
_WHOLE_CLASS = {"", "classMethod", "initializationError", "executionError"}


def find_fresh_reports(folder: Path, since_ns: int) -> tuple[list[Path], str]:
    """The reports written below `folder` since then, and what is troubling about them. Links are not followed.

    Reports of earlier runs stay in the build folders, so their time decides; the run itself takes longer to start
    than any file system's clock is coarse.
    """
    found: list[Path] = []
    size = 0
    for path, status in _reports(folder):
        if status.st_mtime_ns < since_ns:
            continue
        size += status.st_size
        if len(found) == _MOST_REPORTS or size > _MOST_BYTES:
            return found, f"only the first {len(found):,} reports were read"
        found.append(path)
    return found, ""


def has_test_sources(module: Path) -> bool:
    """Whether a module's sources hold a test, by the annotations and classes of JUnit, TestNG, Spock, Kotest, jqwik."""
    seen = 0
    for here, below, names in os.walk(module / "src"):
        below.sort()
        for name in sorted(names):
            seen += 1
            path = Path(here, name)
            if seen > _MOST_SOURCES:
                return False
            if path.suffix in JVM_SUFFIXES and not path.is_symlink() and path.is_file():
                with path.open("rb") as file:
                    if _DECLARES_TESTS.search(file.read(_MOST_SOURCE_BYTES)):
                        return True
    return False


def _reports(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    seen = 0
    for here, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith(".") and name != "node_modules")
        seen += 1 + len(names)
        if seen > _MOST_ENTRIES:
            return
        parts = Path(here).parts
        if parts[-1] not in ("surefire-reports", "failsafe-reports") and "test-results" not in parts[-4:]:
            continue
        for name in sorted(names):
            if _REPORT.fullmatch(name):
                path = Path(here, name)
                try:
                    yield path, path.lstat()
                except OSError:
                    continue


class JvmReportReader:
    """Reads reports into cases whose ids name source files below `folder`; `spelled` makes paths workspace-relative."""

    def __init__(self, folder: Path, spelled: Callable[[str], str]) -> None:
        self._folder = folder
        self._spelled = spelled
        self._sources = SourceIndex(folder, JVM_SUFFIXES)
        self._modules: dict[Path, SourceIndex] = {}

    def read(self, reports: list[Path], flaky: Collection[str] = ()) -> tuple[tuple[TestCase, ...], str]:
        """The cases, and the first thing that was wrong with a report.

        `flaky` names the methods ("com.x.ATest.adds") that the runner itself let pass in the end: of a class with
        nested ones surefire 3.2.5 leaves the first failure in one report and the pass in another.
        """
        kept: list[TestCase] = []
        trouble = ""
        for path in reports:
            report = read_junit_report(path)
            if report is None:
                continue
            if report.trouble:
                trouble = trouble or f"{path.name}: {report.trouble}"
            module = module_of_report(path)
            for element in report.elements:
                if f"{element.classname}.{element.name}" in flaky and element.outcome in FAILED_OUTCOMES:
                    element.outcome = "passed"
                    element.failed_attempts = max(element.failed_attempts, 1)
                if element.outcome in FAILED_OUTCOMES or len(kept) < MAX_CASES:
                    kept.append(self._case(element, module))
        # Of the reports of a flaky test the one that tells of its failed runs.
        kept.sort(key=lambda case: -case.failures)
        return merge_cases(kept), trouble

    def _case(self, element: JUnitCase, module: Path) -> TestCase:
        file, nested = self._file(element.classname, module)
        name = clean_test_name(element.name.removesuffix("()"))
        if name in _WHOLE_CLASS or name == element.classname:
            name = ""
        node_id = "::".join([file, *nested, *([name] if name else [])])
        if element.outcome not in FAILED_OUTCOMES:
            message, failed = first_nonblank_line(element.message), element.failed_attempts
            return TestCase(node_id, element.outcome, message=message, runs=failed + 1, failures=failed)
        text = element.text or element.message
        shortened = excerpt_innermost_first(text, self._frame, file)
        return TestCase(node_id, element.outcome, shortened.place, first_nonblank_line(text), shortened.detail)

    def _file(self, classname: str, module: Path) -> tuple[str, list[str]]:
        """The source file of a class and the classes inside it; for an unknown one its module and its full name."""
        top, *nested = classname.split("$")
        simple, ending = top.rpartition(".")[2], top.replace(".", "/")
        inside = self._modules.setdefault(module, SourceIndex(module, JVM_SUFFIXES))
        path = inside.find_declaring(simple, ending) or self._sources.find_declaring(simple, ending)
        if path is not None and (shown := self._spelled(str(path))):
            # A class that is not called like its file is a part of it, as a nested one is.
            return shown, nested if path.stem == simple else [simple, *nested]
        return self._spelled(str(module)) or ".", [clean_test_name(classname)]

    def _frame(self, line: str) -> str | None:
        frame = _FRAME.fullmatch(line)
        if frame is None:
            return "" if line.lstrip().startswith("at ") else None
        package = frame["class"].split("$")[0].rpartition(".")[0].replace(".", "/")
        path = self._sources.find_by_name(frame["file"], f"{package}/{frame['file'].rpartition('.')[0]}")
        if path is None or (path.suffix == ".java" and not path.parent.as_posix().endswith(package)):
            return ""
        shown = self._spelled(str(path))
        return f"{shown}:{frame['line']}" if shown else ""


def module_of_report(report: Path) -> Path:
    """The folder of the module that wrote a report: above `target/surefire-reports`, above `build/test-results/...`."""
    parts = report.parts
    if "test-results" in parts:
        at = len(parts) - 1 - parts[::-1].index("test-results")
        return Path(*parts[: at - 1])
    return Path(*parts[:-3])
