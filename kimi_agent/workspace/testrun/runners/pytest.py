"""pytest runner (Python): its evidence, and its command with the options that make it write a report."""

import fnmatch
import re
from pathlib import Path, PurePath

from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand, TestSelection
from kimi_agent.workspace.testrun.formats.junit import read_junit_report
from kimi_agent.workspace.testrun.formats.python.pytest_report import parse_pytest_report
from kimi_agent.workspace.testrun.projects.interpreter import find_python_test_module
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner

_REQUIREMENTS = r"(?:.*[-_.])?requirements.*\.(?:txt|in)"
_PYTEST_FILES = ("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml")
_CONFIGURED_IN = (*_PYTEST_FILES, "pyproject.toml", "setup.cfg", "setup.py", "tox.ini")
_WRAPPER_PROGRAMS = {"uv", "poetry", "pdm", "pipenv", "hatch", "rye"}
# A requirement on pytest or one of its plugins: quoted, at the start of a line, or as a key.
_REQUIRED = re.compile(r"""(?:^\s*|["'])pytest(?:-[\w-]+)?(?=["'\s<>=~!\[;,@]|$)""", re.MULTILINE)
# pytest looks for functions in such files; `def test(model)` is more often a step of a training than a test.
_TEST_FILE = re.compile(r"test_.*\.py|.*_test\.py")
_NOT_RECURSED = ["*.egg", ".*", "_darcs", "build", "CVS", "dist", "node_modules", "venv", "{arch}"]  # pytest 9.2
_TAKEN_AWAY = re.compile(r"\bno:(?:terminal|junitxml)\b")
_TEST_FUNCTION = re.compile(r"^(?:async )?def test\w+\(", re.MULTILINE)


def pytest_evidence(folder: ProjectFolder) -> str:
    """Why pytest runs this folder's tests; "" where nothing says so."""
    names = folder.names()
    if configured := _configuration(folder):
        return configured
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
    if importing := folder.test_files_importing(r"pytest\w*"):
        return f"{importing[0]} imports pytest"  # or pytest_bdd, whose scenarios are no functions of the file
    # unittest would find nothing in such a file and call that a success.
    unittests = folder.test_files_importing("unittest")
    others = (path for path in folder.python_test_files() if path not in unittests)
    plain = (path for path in others if _TEST_FILE.fullmatch(PurePath(path).name))
    return next((f"{path} has plain test functions" for path in plain if _TEST_FUNCTION.search(folder.text(path))), "")


def _configuration(folder: ProjectFolder, below: str = "") -> str:
    """What holds pytest's own settings in the folder (or `below` it); "" for nothing."""
    names, before = folder.names(below), f"{below}/" if below else ""
    if own := next((name for name in _PYTEST_FILES if name in names), ""):
        return own
    for name, section in (("pyproject.toml", "tool.pytest"), ("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):
        if re.search(rf"^\[{re.escape(section)}[\].]", folder.text(before + name), re.MULTILINE):
            return f"{name} [{section}]"
    return ""


def _covers(folder: ProjectFolder, below: str) -> bool:
    """Whether pytest, started in the folder, also runs the tests of the project `below` it as that project would.

    It does not where that one has pytest settings of its own, and where `testpaths` or `norecursedirs` leave it out.
    """
    if _configuration(folder, below):
        return False
    left_out = _setting(folder, "norecursedirs") or _NOT_RECURSED
    if any(fnmatch.fnmatch(part, pattern) for part in below.split("/") for pattern in left_out):
        return False
    paths = [path.strip("./") for path in _setting(folder, "testpaths")]
    return not paths or any(not path or fnmatch.fnmatch(f"{below}/", f"{path}/*") for path in paths)


def _setting(folder: ProjectFolder, name: str) -> list[str]:
    """The words of one of pytest's settings that hold a list; [] where the folder's files don't set it."""
    for file in _CONFIGURED_IN:
        found = re.search(rf"^{name}\s*=[ \t]*(\[[^\]]*\]|.*(?:\n[ \t]+\S.*)*)", folder.text(file), re.MULTILINE)
        if found:
            return [word for word in re.split(r"[\s,]+", re.sub(r"#.*|[\[\]\"']", " ", found[1])) if word]
    return []


async def _launch(request: LaunchRequest) -> TestCommand:
    python = await request.environment.interpreters.choose(request.folder.path, pytest=True)
    words = pytest_arguments(request.selection, request.folder.path)
    options = pytest_report_options(request.report_path, request.folder)
    shown = ("-m", "pytest", *words)
    return python.command("pytest", request.why, ("-m", "pytest", *options, *words), request.folder.path, shown=shown)


def _adopt(given: GivenCommand) -> TestCommand | None:
    words = given.words
    wrapped = words[0] in _WRAPPER_PROGRAMS and words[1:2] == ("run",) and "pytest" in words[2:4]
    if not (given.program in ("pytest", "py.test") or wrapped or find_python_test_module(words) == "pytest"):
        return None
    if _TAKEN_AWAY.search(given.text):
        return None  # pytest would not know our options
    return given.run_as("pytest", *pytest_report_options(given.report_path, given.folder, words))


def pytest_report_options(report: Path, folder: ProjectFolder, given: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The options that make pytest write a report, whatever the project's own options and those `given` are.

    `--verbosity` sets where `-v` would add: one line for each test, from which a killed run is read, with its number
    and that of all tests. xunit1 is the dialect that names files. The cache would be written into the workspace for
    nothing, so it gets a folder of its own; the plugin stays, because tests and options may ask for it.
    """
    options = ("--verbosity=1", "--tb=short", "-o", "console_output_style=count", "-o", "junit_family=xunit1")
    cache = () if _needs_own_cache(folder, given) else ("-o", f"cache_dir={report.with_name('pytest_cache')}")
    return (*options, f"--junitxml={report}", *cache)


def _needs_own_cache(folder: ProjectFolder, given: tuple[str, ...]) -> bool:
    """Whether options ask for what the last run left in the project's own cache, or there is no cache at all."""
    options = re.compile(r"--(?:lf|last-failed|ff|failed-first|nf|new-first|sw|stepwise|cache-)|\bno:cacheprovider\b")
    texts = (*(folder.text(name) for name in _CONFIGURED_IN), " ".join(given))
    return any(options.search(text) for text in texts)


def pytest_arguments(selection: TestSelection, folder: Path) -> tuple[str, ...]:
    """The name and the targets as pytest takes them; none of them can be read as an option."""
    words = [f"-k={selection.name}"] if selection.name else []
    for target in selection.targets:
        spelled = str(target.path.relative_to(folder) if target.path.is_relative_to(folder) else target.path)
        # "-x" would be an option, "@x" a file of arguments (pytest 8.2).
        spelled = f"./{spelled}" if spelled.startswith(("-", "@")) else spelled
        words.append(f"{spelled}::{target.node}" if target.node else spelled)
    return tuple(words)


def _without_comments(text: str) -> str:
    return re.sub(r"(?m)^\s*#.*$", "", text)


def _read(ran: RunResult) -> ParsedReport:
    report = read_junit_report(ran.report_path)
    return parse_pytest_report(report, ran.lines, root=ran.root, folder=ran.folder.path)


PYTEST = TestRunner(
    *("pytest", "Python", pytest_evidence, _launch, _read, (".py",)),
    adopt=_adopt,
    manifests=(r"\.?pytest\.(?:ini|toml)|pyproject\.toml|setup\.(?:cfg|py)|Pipfile", _REQUIREMENTS),
    order=10,
    covers=_covers,
)
