"""unittest runner (Python): its evidence, and the runs of discovery that reach all of a project's tests."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from kimi_agent.errors import ToolError
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand, TestSelection
from kimi_agent.workspace.testrun.formats.python.unittest_output import parse_unittest_output
from kimi_agent.workspace.testrun.projects.interpreter import find_python_test_module
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.reports.report_file import read_report_bytes
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner

_STARTS_FILE = "unittest_starts"
_NAMED_LIKE_TESTS = re.compile(r"test.*\.py|.*_tests?\.py")
_HOLDS_TESTS = re.compile(r"^\s*(?:from|import)\b.*\bunittest\b|^class \w+\(.*\bTestCase\b", re.MULTILINE)
_DEFAULT = "test*.py"
_MANIFESTS = ("pyproject.toml", "setup.py", "setup.cfg")


def unittest_evidence(folder: ProjectFolder) -> str:
    """Why unittest runs this folder's tests; "" where nothing says so."""
    importing = folder.test_files_importing("unittest")
    return f"{importing[0]} imports unittest" if importing else ""


@dataclass(frozen=True)
class DiscoveryStart:
    """One run of `unittest discover`: where it starts, the top of its packages, and the names of its files."""

    folder: str = "."
    top: str = "."
    pattern: str = _DEFAULT

    @property
    def words(self) -> tuple[str, ...]:
        """The words after `discover`."""
        start = ("-s", _argument(self.folder)) if self.folder != "." else ()
        top = ("-t", _argument(self.top)) if self.top != self.folder else ()
        return (*start, *top, *((f"-p={self.pattern}",) if self.pattern != _DEFAULT else ()))


async def _launch(request: LaunchRequest) -> TestCommand:
    python = await request.environment.interpreters.choose(request.folder.path, pytest=False)
    runs = unittest_runs(request.selection, request.folder)
    commands = [
        python.command("unittest", request.why, ("-m", "unittest", *words), request.folder.path) for _, words in runs
    ]
    if len(commands) == 1:
        return commands[0]
    # Discovery that finds nothing ends with 5 since Python 3.12: beside others that is no failure.
    steps = (f"{shlex.join(each.argv)}; code=$?; [ $code = 5 ] || [ $code = 0 ] || status=$code" for each in commands)
    script = "\n".join(["status=0", *steps, "exit $status"])
    shown = "; ".join(each.shown for each in commands)
    extra = {_STARTS_FILE: "\n".join(top for top, _ in runs)}
    return replace(commands[0], argv=("/bin/sh", "-c", script), shown=shown, extra_files=extra)


def _adopt(given: GivenCommand) -> TestCommand | None:
    return given.run_as("unittest", "-v") if find_python_test_module(given.words) == "unittest" else None


def unittest_runs(selection: TestSelection, folder: ProjectFolder) -> list[tuple[str, tuple[str, ...]]]:
    """Each run's folder of its modules and its words after `-m unittest`.

    Raises ToolError for targets that unittest cannot take together."""
    name = (f"-k={selection.name}",) if selection.name else ()
    below = [target.path for target in selection.targets if target.path.is_dir()]
    if below and len(selection.targets) > 1:
        why = "unittest takes one folder, or several files, classes and tests, but not both"
        mend = "give the folder alone, or the files in it"
        raise ToolError("bad_arguments", why, mend)
    if selection.targets and not below:
        return [(".", ("-v", *name, *(_dotted(target.path, target.node, folder.path) for target in selection.targets)))]
    starts = discovery_starts(folder, _relative(below[0], folder.path) if below else ".")
    return [(start.top, ("discover", "-v", *start.words, *name)) for start in starts]


def discovery_starts(folder: ProjectFolder, below: str) -> list[DiscoveryStart]:
    """The runs that reach every test file in `below` (relative to the folder).

    Discovery walks packages only, so each folder without `__init__.py` is a start of its own, and it takes files of one
    naming. Files of a project below, with a manifest of its own, are that project's.
    """
    starts = dict.fromkeys(_starts(folder, below))
    return sorted(starts, key=lambda start: (start.folder, start.pattern != _DEFAULT, start.pattern)) or [
        DiscoveryStart(below, below)
    ]


def _starts(folder: ProjectFolder, below: str) -> Iterator[DiscoveryStart]:
    known: set[DiscoveryStart] = set()
    for path in map(PurePosixPath, folder.find_files(_NAMED_LIKE_TESTS)):
        within = below == "." or path.is_relative_to(below)
        if not within or any(_is_project(folder, each) for each in path.parents if each.parts):
            continue
        top = next(each for each in path.parents if not _is_package(folder, each))
        first = PurePosixPath(below) if PurePosixPath(below).is_relative_to(top) else top
        start = DiscoveryStart(str(first), str(top), _pattern(path.name))
        if start not in known and _HOLDS_TESTS.search(folder.text(str(path))):
            known.add(start)
            yield start


def _pattern(name: str) -> str:
    if name.startswith("test"):
        return _DEFAULT
    return "*_test.py" if name.endswith("_test.py") else "*_tests.py"


def _is_package(folder: ProjectFolder, below: PurePosixPath) -> bool:
    return bool(below.parts) and "__init__.py" in folder.names(str(below))


def _is_project(folder: ProjectFolder, below: PurePosixPath) -> bool:
    return any(name in folder.names(str(below)) for name in _MANIFESTS)


def _dotted(path: Path, node: str, folder: Path) -> str:
    spelled = _relative(path, folder)
    if not node:
        return _argument(spelled)
    return ".".join([*PurePosixPath(spelled).with_suffix("").parts, *node.split("::")])


def _argument(path: str) -> str:
    return f"./{path}" if path.startswith("-") else path


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _read(ran: RunResult) -> ParsedReport:
    starts = (read_report_bytes(ran.report_path.with_name(_STARTS_FILE)) or b".").decode("utf-8", "replace").split("\n")
    return parse_unittest_output(ran.lines, root=ran.root, folder=ran.folder, starts=starts, exit_code=ran.exit_code)


UNITTEST = TestRunner(*("unittest", "Python", unittest_evidence, _launch, _read, (".py",)), adopt=_adopt, order=11)
