"""Workspace of a subcommand: the `--cd` option, and the settings of the folder that it names."""

import os
from collections.abc import Sequence
from typing import Annotated

from typer import Option

from kimi_agent.app.bootstrap import Setup, load_setup

Directory = Annotated[str, Option("-C", "--cd", metavar="DIR", help="The workspace (default: here).")]


def setup_in(directory: str, sets: Sequence[str] = ()) -> Setup:
    """The settings in `directory` ("" for the cwd). Raises UserError."""
    return load_setup({}, sets=sets, directory=directory, environ=os.environ, trust=False)
