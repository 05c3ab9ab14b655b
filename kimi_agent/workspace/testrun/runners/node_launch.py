"""JavaScript test launch: a script's commands with the options that make each runner in them report."""

import json
import os
import re
import shlex
from dataclasses import replace
from pathlib import Path

from kimi_agent.workspace.testrun.commands_and_reports import TestCommand, TestSelection
from kimi_agent.workspace.testrun.formats.javascript.script_report import PARTS_FILE, REPORT_PARSERS
from kimi_agent.workspace.testrun.projects import node_project
from kimi_agent.workspace.testrun.projects.package_script import PackageScript, ScriptCommand, identify_runner
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest
from kimi_agent.workspace.testrun.runners.node_reports import add_report_words, report_options
from kimi_agent.workspace.testrun.runners.node_selection import select_tests

PACKAGE_MANAGER_ENVIRONMENT = {
    "npm_config_yes": "false",
    "COREPACK_ENABLE_NETWORK": "0",
    "npm_config_update_notifier": "false",
    "pnpm_config_verify_deps_before_run": "false",
}
"""No run of tests downloads: npx would install what is missing, corepack's pnpm and yarn themselves, and pnpm (12.21
does) the dependencies, before each script."""
_COMMANDS = {
    "vitest": "vitest run",
    "jest": "jest",
    "mocha": "mocha",
    "node": "node --test",
    "bun": "bun test",
    "deno": "deno test",
    "playwright": "playwright test",
}
_CD = re.compile(r"\bcd\s")


def start_script(
    request: LaunchRequest, script: PackageScript, missing: str = "", name: str = "npm test"
) -> TestCommand | None:
    """The command that runs the selection by `script`; None where the selection cannot be made.

    It is called by its only test runner, `name` where there are several.
    """
    folder, selection = request.folder, request.selection
    run, shown = _ReportingScript(script, request.report_path), script.text
    if not selection.is_whole:
        narrowed = _narrow(script, selection, folder)
        if narrowed is None:
            return None
        script, named, paths = narrowed
        run = _ReportingScript(script, request.report_path, named, paths)
        shown = " ".join(filter(None, (script.text, shlex.join([*named, *paths]))))
    argv = ("/bin/sh", "-c", path_prefix(folder) + run.text)
    env = {**PACKAGE_MANAGER_ENVIRONMENT, **node_project.script_environment(folder), **run.env}
    return TestCommand(run.runner or name, request.why + missing, argv, shown, folder.path, env, run.files)


def _narrow(
    script: PackageScript, selection: TestSelection, folder: ProjectFolder
) -> tuple[PackageScript, tuple[str, ...], tuple[str, ...]] | None:
    """The part of a script that runs the selection, a build before it too, and the options and paths that it gets."""
    chosen = _command_for(script, selection, folder)
    selected = select_tests(chosen.runner, folder, selection) if chosen else None
    if chosen is None or selected is None:
        return None
    before = [each for each in script.commands[: script.commands.index(chosen)] if not each.runner]
    if selection.targets and any(_CD.search(each.text) for each in before):
        return None
    named, paths = selected
    text = " ".join(map(_quote_word, (*chosen.program, *chosen.options))) if selection.targets else chosen.text
    return PackageScript((*before, replace(chosen, text=text))), tuple(named), tuple(paths)


class _ReportingScript:
    """A script with the options that make each of its runners report; `named` and `paths` narrow its last command.

    One runner writes to `report` itself, several to files beside it, which PARTS_FILE lists. `runner` is the only one.
    """

    def __init__(self, script: PackageScript, report: Path, named: tuple[str, ...] = (), paths: tuple[str, ...] = ()):
        reporting = [command for command in script.commands if command.runner in REPORT_PARSERS]
        self.runner = reporting[0].runner if len(reporting) == 1 else ""
        self.env: dict[str, str] = {}
        self.files: dict[str, str] = {}
        parts: list[tuple[str, str, str]] = []
        texts: list[str] = []
        rest = 0
        for command in script.commands:
            if command not in reporting:
                texts.append(command.text)
                continue
            place = report if len(reporting) == 1 else report.with_name(f"report-{len(parts) + 1}")
            options = report_options(command.runner, place)
            text = add_report_words(command.runner, command.text, (*options.words, *named))
            texts.append(" ".join(filter(None, (text, shlex.join(paths)))))
            parts.append((command.runner, place.name, command.text))
            rest = len(texts)
            self.env |= options.env
            self.files |= options.files
        behind = " && ".join(texts[rest:]) if parts else ""
        self.files[PARTS_FILE] = json.dumps({"parts": parts, "rest": behind})
        self.text = " && ".join(texts)


def _command_for(script: PackageScript, selection: TestSelection, folder: ProjectFolder) -> ScriptCommand | None:
    """The command that runs the targets: that whose own paths hold them, else the last one that names none."""
    reporting = [command for command in script.commands if command.runner in REPORT_PARSERS]
    for command in reporting:
        places = [folder.path / path for path in command.paths]
        if (
            places
            and selection.targets
            and all(any(target.path.is_relative_to(place) for place in places) for target in selection.targets)
        ):
            return command
    free = [command for command in reporting if not command.paths]
    return next(reversed(free or reporting), None)


def adopt_script(runner: str, given: GivenCommand) -> TestCommand | None:
    """A command that starts `runner`, itself or by a script of the package, with options for its report.

    `runner` "" adopts scripts with several.
    """
    script = node_project.read_given_command(given.folder, given.text)
    reporting = [command for command in script.commands if command.runner in REPORT_PARSERS]
    if not reporting or (len(reporting) > 1) != (not runner) or (runner and reporting[0].runner != runner):
        return None
    run = _ReportingScript(script, given.report_path)
    as_written = identify_runner(given.words)[0]
    prefix = "" if as_written else path_prefix(given.folder)
    env = {} if as_written else node_project.script_environment(given.folder)
    return given.run_as(runner or "npm test", text=prefix + run.text, env={**env, **run.env}, extra_files=run.files)


def default_script(runner: str) -> PackageScript:
    """The command of a package that says no more than that it has this runner."""
    text = _COMMANDS[runner]
    return PackageScript((ScriptCommand(text, runner, tuple(text.split())),))


def path_prefix(folder: ProjectFolder) -> str:
    """As npm does it: the installed programs come first on the PATH of a script."""
    places = [os.path.relpath(place, folder.path) for place in node_project.bin_folders(folder)]
    return "".join(f'PATH="$PWD/{place}:$PATH"; ' for place in reversed(places))


def _quote_word(word: str) -> str:
    name, assigned, value = word.partition("=")
    return f"{name}={shlex.quote(value)}" if assigned and re.fullmatch(r"\w+", name) else shlex.quote(word)
