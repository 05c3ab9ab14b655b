"""deno.json reader: the task `test` of a Deno project, and what says that `deno test` is its runner."""

import json
import re
from collections.abc import Mapping

from kimi_agent.workspace.testrun.projects.node_project import inspect_node_project
from kimi_agent.workspace.testrun.projects.package_script import PackageScript, parse_package_script
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder

_FILES = ("deno.json", "deno.jsonc")
# As `deno test` chooses them: {*_,*.,}test.{ts,tsx,mts,js,mjs,jsx}.
_TEST_FILE = re.compile(r"(?:.*[_.])?test\.(?:[jt]sx?|m[jt]s)")
_COMMENT = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/|,(?=\s*[}\]])', re.DOTALL)


def find_deno_evidence(folder: ProjectFolder) -> str:
    """Why `deno test` is the runner of the folder, "" where it is not: a package's own test script comes before it."""
    node = inspect_node_project(folder)
    if node.runner == "deno":
        return node.why
    name = next((each for each in _FILES if each in folder.names()), "")
    if not name:
        return ""
    if read_deno_task(folder)[0]:
        return f"{name} task test"
    has_files = any(path for path in folder.find_files(_TEST_FILE))
    return name if has_files and node.why != "package.json script test" else ""


def read_deno_task(folder: ProjectFolder) -> tuple[str, PackageScript]:
    """The text of the task `test`, or of a package's script that starts deno, and its commands; "" for none."""
    node = inspect_node_project(folder)
    if node.runner == "deno" and node.script.commands:
        return node.script.text, node.script
    tasks = _tasks(folder)
    text = tasks.get("test", "")
    return text, parse_package_script(tasks, hooks=False)


def _tasks(folder: ProjectFolder) -> dict[str, str]:
    """The tasks without dependencies, by name."""
    for name in _FILES:
        try:
            found = json.loads(_COMMENT.sub(lambda match: match[1] or "", folder.text(name)))
        except (ValueError, RecursionError):
            continue
        tasks = found.get("tasks") if isinstance(found, dict) else None
        listed = tasks if isinstance(tasks, dict) else {}
        return {key: _command(value) for key, value in listed.items() if _command(value)}
    return {}


def _command(task: object) -> str:
    if isinstance(task, Mapping):
        command = task.get("command")
        # What has to run before it, deno alone knows to run.
        return "deno task test" if task.get("dependencies") else command if isinstance(command, str) else ""
    return task if isinstance(task, str) else ""
