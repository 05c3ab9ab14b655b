"""Owner lookup: whose tests each file of a workspace needs, by the project map of the files as they are."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING

from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.testrun.commands_and_reports import Owner
from kimi_agent.workspace.testrun.runner import TestRunner

if TYPE_CHECKING:
    from kimi_agent.workspace.testrun.choosing.project_map import ProjectMap


def make_owner_lookup(files: Files, own_runners: Mapping[str, TestRunner]) -> Callable[[str], Owner | None]:
    """What gives for a path (relative, with slashes) whose tests it needs, None where any run is good enough for it.

    Nothing is looked at before it is asked for the first time, which takes up to 0.3 s; what it saw then stays.
    """

    @cache
    def projects() -> "ProjectMap":
        from kimi_agent.workspace.testrun.choosing.project_map import ProjectMap
        from kimi_agent.workspace.testrun.registry import list_runners

        return ProjectMap(files, list_runners(own_runners))

    return lambda path: projects().owner(path)
