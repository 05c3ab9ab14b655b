"""Django runner (Python): `manage.py test`, whose verbose text is unittest's (Django 5.2)."""

import re

from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand
from kimi_agent.workspace.testrun.formats.python.unittest_output import parse_unittest_output
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner
from kimi_agent.workspace.testrun.runners.unittest import dotted_target

_MANAGES_DJANGO = re.compile(r"\bDJANGO_SETTINGS_MODULE\b|\bdjango\.core\.management\b")
_VERBOSE = ("--verbosity=2",)


def _evidence(folder: ProjectFolder) -> str:
    return "manage.py" if _MANAGES_DJANGO.search(folder.text("manage.py")) else ""


async def _launch(request: LaunchRequest) -> TestCommand:
    python = await request.environment.interpreters.choose(request.folder.path, pytest=False)
    name = (f"-k={request.selection.name}",) if request.selection.name else ()
    # Django takes folders and dotted names, no files.
    targets = (
        dotted_target(target, request.folder.path).removesuffix(".py").replace("/", ".").lstrip(".") or "."
        for target in request.selection.targets
    )
    words = ("manage.py", "test", *name, *targets)
    argv = (*words[:2], *_VERBOSE, *words[2:])
    return python.command("django", request.why, argv, request.folder.path, shown=words)


def _adopt(given: GivenCommand) -> TestCommand | None:
    managed = [word for word in given.words if word.endswith("manage.py")]
    is_test = bool(managed) and given.words[given.words.index(managed[0]) + 1 :][:1] == ("test",)
    return given.run_as("django", *_VERBOSE) if is_test else None


def _read(ran: RunResult) -> ParsedReport:
    return parse_unittest_output(ran.lines, root=ran.root, folder=ran.folder, exit_code=ran.exit_code)


DJANGO = TestRunner(
    *("django", "Python", _evidence, _launch, _read, (".py",)),
    adopt=_adopt,
    manifests=(r"manage\.py",),
    order=11,
)
