"""just and Task runners: a `test` task, judged by its exit code as `make test` is."""

import re

from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.runner import RunnerEnvironment, TestRunner, read_exit_code
from kimi_agent.workspace.testrun.values import TestCommand, TestSelection

TASKFILE_NAMES = (
    "Taskfile.yml",
    "taskfile.yml",
    "Taskfile.yaml",
    "taskfile.yaml",
    "Taskfile.dist.yml",
    "taskfile.dist.yml",
    "Taskfile.dist.yaml",
    "taskfile.dist.yaml",
)
# Parameters after the name must have defaults, else `just test` alone is an error.
_RECIPE = re.compile(
    r"""^@?test(?:[ \t]+[*$]*\w+=(?:'[^'\n]*'|"[^"\n]*"|[^\s:'"]+)|[ \t]+\*\$?\w+)*[ \t]*:(?!=)""", re.MULTILINE
)
_YAML_KEY = re.compile(r"""('[^']*'|"[^"]*"|[^\s'"].*?)[ \t]*:(?:\s|$)""")


def just_evidence(folder: ProjectFolder) -> str:
    """The justfile with a recipe `test` that needs no arguments."""
    # just takes any case of "justfile", and ".justfile".
    name = next((name for name in folder.names() if name.lower() in ("justfile", ".justfile")), "")
    return f"{name} has a recipe test" if name and _RECIPE.search(folder.text(name)) else ""


def task_evidence(folder: ProjectFolder) -> str:
    """The Taskfile with a task `test`."""
    names = folder.names()
    name = next((name for name in TASKFILE_NAMES if name in names), "")
    return f"{name} has a task test" if "test" in _tasks(folder.text(name)) else ""


def _tasks(text: str) -> list[str]:
    """The keys right below `tasks:`: the lines that are indented as its first one is."""
    keys: list[str] = []
    inside, indent = False, ""
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not line.startswith((" ", "\t")):
            inside = re.fullmatch(r"tasks:\s*(?:#.*)?", line) is not None
        elif inside:
            key = line.lstrip()
            indent = indent or line[: len(line) - len(key)]
            name = _YAML_KEY.match(key)
            if line == indent + key and name:
                keys.append(name[1].strip("'\""))
    return keys


async def _launch_just(
    folder: ProjectFolder, selection: TestSelection, why: str, environment: RunnerEnvironment
) -> TestCommand | None:
    return _launch(("just",), folder, selection, why, environment)


async def _launch_task(
    folder: ProjectFolder, selection: TestSelection, why: str, environment: RunnerEnvironment
) -> TestCommand | None:
    # Distributions that had another "task" already (Taskwarrior) call it go-task.
    return _launch(("go-task", "task"), folder, selection, why, environment)


def _launch(
    programs: tuple[str, ...], folder: ProjectFolder, selection: TestSelection, why: str, environment: RunnerEnvironment
) -> TestCommand | None:
    found = next(((name, path) for name in programs if (path := environment.runner.which(name))), None)
    if found is None or selection.targets or selection.name:
        return None
    return TestCommand(f"{programs[-1]} test", why, (found[1], "test"), f"{found[0]} test", folder.path)


JUST = TestRunner("just test", "just", just_evidence, _launch_just, read_exit_code)
TASK = TestRunner("task test", "Task", task_evidence, _launch_task, read_exit_code)
