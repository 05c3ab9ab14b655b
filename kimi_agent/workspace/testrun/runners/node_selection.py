"""JavaScript test selection: the options and paths that make each runner run some of the tests."""

import re
from collections.abc import Iterable

from kimi_agent.workspace.testrun.commands_and_reports import Target, TestSelection
from kimi_agent.workspace.testrun.formats.javascript.javascript_cases import TITLE_SEPARATOR
from kimi_agent.workspace.testrun.projects import node_project
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.reports.cases import path_argument

_REGEX_CHARACTER = re.compile(r"([\\^$.*+?()\[\]{}|/])")
_MOST_PATTERN = 60_000  # the kernel takes 128 kB in one argument
# What our ids add to the titles: the project of a Playwright test, the number of a jest or vitest project.
_PROJECT = re.compile(r" (?:\[[^\[\]]+\]|\(project \d+\))$")
_NAME_OPTIONS = {
    "vitest": "--testNamePattern",
    "jest": "--testNamePattern",
    "mocha": "--grep",
    "bun": "--test-name-pattern",
    "playwright": "--grep",
}


def select_tests(runner: str, folder: ProjectFolder, selection: TestSelection) -> tuple[list[str], list[str]] | None:
    """The options for names and the paths that select the tests; None for what `runner` cannot select."""
    paths = list(dict.fromkeys(path_argument(target.path, folder.path) for target in selection.targets))
    pattern = _pattern(selection)
    if runner == "node":
        return _select_node(folder, selection, pattern)
    if runner == "deno":
        return ([f"--filter=/{pattern}/"] if pattern else []), paths
    if runner == "jest":
        if paths and all(target.path.is_file() for target in selection.targets):
            paths = ["--runTestsByPath", *paths]
        else:
            # Regular expressions, of which none may be read as an option.
            paths = [re.sub(r"^-", "[-]", _escape(path.removeprefix("./"))) for path in paths]
    elif runner == "bun":
        paths = [path if path.startswith("./") else f"./{path}" for path in paths]
    elif runner == "playwright":
        # Its pattern is held against the project, the file and the titles together.
        pattern = pattern.replace("^ ?(?:", "(?:^| )(?:", 1) if pattern.startswith("^ ?(?:") else pattern
        paths = [_escape(path.removeprefix("./")) for path in paths]
    if (pattern or selection.name) and runner not in _NAME_OPTIONS:
        return None
    return ([f"{_NAME_OPTIONS[runner]}={pattern}"] if pattern else []), paths


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
        alternatives = "|".join(_escape(title) for title in dict.fromkeys(titles))
        pattern = f"^(?:{alternatives})$|{pattern}" if len(alternatives) < _MOST_PATTERN else ""
    return ([f"--test-name-pattern={pattern}"] if pattern else []), list(dict.fromkeys(paths))


def _pattern(selection: TestSelection) -> str:
    """A regular expression on a test's full name, which is its titles joined by blanks; "" for every test.

    A node may be a suite, so more may follow. Where one target is a whole file, all tests of all of them run.
    """
    nodes = _regexes(selection.targets) if all(target.node for target in selection.targets) else ""
    name = _escape(selection.name)
    if nodes and name:
        return f"^(?=.*{name}) ?(?:{nodes})(?: |$)"
    return f"^ ?(?:{nodes})(?: |$)" if nodes else name


def _regexes(targets: Iterable[Target]) -> str:
    nodes = dict.fromkeys(
        _escape(_PROJECT.sub("", target.node)).replace(TITLE_SEPARATOR, " (?:> )?") for target in targets
    )
    whole = "|".join(nodes)
    return whole if len(whole) < _MOST_PATTERN else ""


def _escape(text: str) -> str:
    return _REGEX_CHARACTER.sub(r"\\\1", text)
