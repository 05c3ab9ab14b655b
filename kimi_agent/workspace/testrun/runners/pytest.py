"""pytest runner (Python): its command, and its JUnit cases and live lines read as pytest node ids."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand, TestOutcome, TestSelection
from kimi_agent.workspace.testrun.formats.junit import MAX_JUNIT_CASES, JUnitCase, JUnitReport, read_junit_report
from kimi_agent.workspace.testrun.projects.interpreter import find_python_test_module
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.reports.cases import merge_cases
from kimi_agent.workspace.testrun.reports.failure_excerpt import (
    excerpt_python_failure,
    first_nonblank_line,
    make_path_mapper,
    strip_escapes,
)
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner

_WORDS: Mapping[str, TestOutcome] = {
    "PASSED": "passed",
    "FAILED": "failed",
    "ERROR": "error",
    "SKIPPED": "skipped",
    "XFAIL": "skipped",
    "XPASS": "passed",
}
_WORD = "|".join(_WORDS)
_LIVE = re.compile(
    rf"^(?:\[gw\d+\] \[ *\d+%\] (?P<first>{_WORD}) )?"
    r"(?P<id>[^\s:]\S*?::[^\s\[]+(?:\[.*?\](?=\s|$))?)"
    rf"(?:\s+(?P<word>{_WORD})\b)?"
)
_LATE_OUTCOME = re.compile(rf"(?P<word>{_WORD})\s+\[ *\d+%\]$")
_ROOT = re.compile(r"^rootdir: (.+?)(?:, (?:configfile|inifile|testpaths):.*)?$")
_END_OF_LIVE = re.compile(r"^=+ (?:ERRORS|FAILURES|warnings summary.*|short test summary info|.* in [\d.]+s.*) =+$")
_COLLECTION = ("collection failure", "collection error")
_REQUIREMENTS = r"(?:.*[-_.])?requirements.*\.(?:txt|in)"
_CONFIGURED_IN = ("pytest.ini", ".pytest.ini", "pyproject.toml", "setup.cfg", "setup.py", "tox.ini")
_WRAPPER_PROGRAMS = {"uv", "poetry", "pdm", "pipenv", "hatch", "rye"}
# A requirement on pytest or one of its plugins: quoted, at the start of a line, or as a key.
_REQUIRED = re.compile(r"""(?:^\s*|["'])pytest(?:-[\w-]+)?(?=["'\s<>=~!\[;,@]|$)""", re.MULTILINE)
_TEST_FUNCTION = re.compile(r"^(?:async )?def test\w*\(", re.MULTILINE)


def pytest_evidence(folder: ProjectFolder) -> str:
    """Why pytest runs this folder's tests; "" where nothing says so."""
    names = folder.names()
    for name in ("pytest.ini", ".pytest.ini"):
        if name in names:
            return name
    for name, section in (("pyproject.toml", "tool.pytest"), ("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):
        if re.search(rf"^\[{re.escape(section)}[\].]", folder.text(name), re.MULTILINE):
            return f"{name} [{section}]"
    if re.search(r"^(?!\s*#).*\bpytest\b", folder.text("tox.ini"), re.MULTILINE):
        return "tox.ini runs pytest"
    requirements = [name for name in names if re.fullmatch(_REQUIREMENTS, name)]
    requirements += [f"requirements/{name}" for name in folder.names("requirements") if name.endswith((".txt", ".in"))]
    for name in ("pyproject.toml", "setup.cfg", "setup.py", "Pipfile", *requirements):
        if _REQUIRED.search(_without_comments(folder.text(name))):
            return f"{name} requires pytest"
    for below in ("", "tests", "test"):
        if "conftest.py" in folder.names(below):
            return f"{below}/conftest.py" if below else "conftest.py"
    if importing := folder.test_files_importing("pytest"):
        return f"{importing[0]} imports pytest"
    # unittest would find nothing in such a file and call that a success.
    others = (path for path in folder.python_test_files() if path not in folder.test_files_importing("unittest"))
    return next((f"{path} has plain test functions" for path in others if _TEST_FUNCTION.search(folder.text(path))), "")


async def _launch(request: LaunchRequest) -> TestCommand:
    python = await request.environment.interpreters.choose(request.folder.path, pytest=True)
    words = pytest_arguments(request.selection, request.folder.path)
    options = pytest_report_options(str(request.report_path), request.folder)
    shown = ("-m", "pytest", *words)
    return python.command("pytest", request.why, ("-m", "pytest", *options, *words), request.folder.path, shown=shown)


def _adopt(given: GivenCommand) -> TestCommand | None:
    words = given.words
    wrapped = words[0] in _WRAPPER_PROGRAMS and words[1:2] == ("run",) and "pytest" in words[2:4]
    if not (given.program in ("pytest", "py.test") or wrapped or find_python_test_module(words) == "pytest"):
        return None
    return given.run_as("pytest", *pytest_report_options(str(given.report_path), given.folder))


def pytest_report_options(report: str, folder: ProjectFolder) -> tuple[str, ...]:
    """The options that make pytest write a report, whatever the project's own options are.

    `--verbosity` sets where `-v` would add: one line for each test, from which a killed run is read. xunit1 is the
    dialect that names files. The cache would be written into the workspace for nothing.
    """
    options = ("--verbosity=1", "--tb=short", "-o", "junit_family=xunit1", f"--junitxml={report}")
    return options if _needs_cache(folder) else (*options, "-p", "no:cacheprovider")


def _needs_cache(folder: ProjectFolder) -> bool:
    """Whether the project's own pytest options need pytest's cache plugin: without it they would be unknown words."""
    options = re.compile(r"--(?:lf|last-failed|ff|failed-first|nf|new-first|sw|stepwise|cache-)")
    return any(options.search(folder.text(name)) for name in _CONFIGURED_IN)


def pytest_arguments(selection: TestSelection, folder: Path) -> tuple[str, ...]:
    """The name and the targets as pytest takes them; none of them can be read as an option."""
    words = [f"-k={selection.name}"] if selection.name else []
    for target in selection.targets:
        spelled = str(target.path.relative_to(folder) if target.path.is_relative_to(folder) else target.path)
        # "-x" would be an option, "@x" a file of arguments (pytest 8.2).
        spelled = f"./{spelled}" if spelled.startswith(("-", "@")) else spelled
        words.append(f"{spelled}::{target.node}" if target.node else spelled)
    return tuple(words)


def parse_pytest_report(report: JUnitReport | None, lines: Iterable[str], *, root: Path, folder: Path) -> ParsedReport:
    """The report of a run: from its JUnit file, or, where it was killed before it wrote one, from its lines."""
    live, running, rootdir = _read_live_lines(lines)
    here = make_path_mapper(root, folder)
    still = ", ".join(_workspace_id(node_id, here) for node_id in running)
    if report is None or (report.trouble and not report.elements):
        cases = tuple(TestCase(_workspace_id(node_id, here), outcome) for node_id, outcome in live.items())
        return ParsedReport(cases, running=still, trouble=report.trouble if report else "", is_complete=False)
    base = Path(rootdir) if rootdir else folder
    spelled = make_path_mapper(root, base)
    collection = [element for element in report.elements if _failed_to_collect(element)]
    trouble = report.trouble
    if report.total > len(report.elements):
        trouble = f"{report.total:,} tests were reported; the first {MAX_JUNIT_CASES:,} and every failure are kept"
    return ParsedReport(
        merge_cases(_case(element, spelled, base) for element in report.elements),
        fatal_error=_error_text(collection[0]) if collection and len(collection) == len(report.elements) else "",
        running=still,
        trouble=trouble,
        is_complete=not report.trouble,
    )


def _read_live_lines(lines: Iterable[str]) -> tuple[dict[str, TestOutcome], list[str], str]:
    """Outcomes by id, ids that were started and not ended, and the folder that ids are relative to in a report."""
    ended: dict[str, TestOutcome] = {}
    started: dict[str, None] = {}
    rootdir = ""
    for raw in lines:
        line = strip_escapes(raw).rstrip()
        if _END_OF_LIVE.match(line):
            break
        if root := _ROOT.match(line):
            rootdir = rootdir or root[1]
        elif found := _LIVE.match(line):
            word = found["first"] or found["word"]
            if word:
                started.pop(found["id"], None)
                if ended.get(found["id"]) != "failed":
                    ended[found["id"]] = _WORDS[word]
            else:
                started[found["id"]] = None
        elif started and (alone := _LATE_OUTCOME.search(line)):
            # A test that prints past the capture: its word comes lines later.
            ended[started.popitem()[0]] = _WORDS[alone["word"]]
    return ended, list(started), rootdir


def _workspace_id(node_id: str, spelled: Callable[[str], str]) -> str:
    path, separator, node = node_id.partition("::")
    return (spelled(path) or path) + separator + node


def _failed_to_collect(element: JUnitCase) -> bool:
    return element.outcome == "error" and element.message.startswith(_COLLECTION)


def _case(element: JUnitCase, spelled: Callable[[str], str], base: Path) -> TestCase:
    module, node = _module(element, base)
    path = spelled(module) or module
    if not path:
        node_id = element.name
    elif _failed_to_collect(element) or not node:
        node_id = path
    else:
        node_id = f"{path}::{node}"
    if element.outcome not in FAILED_OUTCOMES:
        return TestCase(node_id, element.outcome, message=first_nonblank_line(element.message))
    shortened = excerpt_python_failure(element.text, spelled, path)
    place = shortened.place
    if not place and element.line.isdigit() and spelled(element.file):
        place = f"{spelled(element.file)}:{int(element.line) + 1}"
    message = first_nonblank_line(element.message)
    if _failed_to_collect(element) and shortened.last_message:
        message = first_nonblank_line(shortened.last_message.removeprefix("E  "))
    return TestCase(node_id, element.outcome, place, message, shortened.detail)


def _module(element: JUnitCase, base: Path) -> tuple[str, str]:
    """The file of a test and the node inside it.

    The `file` attribute says where the function stands, which for an inherited test is another file than the id names.
    """
    dotted = element.classname or element.name
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        path = "/".join(parts[:length]) + ".py"
        if (base / path).is_file():
            inner = parts[length:]
            return path, "::".join([*inner, element.name] if element.classname else inner)
    return element.file, "::".join(part for part in (element.name,) if element.classname or part != element.file)


def _error_text(element: JUnitCase) -> str:
    lines = [line.rstrip() for line in strip_escapes(element.text).split("\n") if line.strip()]
    return "\n".join(lines[-15:]) or element.message


def _without_comments(text: str) -> str:
    return re.sub(r"(?m)^\s*#.*$", "", text)


def _read(ran: RunResult) -> ParsedReport:
    report = read_junit_report(ran.report_path)
    return parse_pytest_report(report, ran.lines, root=ran.root, folder=ran.folder.path)


PYTEST = TestRunner(
    *("pytest", "Python", pytest_evidence, _launch, _read, (".py",)),
    adopt=_adopt,
    manifests=(r"\.?pytest\.ini|pyproject\.toml|setup\.(?:cfg|py)|Pipfile", _REQUIREMENTS),
    order=10,
)
