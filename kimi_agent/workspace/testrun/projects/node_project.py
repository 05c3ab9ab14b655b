"""package.json reader: a JavaScript package's test runner, its package manager, and its installed programs."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
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
_IN_TEST_FOLDER = re.compile(r".*\.[cm]?[jt]s")
_LOCKS = (
    ("npm", ("package-lock.json", "npm-shrinkwrap.json")),
    ("pnpm", ("pnpm-lock.yaml",)),
    ("yarn", ("yarn.lock",)),
    ("bun", ("bun.lock", "bun.lockb")),
)
_MANAGER = re.compile(r"(npm|pnpm|yarn|bun)@")
_RUNNER_CONFIGURATION = re.compile(r"(?:jest|vitest)\.(?:config|workspace)\.\w+|\.mocharc\..*")
_NO_TESTS = "no test specified"
_MOST_READ = 20


@dataclass(frozen=True)
class NodeProject:
    """`runner` is vitest, jest, mocha, node or bun; "script" where only its exit code is known; "" for no tests.

    `script` is the test script, if it ends in that runner.
    """

    runner: str
    why: str = ""
    package_manager: str = "npm"
    script: PackageScript | None = None


def inspect_node_project(folder: ProjectFolder) -> NodeProject:
    """How the package in `folder` is tested."""
    if PACKAGE_JSON not in folder.names():
        return NodeProject("")
    package = _package(folder)
    manager = _manager(folder, package)
    scripts = _scripts(folder)
    if _NO_TESTS in scripts.get("test", ""):
        scripts.pop("test")
    if ".pnp.cjs" in folder.names():  # without yarn itself nothing can be imported
        return _script_project(scripts, "yarn")
    script = parse_package_script(scripts)
    if script.runner:
        return NodeProject(script.runner, f"{PACKAGE_JSON} script test", manager, script)
    if has_tested_packages(folder) and not any(_RUNNER_CONFIGURATION.fullmatch(name) for name in folder.names()):
        return NodeProject("")  # what a workspace's top depends on is its packages', which have scripts of their own
    needed = {name for key in ("devDependencies", "dependencies") for name in _table(package, key)}
    for runner in ("vitest", "jest", "mocha"):
        if runner in needed:
            return NodeProject(runner, f"{PACKAGE_JSON} depends on {runner}", manager)
    for runner, pattern in _BY_IMPORT:
        for path in _test_files(folder)[:_MOST_READ]:
            if pattern.search(folder.text(path)):
                return NodeProject(runner, f"{path} imports {runner}:test", manager)
    return _script_project(scripts, manager)


def _script_project(scripts: Mapping[str, str], manager: str) -> NodeProject:
    known = scripts.get("test", "").strip()
    return NodeProject("script", f"{PACKAGE_JSON} script test", manager) if known else NodeProject("")


def read_package_script(folder: ProjectFolder, name: str) -> PackageScript:
    """A script of the package, taken apart."""
    return parse_package_script(_scripts(folder), name)


def test_script_text(folder: ProjectFolder) -> str:
    """The text of the test script."""
    return _scripts(folder).get("test", "")


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
