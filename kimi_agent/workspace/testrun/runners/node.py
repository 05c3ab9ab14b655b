"""JavaScript and TypeScript runners: vitest, jest, mocha, node --test, bun test, else the package's test script."""

import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from kimi_agent.workspace.testrun.commands_and_reports import Target, TestCommand, TestSelection
from kimi_agent.workspace.testrun.formats.bun_output import read_bun_output
from kimi_agent.workspace.testrun.formats.js_reports import TITLE_SEPARATOR, read_jest_json, read_reporter_lines
from kimi_agent.workspace.testrun.projects import node_project
from kimi_agent.workspace.testrun.projects.node_project import NodeProject, inspect_node_project, is_installed
from kimi_agent.workspace.testrun.projects.package_script import identify_runner
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.projects.workspace_coverage import covers_package
from kimi_agent.workspace.testrun.reports import injected_js_reporters
from kimi_agent.workspace.testrun.reports.cases import path_argument
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, ReportParser, TestRunner, read_exit_code

NODE_SUFFIXES = (".js", ".cjs", ".mjs", ".jsx", ".ts", ".cts", ".mts", ".tsx", ".vue", ".svelte")
PACKAGE_MANAGER_ENVIRONMENT = {
    "npm_config_yes": "false",
    "COREPACK_ENABLE_NETWORK": "0",
    "npm_config_update_notifier": "false",
    "pnpm_config_verify_deps_before_run": "false",
}
"""No run of tests downloads: npx would install what is missing, corepack's pnpm and yarn themselves, and pnpm (12.21
does) the dependencies, before each script."""
_PROGRAMS = {"vitest": "vitest run", "jest": "jest", "mocha": "mocha", "node": "node --test", "bun": "bun test"}
_OWN_REPORTERS = re.compile(r"\s--test-reporter(?:-destination)?(?:=\S+|\s+\S+)")
_REGEX_CHARACTER = re.compile(r"([\\^$.*+?()\[\]{}|/])")
_SCRIPT = re.compile(
    r"(?:(?P<npm>npm) (?:(?:run|run-script) )?|(?:pnpm|yarn|bun)(?: run)? )(?P<name>t(?:est)?\b[\w:-]*)"
)
_MOST_PATTERN = 60_000  # the kernel takes 128 kB in one argument


def node_report_options(runner: str, report: Path) -> tuple[str, ...]:
    """The options that make a runner write to `report`; `node_reporter_files` gives the files that they name."""
    match runner:
        case "vitest":
            # A run that was killed is read from the lines of the verbose one.
            return ("--reporter=verbose", "--reporter=json", f"--outputFile.json={report}")
        case "jest":
            return ("--ci", "--json", f"--outputFile={report}")
        case "mocha":
            return ("--reporter", str(report.parent / injected_js_reporters.MOCHA_REPORTER_FILE))
        case "node":
            ours, spec = str(report.parent / injected_js_reporters.NODE_REPORTER_FILE), "--test-reporter=spec"
            to = "--test-reporter-destination"
            return (f"--test-reporter={ours}", f"{to}={report}", spec, f"{to}=stdout")
        case _:
            return ()


def node_reporter_files(runner: str, report: Path) -> Mapping[str, str]:
    """The files that `node_report_options` names."""
    match runner:
        case "mocha":
            return injected_js_reporters.mocha_reporter(report)
        case "node":
            return injected_js_reporters.node_reporter()
        case _:
            return {}


def _insert_node_options(text: str, options: Iterable[str]) -> str:
    # Of what comes after the first file, node takes nothing for itself.
    words = shlex.join(options)
    return re.sub(r"(\s--test)(?=\s|$)", lambda found: f"{found[1]} {words}", _OWN_REPORTERS.sub("", text), count=1)


def _adopt(runner: str, given: GivenCommand) -> TestCommand | None:
    """A command that starts `runner` itself, or a package's script that ends in it, with options for its report."""
    options, files = node_report_options(runner, given.report_path), node_reporter_files(runner, given.report_path)
    if named := identify_runner(given.words)[0]:
        if named != runner:
            return None
        if runner == "node":
            return given.run_as(runner, text=_insert_node_options(given.text, options), extra_files=files)
        return given.run_as(runner, *options, extra_files=files)
    command = _SCRIPT.fullmatch(given.text)
    if command is None:
        return None
    script = node_project.read_package_script(given.folder, "test" if command["name"] == "t" else command["name"])
    if script.runner != runner or (runner == "node" and not script.text.endswith("--test")):
        return None
    return given.run_as(runner, *(("--",) if command["npm"] else ()), *options, extra_files=files)


def _evidence(runner: str) -> Callable[[ProjectFolder], str]:
    def evidence(folder: ProjectFolder) -> str:
        found = inspect_node_project(folder)
        return found.why if found.runner == runner else ""

    return evidence


async def _launch(request: LaunchRequest) -> TestCommand | None:
    folder, selection, report = request.folder, request.selection, request.report_path
    found = inspect_node_project(folder)
    runner = found.runner
    program = _PROGRAMS[runner].partition(" ")[0]
    missing = ""
    if runner in ("node", "bun"):
        if request.which(program) is None and not is_installed(program, folder):
            return None
    elif not is_installed(program, folder):
        missing = f"; {program} is not in node_modules/.bin: install the dependencies first"
    chosen = _select_targets(runner, folder, selection)
    before, base = _base_command(found, selection)
    if chosen is None or (selection.targets and re.search(r"\bcd\s", before)):
        return None
    named, paths = chosen
    options = [*node_report_options(runner, report), *named]
    if runner == "node":
        text = " ".join(filter(None, (_insert_node_options(base, options), shlex.join(paths))))
    else:
        text = f"{base} {shlex.join([*options, *paths])}"
    shown = " ".join(filter(None, (before + base, shlex.join([*named, *paths]))))
    argv = ("/bin/sh", "-c", _path_prefix(folder) + before + text)
    files = node_reporter_files(runner, report)
    return TestCommand(runner, request.why + missing, argv, shown, folder.path, PACKAGE_MANAGER_ENVIRONMENT, files)


async def _launch_script(request: LaunchRequest) -> TestCommand | None:
    if not request.selection.is_whole:
        return None
    manager = inspect_node_project(request.folder).package_manager
    if found := request.which(manager):
        return request.command(f"{manager} test", (found, "test"), (manager, "test"), PACKAGE_MANAGER_ENVIRONMENT)
    text = node_project.test_script_text(request.folder)
    argv = ("/bin/sh", "-c", _path_prefix(request.folder) + text)
    why = f"{request.why}; there is no {manager} here"
    return TestCommand("test script", why, argv, text, request.folder.path, PACKAGE_MANAGER_ENVIRONMENT)


def _base_command(found: NodeProject, selection: TestSelection) -> tuple[str, str]:
    """What comes before the runner's command, and the command without its selection."""
    script = found.script
    if script is None:
        return "", _PROGRAMS[found.runner]
    if selection.targets:
        return script.before, " ".join(_quote_word(word) for word in (*script.program, *script.options))
    return script.before, script.text


def _select_targets(runner: str, folder: ProjectFolder, selection: TestSelection) -> tuple[list[str], list[str]] | None:
    """The options for names and the paths that select the tests; None for what `runner` cannot select."""
    paths = list(dict.fromkeys(path_argument(target.path, folder.path) for target in selection.targets))
    pattern = _pattern(selection)
    match runner:
        case "jest":
            if paths and all(target.path.is_file() for target in selection.targets):
                paths = ["--runTestsByPath", *paths]
            else:
                # Regular expressions, of which none may be read as an option.
                paths = [re.sub(r"^-", "[-]", _REGEX_CHARACTER.sub(r"\\\1", path.removeprefix("./"))) for path in paths]
            return ([f"--testNamePattern={pattern}"] if pattern else []), paths
        case "vitest":
            return ([f"--testNamePattern={pattern}"] if pattern else []), paths
        case "mocha":
            return ([f"--grep={pattern}"] if pattern else []), paths
        case "bun":
            spelled = [path if path.startswith("./") else f"./{path}" for path in paths]
            return ([f"--test-name-pattern={pattern}"] if pattern else []), spelled
        case _:
            return _select_node(folder, selection, pattern)


def _select_node(folder: ProjectFolder, selection: TestSelection, pattern: str) -> tuple[list[str], list[str]] | None:
    # Node takes no folders (20 does, later ones take globs), and before 22 it compares a title alone, not the whole
    # name; a test inside another test runs only if the outer one's title is wanted too.
    paths: list[str] = []
    for target in selection.targets:
        below = path_argument(target.path, folder.path)
        if target.path.is_dir():
            paths += node_project.test_files_below(folder, "" if below == "." else below)
        else:
            paths.append(below)
    if selection.targets and not paths:
        return None
    titles = [title for target in selection.targets for title in target.node.split(TITLE_SEPARATOR)]
    if pattern and not selection.name and all(titles):
        alternatives = "|".join(_REGEX_CHARACTER.sub(r"\\\1", title) for title in dict.fromkeys(titles))
        pattern = f"^(?:{alternatives})$|{pattern}" if len(alternatives) < _MOST_PATTERN else ""
    return ([f"--test-name-pattern={pattern}"] if pattern else []), list(dict.fromkeys(paths))


def _pattern(selection: TestSelection) -> str:
    """A regular expression on a test's full name, which is its titles joined by blanks; "" for every test.

    A node may be a suite, so more may follow. Where one target is a whole file, all tests of all of them run.
    """
    nodes = _regexes(selection.targets) if all(target.node for target in selection.targets) else ""
    name = _REGEX_CHARACTER.sub(r"\\\1", selection.name)
    if nodes and name:
        return f"^(?=.*{name}) ?(?:{nodes})(?: |$)"
    return f"^ ?(?:{nodes})(?: |$)" if nodes else name


def _regexes(targets: Iterable[Target]) -> str:
    nodes = dict.fromkeys(
        _REGEX_CHARACTER.sub(r"\\\1", target.node).replace(TITLE_SEPARATOR, " (?:> )?") for target in targets
    )
    whole = "|".join(nodes)
    return whole if len(whole) < _MOST_PATTERN else ""


def _path_prefix(folder: ProjectFolder) -> str:
    """As npm does it: the installed programs come first on the PATH of a script."""
    places = [os.path.relpath(place, folder.path) for place in node_project.bin_folders(folder)]
    return "".join(f'PATH="$PWD/{place}:$PATH"; ' for place in reversed(places))


def _quote_word(word: str) -> str:
    name, assigned, value = word.partition("=")
    return f"{name}={shlex.quote(value)}" if assigned and re.fullmatch(r"\w+", name) else shlex.quote(word)


def _make_runner(name: str, runner: str, order: int, read: ReportParser) -> TestRunner:
    return TestRunner(
        *(name, "JavaScript", _evidence(runner), _launch, read, NODE_SUFFIXES),
        adopt=partial(_adopt, runner),
        manifests=(r"package\.json",),
        order=order,
        covers=covers_package,
    )


VITEST = _make_runner("vitest", "vitest", 20, read_jest_json)
JEST = _make_runner("jest", "jest", 21, read_jest_json)
MOCHA = _make_runner("mocha", "mocha", 22, read_reporter_lines)
NODE = _make_runner("node --test", "node", 23, read_reporter_lines)
BUN = _make_runner("bun test", "bun", 24, read_bun_output)
NPM_SCRIPT = TestRunner(
    *("npm test", "JavaScript", _evidence("script"), _launch_script, read_exit_code, NODE_SUFFIXES),
    order=25,
    covers=covers_package,
)
