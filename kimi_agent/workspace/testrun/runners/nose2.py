"""nose2 runner (Python): its verbose text is unittest's (nose2 0.16)."""

import re

from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand
from kimi_agent.workspace.testrun.formats.python.unittest_output import parse_unittest_output
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner

_REQUIRES = re.compile(r"""(?:^\s*|["'])nose2(?=["'\s<>=~!\[;,@]|$)""", re.MULTILINE)
_FILES = (
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "requirements.txt",
    "requirements-dev.txt",
    "test-requirements.txt",
)


def _evidence(folder: ProjectFolder) -> str:
    if "nose2.cfg" in folder.names():
        return "nose2.cfg"
    return next((f"{name} requires nose2" for name in _FILES if _REQUIRES.search(folder.text(name))), "")


async def _launch(request: LaunchRequest) -> TestCommand | None:
    if not request.selection.is_whole:
        return None
    python = await request.environment.interpreters.choose(request.folder.path, pytest=False)
    words = ("-m", "nose2", "-v")
    return python.command("nose2", request.why, words, request.folder.path, shown=words[:2])


def _adopt(given: GivenCommand) -> TestCommand | None:
    is_nose2 = given.program == "nose2" or ("-m", "nose2") in zip(given.words, given.words[1:], strict=False)
    return given.run_as("nose2", "-v") if is_nose2 else None


def _read(ran: RunResult) -> ParsedReport:
    return parse_unittest_output(ran.lines, root=ran.root, folder=ran.folder, exit_code=ran.exit_code)


NOSE2 = TestRunner(
    *("nose2", "Python", _evidence, _launch, _read, (".py",)), adopt=_adopt, manifests=(r"nose2\.cfg",), order=11
)
