"""Workspace coverage: whether the test command at the top of a JavaScript monorepo runs a package's tests too."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from kimi_agent.workspace.testrun.projects.js_workspace import (
    is_listed,
    is_workspace_package,
    read_all_scripts,
    read_json_object,
)
from kimi_agent.workspace.testrun.projects.node_project import PACKAGE_JSON, inspect_node_project
from kimi_agent.workspace.testrun.projects.package_script import split_plain_command
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder

# Options that leave packages out, and turbo's way to run what a change affects.
_FILTER = re.compile(
    r"--filter(?:-prod)?(?:=.*)?|-F|--affected|--since(?:=.*)?|--scope(?:=.*)?|--ignore(?:=.*)?|--include(?:=.*)?|"
    r"--exclude(?:=.*)?|-w|--workspace(?:=.*)?|-p|--projects?(?:=.*)?|--changed-packages.*|--from(?:=.*)?|-R|-W"
)
# The runners that collect the test files of every folder below them, unless they are told otherwise.
_COLLECTORS = frozenset({"jest", "vitest", "node", "bun"})
# Words behind the runner that choose no tests.
_HARMLESS = re.compile(
    r"--(?:coverage|ci|runInBand|passWithNoTests|silent|verbose|forceExit|detectOpenHandles|colors?|bail|maxWorkers|"
    r"experimental-test-coverage|test-reporter|test-concurrency|no-file-parallelism|logHeapUsage|watchAll|run)(?:=.*)?|-i|run"
)
_CONFIGURATION = re.compile(r"(?:jest|vitest|vite|bunfig)(?:\.(?:config|workspace|projects))?\.[\w.]+")
_CONFIGURATION_PATH = re.compile(r"/(?:jest|vitest|vite)[^/]*$")
_PROJECTS = re.compile(r"""(?:["']?\bprojects["']?\s*:|defineWorkspace\(|export default)\s*\[([^\]]*)\]""")
_QUOTED = re.compile(r"""["']([^"'\n]+)["']""")
_NARROWED = re.compile(
    r"\b(?:roots|rootDir|projects|workspace|include|exclude|dir|root|testMatch|testRegex|testPathIgnorePatterns|"
    r"modulePathIgnorePatterns)\b"
)


def covers_package(folder: ProjectFolder, below: str) -> bool:
    """Whether the test command of `folder` runs the tests of the package `below` too.

    Either it runs the test script of every package, or its runner collects the test files of all folders and the
    package has neither another runner nor a configuration of its own. Where that is not plain: no.
    """
    package, scripts = folder.subfolder(below), read_all_scripts(folder)
    if tested := _fan_out_script(scripts.get("test", ""), scripts):
        # The packages' own scripts; turbo and nx know theirs by the same names.
        return is_workspace_package(folder, below) and bool(read_all_scripts(package).get(tested))
    here, there = inspect_node_project(folder), inspect_node_project(package)
    if here.runner not in _COLLECTORS or there.runner not in ("", here.runner):
        return False
    chosen = [word for command in here.script.runners for word in (*command.options, *command.paths)]
    if not all(_HARMLESS.fullmatch(word) for word in chosen):
        return False
    configured = [*_configuration_texts(folder)]
    if any(_lists_package(text, below) for text in configured):
        return True
    return not any(_configuration_texts(package)) and not any(_NARROWED.search(text) for text in configured)


def _configuration_texts(folder: ProjectFolder) -> Iterator[str]:
    """The texts that configure a runner in a folder."""
    yield from (folder.text(name) for name in folder.names() if _CONFIGURATION.fullmatch(name))
    if own := read_json_object(folder, PACKAGE_JSON).get("jest"):
        yield json.dumps({"jest": own})


def _lists_package(text: str, below: str) -> bool:
    """Whether a configuration of vitest or jest lists the package among its `projects`."""
    for listed in _PROJECTS.findall(text):
        globs = (each.removeprefix("<rootDir>/").removeprefix("./") for each in _QUOTED.findall(listed))
        folders = [_CONFIGURATION_PATH.sub("", each).rstrip("/") for each in globs]
        if is_listed(folders, below):
            return True
    return False


def find_fan_out(words: tuple[str, ...]) -> str:
    """The script or task that a command runs in every package of its workspace; "" for any other command.

    `pnpm -r run unit` gives "unit". A command that leaves packages out by an option is another one.
    """
    words = words[1:] if words[:1] in (("npx",), ("pnpx",), ("bunx",)) else words
    words = words[1:] if words[:1] == ("yarn",) and words[1:2] in (("turbo",), ("nx",), ("lerna",)) else words
    if len(words) < 2 or any(_FILTER.fullmatch(word) for word in words[1:]):
        return ""
    program, options = PurePosixPath(words[0]).name, {word for word in words[1:] if word.startswith("-")}
    named = [word for word in words[1:] if not word.startswith("-")]
    named = [_full_name(word) for word in named if word not in ("run", "run-script")]
    match program:
        case "npm" if options & {"--workspaces", "--ws", "-ws"}:
            return named[0] if named else ""
        case "pnpm" if options & {"-r", "--recursive"} or named[:1] in (["recursive"], ["m"], ["multi"]):
            named = [word for word in named if word not in ("recursive", "m", "multi")]
            return named[0] if named else ""
        case "yarn" if named[:1] == ["workspaces"]:
            named = [word for word in named if word not in ("workspaces", "foreach")]
            is_all = "foreach" not in words or bool(options & {"--all"} or _has_short(options, "A"))
            return named[0] if named and is_all else ""
        case "turbo" | "lerna" if named:
            return "test" if "test" in named else named[0]
        case "nx" if named[:1] == ["run-many"]:
            return _nx_target(words)
        case "bun" if "--workspaces" in options:
            return named[0] if named else ""
        case _:
            return ""


def _fan_out_script(text: str, scripts: Mapping[str, str], depth: int = 0) -> str:
    """What a script runs in every package: its last command does, or a script of that name which it starts."""
    words = split_plain_command(text.rpartition("&&")[2].strip())
    if tested := find_fan_out(words):
        return tested
    named = [word for word in words[1:] if word != "run"]
    if words[:1] in (("npm",), ("pnpm",), ("yarn",), ("bun",)) and len(named) == 1 and depth < 3:
        return _fan_out_script(scripts.get(named[0], ""), scripts, depth + 1)
    return ""


def _nx_target(words: tuple[str, ...]) -> str:
    for number, word in enumerate(words):
        option, assigned, value = word.partition("=")
        if option in ("-t", "--target", "--targets"):
            return value if assigned else "".join(words[number + 1 : number + 2])
    return ""


def _full_name(word: str) -> str:
    return "test" if word in ("t", "tst") else word


def _has_short(options: set[str], letter: str) -> bool:
    return any(letter in option for option in options if not option.startswith("--"))
