"""deno test, or the task `test` of a deno.json."""

import asyncio
from functools import partial

from kimi_agent.workspace.testrun.commands_and_reports import TestCommand
from kimi_agent.workspace.testrun.formats.javascript.script_report import PARTS_FILE, read_script_report
from kimi_agent.workspace.testrun.projects.deno_project import find_deno_evidence, read_deno_task
from kimi_agent.workspace.testrun.projects.node_project import is_installed
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.runner import LaunchRequest, TestRunner
from kimi_agent.workspace.testrun.runners.node import NODE_SUFFIXES
from kimi_agent.workspace.testrun.runners.node_launch import adopt_script, default_script, path_prefix, start_script


def _launch(request: LaunchRequest) -> TestCommand | None:
    folder = request.folder
    if request.which("deno") is None and not is_installed("deno", folder):
        return None
    text, task = read_deno_task(folder)
    if not text:
        return start_script(request, default_script("deno"))
    if task.runners:
        return start_script(request, task, name="deno task test")
    if not request.selection.is_whole:
        return None
    shown = "deno task test"
    argv = ("/bin/sh", "-c", path_prefix(folder) + shown)
    files = {PARTS_FILE: "{}"}  # its exit code is all that is known
    return TestCommand(shown, request.why, argv, shown, folder.path, {}, files)


async def _launch_task(request: LaunchRequest) -> TestCommand | None:
    return await asyncio.to_thread(_launch, request)


def _covers(folder: ProjectFolder, below: str) -> bool:
    # It collects the test files of all folders, of members of its workspace too.
    return not read_deno_task(folder)[0] and not find_deno_evidence(folder.subfolder(below)).endswith("task test")


DENO = TestRunner(
    *("deno test", "JavaScript", find_deno_evidence, _launch_task, partial(read_script_report, runner="deno")),
    suffixes=NODE_SUFFIXES,
    adopt=partial(adopt_script, "deno"),
    manifests=(r"deno\.jsonc?",),
    order=19,
    covers=_covers,
)
