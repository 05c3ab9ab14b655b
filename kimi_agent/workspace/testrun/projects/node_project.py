"""package.json reader: a JavaScript package's test runner, its package manager, and its installed programs."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kimi_agent.workspace.testrun.projects.js_workspace import has_tested_packages
from kimi_agent.workspace.testrun.projects.package_script import PackageScript, parse_package_script
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder, walk_up

PACKAGE_JSON = "package.json"
NODE_TEST_FILE = re.compile(
    r".*[._-](?:test|spec|tests)\.[cm]?[jt]sx?|(?:test|tests)\.[cm]?[jt]s|test[-_].*\.[cm]?[jt]s"
)
_BY_IMPORT = (
    ("node", re.compile(r"""(?:from|require\(|import)\s*["']node:test["']""")),
    ("bun", re.compile(r"""(?:from|require\(|import)\s*["']bun:test["']""")),
)
_BY_DEPENDENCY = {
    "vitest": "vitest",
    "jest": "jest",
    "mocha": "mocha",
    "@playwright/test": "playwright",
}
RUNNERS_BY_ROW = frozenset(["vitest", "jest", "mocha", "node", "bun", "deno", "playwright"])
"""The runners that have a row of their own: what a package with no other in its test script is tested by."""
_GIVEN = "the given command"  # no script is called so
_IN_TEST_FOLDER = re.compile(r".*\.[cm]?[jt]s")
_LOCKS = (
    ("npm", ("package-lock.json", "npm-shrinkwrap.json")),
    ("pnpm", ("pnpm-lock.yaml", "pnpm-workspace.yaml")),
    ("yarn", ("yarn.lock", ".pnp.cjs")),
    ("bun", ("bun.lock", "bun.lockb")),
)
_MANAGER = re.compile(r"(npm|pnpm|yarn|bun)@")
_RUNNER_CONFIGURATION = re.compile(r"(?:jest|vitest)\.(?:config|workspace)\.\w+|\.mocharc\..*")
_NO_TESTS = "no test specified"
_MOST_READ = 20


@dataclass(frozen=True)
class NodeProject:
    """How a package is tested.

    `runner` is the name of a test runner whose report is read ("vitest", "node", ...), or "script" where the test
    script is run and each runner in it is read as far as it is known; "" for no tests. `script` is the test script.
    """

    runner: str
    why: str = ""
    package_manager: str = "npm"
    script: PackageScript = field(default_factory=PackageScript)


def inspect_node_project(folder: ProjectFolder) -> NodeProject:
    """How the package in `folder` is tested: its test script comes before anything that its other files say."""
    return folder.once(_inspect)


def _inspect(folder: ProjectFolder) -> NodeProject:
    if PACKAGE_JSON not in folder.names():
        return NodeProject("")
    package = _package(folder)
    manager = _manager(folder, package)
    scripts = _scripts(folder)
    # A package may say that it has no tests, and have some all the same.
    if (text := scripts.get("test", "").strip()) and _NO_TESTS not in text:
        script = _parse_script(folder, package, scripts, "test", manager)
        only = script.runners[0].runner if len(script.runners) == 1 else ""
        runner = only if only in RUNNERS_BY_ROW else "script"
        return NodeProject(runner, f"{PACKAGE_JSON} script test", manager, script)
    if ".pnp.cjs" in folder.names():
        return NodeProject("")
    if has_tested_packages(folder) and not any(_RUNNER_CONFIGURATION.fullmatch(name) for name in folder.names()):
        return NodeProject("")  # what a workspace's top depends on is its packages', which have scripts of their own
    if runner := dependency_runner(folder):
        return NodeProject(runner, f"{PACKAGE_JSON} depends on {runner}", manager)
    for runner, pattern in _BY_IMPORT:
        for path in _test_files(folder)[:_MOST_READ]:
            if pattern.search(folder.text(path)):
                return NodeProject(runner, f"{path} imports {runner}:test", manager)
    return NodeProject("")


def read_given_command(folder: ProjectFolder, text: str) -> PackageScript:
    """A command line taken apart like a script of the package, with the scripts that it runs in their place."""
    package = _package(folder)
    scripts = {**_scripts(folder), _GIVEN: text}
    return _parse_script(folder, package, scripts, _GIVEN, _manager(folder, package))


def dependency_runner(folder: ProjectFolder) -> str:
    """The runner that the package depends on, "" for none."""
    package = _package(folder)
    needed = {name for key in ("devDependencies", "dependencies") for name in _table(package, key)}
    return next((runner for name, runner in _BY_DEPENDENCY.items() if name in needed), "")


def test_script_text(folder: ProjectFolder) -> str:
    """The text of the test script."""
    return _scripts(folder).get("test", "")


def script_environment(folder: ProjectFolder, name: str = "test") -> Mapping[str, str]:
    """What npm sets for a script, beside the PATH: a program may ask for it."""
    package = _package(folder)
    text = {key: value for key in ("name", "version") if isinstance(value := package.get(key), str)}
    return {
        "npm_lifecycle_event": name,
        "npm_package_json": str(folder.path / PACKAGE_JSON),
        "INIT_CWD": str(folder.path),
        **{f"npm_package_{key}": value for key, value in text.items()},
    }


def _parse_script(
    folder: ProjectFolder, package: Mapping[str, object], scripts: Mapping[str, str], name: str, manager: str
) -> PackageScript:
    if ".pnp.cjs" in folder.names():  # without yarn itself nothing can be imported
        return PackageScript()
    berry = manager == "yarn" and (
        ".yarnrc.yml" in folder.names() or re.match(r"yarn@[2-9]", str(package.get("packageManager", ""))) is not None
    )
    return parse_package_script(scripts, name, hooks=not berry)


def test_files_below(folder: ProjectFolder, below: str) -> tuple[str, ...]:
    """The test files in the folder (or below `below` in it), by their names."""
    return tuple(path for path in _test_files(folder) if not below or path.startswith(below + "/"))


def bin_folders(folder: ProjectFolder) -> tuple[Path, ...]:
    """The `node_modules/.bin` folders, nearest first: a workspace's packages share those of its top."""
    folders = (place / "node_modules" / ".bin" for place in walk_up(folder.path, folder.root))
    return tuple(place for place in folders if place.is_dir())


def is_installed(name: str, folder: ProjectFolder) -> bool:
    """Whether a program is in one of the folder's `node_modules/.bin`."""
    return any(os.access(place / name, os.X_OK) for place in bin_folders(folder))


def _test_files(folder: ProjectFolder) -> tuple[str, ...]:
    test_folders = {"test", "tests", "__tests__"}
    below = [path for path in folder.find_files(_IN_TEST_FOLDER) if test_folders & set(path.split("/")[:-1])]
    return tuple(dict.fromkeys([*folder.find_files(NODE_TEST_FILE), *below]))


def _scripts(folder: ProjectFolder) -> dict[str, str]:
    return {name: text for name, text in _table(_package(folder), "scripts").items() if isinstance(text, str)}


def _package(folder: ProjectFolder) -> Mapping[str, object]:
    try:
        found = json.loads(folder.text(PACKAGE_JSON))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _table(package: Mapping[str, object], key: str) -> Mapping[str, object]:
    found = package.get(key)
    return found if isinstance(found, dict) else {}


def _manager(folder: ProjectFolder, package: Mapping[str, object]) -> str:
    named = _MANAGER.match(str(package.get("packageManager", "")))
    if named:
        return named[1]
    for place in walk_up(folder.path, folder.root):
        for manager, locks in _LOCKS:
            if any((place / lock).is_file() for lock in locks):
                return manager
    return "npm"
