"""JavaScript workspace reader: which folders are packages of a monorepo, and their scripts.

Packages are named by `workspaces` in package.json (npm, yarn, bun), pnpm-workspace.yaml, or lerna.json.
"""

import json
import re
from collections.abc import Collection, Mapping

from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder

_PACKAGE_JSON, _PNPM, _LERNA = "package.json", "pnpm-workspace.yaml", "lerna.json"
_MANIFEST = re.compile(r"package\.json")
_PNPM_PACKAGES = re.compile(
    r"^packages:[ \t]*(?:\[(?P<flow>[^\]]*)\]|(?:#.*)?\n(?P<block>(?:[ \t]*(?:-[ \t].*|#.*)?\n?)+))", re.MULTILINE
)
_ITEM = re.compile(r"""^\s*-\s+['"]?([^'"#\s]+)""", re.MULTILINE)
_DEPENDENCIES = ("dependencies", "devDependencies", "peerDependencies", "optionalDependencies")
_MOST_GLOBS = 200


def read_workspace_globs(folder: ProjectFolder) -> tuple[str, ...]:
    """The patterns for the packages' folders, those behind a "!" left out; () where the folder is no workspace."""
    declared = read_json_object(folder, _PACKAGE_JSON).get("workspaces")
    if isinstance(declared, dict):
        declared = declared.get("packages")
    found = [each for each in declared if isinstance(each, str)] if isinstance(declared, list) else []
    if listed := _PNPM_PACKAGES.search(folder.text(_PNPM) + "\n"):
        found += _ITEM.findall(listed["block"] or re.sub(r"\s*,\s*|^", "\n- ", listed["flow"].strip()))
    if not found and _LERNA in folder.names():
        patterns = read_json_object(folder, _LERNA).get("packages", ["packages/*"])
        found = [each for each in patterns if isinstance(each, str)] if isinstance(patterns, list) else []
    return tuple(each.removeprefix("./").rstrip("/") for each in found[:_MOST_GLOBS])


def read_all_scripts(folder: ProjectFolder) -> Mapping[str, str]:
    """The scripts of the folder's package.json by name."""
    scripts = read_json_object(folder, _PACKAGE_JSON).get("scripts")
    return {name: text for name, text in scripts.items() if isinstance(text, str)} if isinstance(scripts, dict) else {}


def read_package_names(folder: ProjectFolder) -> tuple[str, frozenset[str]]:
    """The package's name ("" for none), and the names of the packages that it depends on."""
    package = read_json_object(folder, _PACKAGE_JSON)
    tables = (package.get(key) for key in _DEPENDENCIES)
    return str(package.get("name") or ""), frozenset(name for each in tables if isinstance(each, dict) for name in each)


def is_workspace_package(folder: ProjectFolder, below: str) -> bool:
    """Whether the folder `below` (relative, with slashes) is one of the packages."""
    return is_listed(read_workspace_globs(folder), below)


def is_listed(globs: Collection[str], below: str) -> bool:
    """Whether one of the patterns matches the folder `below`, and none behind a "!" does."""
    left_out = any(_glob_regex(each[1:].removeprefix("./")).fullmatch(below) for each in globs if each[:1] == "!")
    return not left_out and any(_glob_regex(each).fullmatch(below) for each in globs if each[:1] != "!")


def has_tested_packages(folder: ProjectFolder) -> bool:
    """Whether the folder is the top of a workspace of which some package has a test script."""
    if not read_workspace_globs(folder):
        return False
    below = (path.rpartition("/")[0] for path in folder.with_inner_projects().find_files(_MANIFEST))
    packages = (each for each in below if each and is_workspace_package(folder, each))
    return any(read_all_scripts(folder.subfolder(each)).get("test") for each in packages)


def read_json_object(folder: ProjectFolder, name: str) -> Mapping[str, object]:
    """The object in a JSON file of the folder; empty where there is none."""
    try:
        found = json.loads(folder.text(name))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _glob_regex(glob: str) -> re.Pattern[str]:
    """A package pattern as npm and pnpm read it: "*" within a part, "**" over parts, "{a,b}"."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")", ",": "|"}
    has_braces = "{" in glob and "}" in glob
    pieces = re.findall(r"\*\*/|\*\*|\*|\?|[{},]|[^*?{},]+", glob)
    try:
        return re.compile(
            "".join(
                parts[each] if each in parts and (has_braces or each not in "{},") else re.escape(each)
                for each in pieces
            )
        )
    except re.error:
        return re.compile(re.escape(glob))
