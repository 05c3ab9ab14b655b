"""Runner file reader: a TOML file that describes a test runner of which only the exit code is known.

`runners/make.toml` is an example. `files` are regular expressions for file names, the best first: the first file that
is there must hold `contains` (a regular expression too). The first of `programs` that is installed is started with
`arguments`; one with a "/" is the project's own.
"""

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec

from kimi_agent.errors import UserError
from kimi_agent.workspace.testrun.commands_and_reports import TestCommand
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.runner import FIRST_TASK, LaunchRequest, TestRunner, read_exit_code

_Some = Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class _RunnerFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of a runner file; `evidence` may name the file that was found as {file}."""

    name: str
    ecosystem: str
    files: _Some
    programs: _Some
    contains: str = ""
    evidence: str = "{file}"
    arguments: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    order: int = FIRST_TASK

    def find_evidence(self, folder: ProjectFolder) -> str:
        found = [name for pattern in self.files for name in folder.names() if re.fullmatch(pattern, name)]
        holds = found and re.search(self.contains, folder.text(found[0]), re.MULTILINE)
        return self.evidence.replace("{file}", found[0]) if holds else ""

    async def launch(self, request: LaunchRequest) -> TestCommand | None:
        if not request.selection.is_whole:
            return None
        for name in self.programs:
            if path := _find_program(name, request):
                return request.command(self.name, (path, *self.arguments), (name, *self.arguments))
        return None


def read_runner_file(text: str) -> TestRunner:
    """The runner that a TOML text describes. Raises UserError for a text that describes none."""
    try:
        found = msgspec.convert(tomllib.loads(text), _RunnerFile)
        for pattern in (*found.files, found.contains):
            re.compile(pattern)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, re.error) as error:
        raise UserError(f"it describes no test runner: {error}") from error
    return TestRunner(
        *(found.name, found.ecosystem, found.find_evidence, found.launch, read_exit_code, found.suffixes),
        manifests=found.files,
        order=found.order,
    )


def _find_program(name: str, request: LaunchRequest) -> str | None:
    """The path of a program, None where it is missing or not the project's own."""
    if "/" not in name:
        return request.which(name)
    path = Path(os.path.realpath(request.folder.path / name))
    return str(path) if os.access(path, os.X_OK) and path.is_relative_to(request.folder.root) else None
