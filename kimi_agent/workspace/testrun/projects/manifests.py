"""Manifest checks: which files of a folder say that pytest, unittest or make runs its tests.

Each function reads the folder's files alone and gives the reason as text, such as "pyproject.toml requires pytest",
or "" where nothing says so.
"""

import re

from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder

PYTHON_MANIFESTS = (
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "tox.ini",
    "pytest.ini",
    ".pytest.ini",
    "Pipfile",
    "noxfile.py",
    "tox.toml",
)
# Of the other ecosystems, and of tasks.
_OTHER_MANIFESTS = re.compile(
    r"package\.json|go\.(?:mod|work)|Cargo\.toml|build\.zig|pom\.xml|(?:build|settings)\.gradle(?:\.kts)?|CMakeLists\.txt|"
    r"Gemfile|Rakefile|\.rspec|.*\.gemspec|phpunit\.(?:dist\.)?xml(?:\.dist)?|composer\.json|.*\.(?:slnx?|(?:cs|fs|vb)proj)|"
    r"mix\.exs|(?:GNUm|m|M)akefile|\.?[Jj]ustfile|[Tt]askfile(?:\.dist)?\.ya?ml"
)
_REQUIREMENTS = re.compile(r"(?:.*[-_.])?requirements.*\.(?:txt|in)")
# A requirement on pytest or one of its plugins: quoted, at the start of a line, or as a key.
_REQUIRED = re.compile(r"""(?:^\s*|["'])pytest(?:-[\w-]+)?(?=["'\s<>=~!\[;,@]|$)""", re.MULTILINE)
_USES_PYTEST = re.compile(r"^\s*(?:from\s+|import\s+(?:[\w.]+(?: as \w+)?, *)*)pytest\b", re.MULTILINE)
_USES_UNITTEST = re.compile(r"^\s*(?:from\s+|import\s+(?:[\w.]+(?: as \w+)?, *)*)unittest\b", re.MULTILINE)
_TEST_FUNCTION = re.compile(r"^(?:async )?def test\w*\(", re.MULTILINE)
_TEST_TARGET = re.compile(r"^test[ \t]*:(?!=)", re.MULTILINE)


def has_manifest(folder: ProjectFolder) -> bool:
    """Whether the folder looks like the top of a project."""
    return any(
        name in PYTHON_MANIFESTS or _REQUIREMENTS.fullmatch(name) or _OTHER_MANIFESTS.fullmatch(name)
        for name in folder.names()
    )


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
    requirements = [name for name in names if _REQUIREMENTS.fullmatch(name)]
    requirements += [f"requirements/{name}" for name in folder.names("requirements") if name.endswith((".txt", ".in"))]
    for name in ("pyproject.toml", "setup.cfg", "setup.py", "Pipfile", *requirements):
        if _REQUIRED.search(_without_comments(folder.text(name))):
            return f"{name} requires pytest"
    for below in ("", "tests", "test"):
        if "conftest.py" in folder.names(below):
            return f"{below}/conftest.py" if below else "conftest.py"
    return _find_test_file(folder, _USES_PYTEST, "imports pytest") or _find_plain_test_functions(folder)


def unittest_evidence(folder: ProjectFolder) -> str:
    """Why unittest runs this folder's tests; "" where nothing says so."""
    return _find_test_file(folder, _USES_UNITTEST, "imports unittest")


def make_evidence(folder: ProjectFolder) -> str:
    """Why `make test` runs this folder's tests; "" where there is no such target."""
    names = folder.names()
    for name in ("GNUmakefile", "makefile", "Makefile"):
        if name in names:
            return f"{name} has a target test" if _TEST_TARGET.search(folder.text(name)) else ""
    return ""


def unittest_files(folder: ProjectFolder) -> tuple[str, ...]:
    """The test files (of the sample) that import unittest."""
    return tuple(path for path in folder.python_test_files() if _USES_UNITTEST.search(folder.text(path)))


def needs_pytest_cache(folder: ProjectFolder) -> bool:
    """Whether the project's own pytest options need pytest's cache plugin: without it they would be unknown words."""
    options = re.compile(r"--(?:lf|last-failed|ff|failed-first|nf|new-first|sw|stepwise|cache-)")
    return any(options.search(folder.text(name)) for name in ("pytest.ini", ".pytest.ini", *PYTHON_MANIFESTS[:4]))


def _find_plain_test_functions(folder: ProjectFolder) -> str:
    # unittest would find nothing in such a file and call that a success.
    for path in folder.python_test_files():
        text = folder.text(path)
        if _TEST_FUNCTION.search(text) and not _USES_UNITTEST.search(text):
            return f"{path} has plain test functions"
    return ""


def _find_test_file(folder: ProjectFolder, pattern: re.Pattern[str], says: str) -> str:
    for path in folder.python_test_files():
        if pattern.search(folder.text(path)):
            return f"{path} {says}"
    return ""


def _without_comments(text: str) -> str:
    return re.sub(r"(?m)^\s*#.*$", "", text)
