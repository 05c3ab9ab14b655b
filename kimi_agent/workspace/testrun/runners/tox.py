"""tox and nox: the last resort for Python, for they build environments; read from the text of what runs inside."""

import itertools
import re
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from kimi_agent.log.views import TestCase
from kimi_agent.workspace.testrun.projects.project_folder import Folder
from kimi_agent.workspace.testrun.reports.cases import BAD, merged
from kimi_agent.workspace.testrun.reports.failure_excerpt import clean, first_line, within
from kimi_agent.workspace.testrun.runner import Bench, Ran, Row, read_exit
from kimi_agent.workspace.testrun.runners import pytest as pytest_row
from kimi_agent.workspace.testrun.runners import unittest as unittest_row
from kimi_agent.workspace.testrun.values import Launch, Reading, Wish

_STARTS = re.compile(r"^=+ test session starts =+$")
_SHORT = re.compile(r"^(?:FAILED|ERROR) (?P<id>\S+?::.+?)(?: - (?P<message>.*))?$")
_UNITTEST_RAN = re.compile(r"^Ran \d+ tests? in ")
_TESTED_BY_TOX = re.compile(r"^\[(?:tox|testenv|tool\.tox)\b", re.MULTILINE)
# One line for each test; nox passes it on, tox where it is told to.
_PYTEST = "--verbosity=1 --tb=short"


def tox_evidence(folder: Folder) -> str:
    """The file that configures tox."""
    for name in ("tox.ini", "setup.cfg", "pyproject.toml"):
        if _TESTED_BY_TOX.search(folder.text(name)):
            return f"{name} configures tox"
    return "tox.toml" if "tox.toml" in folder.names() else ""


def nox_evidence(folder: Folder) -> str:
    """nox's file."""
    return "noxfile.py" if "noxfile.py" in folder.names() else ""


async def _launch_tox(folder: Folder, wish: Wish, why: str, bench: Bench) -> Launch | None:
    tox = bench.runner.which("tox")
    if tox is None or wish.targets or wish.name:
        return None
    real = (tox, "run", "-q", "-x", "testenv.pass_env+=PYTEST_ADDOPTS")
    return Launch("tox", why, real, "tox -q", folder.path, {"PYTEST_ADDOPTS": _PYTEST})


async def _launch_nox(folder: Folder, wish: Wish, why: str, bench: Bench) -> Launch | None:
    nox = bench.runner.which("nox")
    if nox is None or wish.targets or wish.name:
        return None
    return Launch("nox", why, (nox,), "nox", folder.path, {"PYTEST_ADDOPTS": _PYTEST})


def read(ran: Ran) -> Reading:
    """The tests of all environments, each with its worst outcome; the exit code where no text was understood."""
    lines = [clean(line).rstrip() for line in ran.lines]
    cases = merged(_with_messages(_of_sessions(lines, ran), lines, ran))
    if not cases and any(_UNITTEST_RAN.match(line) for line in lines):
        return unittest_row.read(lines, root=ran.root, folder=ran.folder)
    if not cases:
        return read_exit(ran)
    failed = ran.exit_code not in (0, None) and not any(case.outcome in BAD for case in cases)
    return Reading(cases, claim="failed" if failed else "")


def _of_sessions(lines: list[str], ran: Ran) -> Iterator[TestCase]:
    starts = [number for number, line in enumerate(lines) if _STARTS.match(line)]
    for start, end in itertools.pairwise([*starts, len(lines)]):
        yield from pytest_row.read(None, lines[start:end], root=ran.root, folder=ran.folder.path).cases


def _with_messages(cases: Iterable[TestCase], lines: list[str], ran: Ran) -> Iterator[TestCase]:
    spelled = within(ran.root, ran.folder.path)
    messages = {}
    for line in lines:
        if short := _SHORT.match(line):
            path, _, node = short["id"].partition("::")
            messages[f"{spelled(path) or path}::{node}"] = first_line(short["message"] or "")
    for case in cases:
        yield replace(case, message=messages.get(case.id, "")) if case.outcome in BAD else case


TOX = Row("tox", "Python", tox_evidence, _launch_tox, read, (".py",))
NOX = Row("nox", "Python", nox_evidence, _launch_nox, read, (".py",))
