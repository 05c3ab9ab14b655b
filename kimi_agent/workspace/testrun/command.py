"""A test command of the person's or the model's own: run as written, read closely where it is a known runner."""

import itertools
import re
import shlex
from pathlib import PurePath

from kimi_agent.workspace.testrun import pytest_row
from kimi_agent.workspace.testrun.folder import Folder
from kimi_agent.workspace.testrun.row import Ran, Read
from kimi_agent.workspace.testrun.rows import read_exit, read_pytest, read_unittest
from kimi_agent.workspace.testrun.values import Launch, Reading

# With any of these the end of the text is not surely the end of the runner's own words.
_OPERATORS = re.compile(r"[;&|<>\n#`()\\]")
_ASSIGNMENT = re.compile(r"\w+=\S*")
_CARRIERS = {"uv", "poetry", "pdm", "pipenv", "hatch", "rye"}


def as_written(command: str, folder: Folder, why: str, report: str) -> tuple[Launch, Read]:
    """`command` ready to run in `folder`, with options added that make a known runner tell what it did."""
    runner, more, read = "command", "", read_exit
    match _plain_runner(command):
        case "pytest":
            runner, more, read = "pytest", shlex.join(pytest_row.reporting(report, folder)), _read_pytest
        case "unittest":
            runner, more, read = "unittest", "-v", read_unittest
    argv = ("/bin/sh", "-c", f"{command} {more}".rstrip())
    return Launch(runner, why, argv, command, folder.path, {"PYTHONDONTWRITEBYTECODE": "1"}), read


def _read_pytest(ran: Ran) -> Reading:
    reading = read_pytest(ran)
    # Something called pytest that wrote no report (a wrapper, say) is still a command with an exit code.
    return read_exit(ran) if not reading.whole and not reading.cases and ran.exit_code in (0, 1) else reading


def _plain_runner(command: str) -> str:
    """The known runner that `command` starts with nothing around it: "pytest", "unittest" or ""."""
    try:
        words = [] if _OPERATORS.search(command) else shlex.split(command)
    except ValueError:
        return ""
    while words and _ASSIGNMENT.fullmatch(words[0]):
        words = words[1:]
    if "--" in words or not words:
        return ""
    if PurePath(words[0]).name in ("pytest", "py.test"):
        return "pytest"
    if words[0] in _CARRIERS and words[1:2] == ["run"] and "pytest" in words[2:4]:
        return "pytest"
    for flag, module in itertools.pairwise(words[:7]):
        if flag == "-m" and module in ("pytest", "unittest"):
            return module
    return ""
