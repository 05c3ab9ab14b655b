"""composer runner (PHP): the script `test` of composer.json, the project's own word for how it is tested."""

import json
from pathlib import Path, PurePosixPath

from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand
from kimi_agent.workspace.testrun.projects.package_script import split_plain_command
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner, read_exit_code
from kimi_agent.workspace.testrun.runners.phpunit import read_phpunit

_MANIFEST, _SCRIPT = "composer.json", "test"
_DEEPEST = 4  # a script that names another script ("@unit")


def _evidence(folder: ProjectFolder) -> str:
    return f"{_MANIFEST} has a script {_SCRIPT}" if _SCRIPT in _scripts(folder) else ""


def _scripts(folder: ProjectFolder) -> dict[str, list[str]]:
    """The scripts of composer.json, each with its commands."""
    try:
        manifest = json.loads(folder.text(_MANIFEST) or "{}")
    except (ValueError, RecursionError):
        return {}
    found = manifest.get("scripts") if isinstance(manifest, dict) else None
    scripts = found if isinstance(found, dict) else {}
    listed = {name: [each] if isinstance(each, str) else each for name, each in scripts.items()}
    return {
        name: [each for each in commands if isinstance(each, str)]
        for name, commands in listed.items()
        if isinstance(commands, list) and commands
    }


def _is_phpunit(folder: ProjectFolder) -> bool:
    """Whether the script is one run of PHPUnit or Pest and nothing else, so that options reach it."""
    scripts = _scripts(folder)
    name = _SCRIPT
    for _ in range(_DEEPEST):
        commands = scripts.get(name, [])
        if len(commands) != 1:
            return False
        words = split_plain_command(commands[0])
        if words[:1] == ("@php",):
            words = words[1:]
        if len(words) == 1 and words[0].startswith("@"):
            name = words[0][1:]
            continue
        return bool(words) and PurePosixPath(words[0]).name in ("phpunit", "pest") and "--" not in words
    return False


def _report_options(folder: ProjectFolder, report: Path) -> tuple[str, ...]:
    return ("--", "--log-junit", str(report)) if _is_phpunit(folder) else ()


async def _launch(request: LaunchRequest) -> TestCommand | None:
    composer = request.which("composer")
    if composer is None or not request.selection.is_whole:
        return None
    options = _report_options(request.folder, request.report_path)
    return request.command("composer test", (composer, "--no-interaction", _SCRIPT, *options), ("composer", _SCRIPT))


def _read(ran: RunResult) -> ParsedReport:
    return read_phpunit(ran) if _is_phpunit(ran.folder) else read_exit_code(ran)


def _adopt(given: GivenCommand) -> TestCommand | None:
    if given.words not in (("composer", _SCRIPT), ("composer", "run", _SCRIPT), ("composer", "run-script", _SCRIPT)):
        return None
    folder = given.folder
    return given.run_as("composer test", *_report_options(folder, given.report_path)) if _evidence(folder) else None


COMPOSER = TestRunner(
    *("composer test", "PHP", _evidence, _launch, _read, (".php", ".phpt")),
    adopt=_adopt,
    manifests=(r"composer\.json",),
    is_own_word=True,
    order=38,  # before PHPUnit: its name comes first
)
