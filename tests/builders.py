"""Builders of real capabilities on a folder: what a test doesn't care about is filled in."""

import os
from pathlib import Path
from typing import Any

from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.files.outputs import Outputs
from kimi_agent.workspace.files.seen_files import SeenFiles
from kimi_agent.workspace.process.process_runner import ProcessRunner


def make_files(root: Path, state: Path, **given: Any) -> Files:
    """Files of `root`, with outputs and the journal under `state`; its seen files are reported to nobody."""
    usual: dict[str, Any] = {
        "outputs": Outputs(state / "outputs"),
        "seen_files": SeenFiles(lambda seen: None),
        "home": root.parent,
        "journal": state / "journal",
    }
    return Files(root, **(usual | given))


def make_runner(root: Path, state: Path, **given: Any) -> ProcessRunner:
    """A runner in `root`, with outputs and the register of what runs under `state`; the tester's own environment."""
    usual: dict[str, Any] = {
        "root": root,
        "cwd": root,
        "outputs": Outputs(state / "outputs"),
        "environ": os.environ,
        "register": state / "running",
    }
    return ProcessRunner(**(usual | given))
