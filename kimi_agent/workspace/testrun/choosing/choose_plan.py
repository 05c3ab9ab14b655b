"""Deciding what a call of run_tests starts: a given command, one that was told or worked, or a row of the table."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

from kimi_agent.errors import ToolError
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.testrun.choosing.documented_commands import agents_command, ci_commands
from kimi_agent.workspace.testrun.choosing.given_command import as_written, first_program, is_bare_pytest
from kimi_agent.workspace.testrun.choosing.run_plan import OF_CALL, Plan, Worked
from kimi_agent.workspace.testrun.projects.manifests import has_manifest
from kimi_agent.workspace.testrun.projects.project_folder import Folder
from kimi_agent.workspace.testrun.registry import TABLE
from kimi_agent.workspace.testrun.runner import Bench, Row
from kimi_agent.workspace.testrun.values import Target, Wish

_TOLD = "AGENTS.md"


def given(files: Files, command: str, folder: Path, report: Path) -> Plan:
    """The command of a call, as it is written."""
    return _written(files, command, folder, OF_CALL, report)


async def detect(files: Files, wish: Wish, bench: Bench, *, configured: str, worked: Worked | None) -> Plan:
    """What runs `wish`, in this order: the person's command, AGENTS.md's, the one that worked, the nearest row's.

    A command runs all that it runs, so it serves only where nothing is chosen. Raises ToolError where nothing is found.
    """
    chosen = bool(wish.targets or wish.name)
    start = _start(files, wish.targets)
    why = ""
    if not chosen:
        if configured:
            return _written(files, configured, files.root, "configured test command", bench.report, whole=True)
        told, why = await asyncio.to_thread(_of_agents, files, start, bench)
        if told is not None:
            return told
        if worked is not None and worked.parsed:
            return _written(files, worked.command, worked.folder, "it worked in this session", bench.report)
    refused: list[str] = []
    found = await _of_table(files, wish, bench, why, refused)
    if found is not None:
        return found
    if worked is not None and not chosen:
        # Only its exit code spoke for it, so it comes after what is known to run tests.
        return _written(files, worked.command, worked.folder, "it worked in this session", bench.report)
    raise await asyncio.to_thread(_nothing, files, start, chosen, refused)


def _written(files: Files, command: str, folder: Path, why: str, report: Path, *, whole: bool = False) -> Plan:
    place = Folder(files, folder)
    launch, read = as_written(command, place, why, report)
    return Plan(launch, read, place, whole=whole)


def _of_agents(files: Files, start: Path, bench: Bench) -> tuple[Plan | None, str]:
    """The command of the nearest AGENTS.md, if it can be started; else what is to be said of it."""
    for path in upwards(start, files.root):
        command = agents_command(Folder(files, path).text(_TOLD))
        if not command:
            continue
        name = str((path / _TOLD).relative_to(files.root))
        if is_bare_pytest(command):
            return None, f"{name}; "
        program = first_program(command)
        there = (path / program).exists() if "/" in program else bench.runner.which(program) is not None
        if there or not program:
            return _written(files, command, path, name, bench.report, whole=True), ""
        return None, f"{name} says {command!r}, but there is no {program}; "
    return None, ""


async def _of_table(files: Files, wish: Wish, bench: Bench, before: str, refused: list[str]) -> Plan | None:
    """The first row, from the targets' folder upwards, that can do it; those that cannot are named in `refused`."""
    for path in upwards(_start(files, wish.targets), files.root):
        folder = Folder(files, path)
        hits = await asyncio.to_thread(_hits, folder)
        for row, why in hits:
            others = dict.fromkeys(other.runner for other, _ in hits if other.ecosystem != row.ecosystem)
            if not _suits(row, wish, [other for other, _ in hits]):
                continue
            also = f"; also found: {', '.join(others)}" if others else ""
            launch = await row.launch(folder, wish, before + why + also, bench)
            if launch is not None:
                return Plan(launch, row.read, folder, wish, whole=not (wish.targets or wish.name))
            refused.append(f"{row.runner} ({why})")
    return None


def _hits(folder: Folder) -> list[tuple[Row, str]]:
    if folder.path != folder.root and not has_manifest(folder):
        return []
    return [(row, why) for row in TABLE if (why := row.evidence(folder))]


def _suits(row: Row, wish: Wish, hits: list[Row]) -> bool:
    """Whether none of the targets is a file that plainly belongs to another ecosystem's runner here."""
    theirs = {suffix for other in hits if other.ecosystem != row.ecosystem for suffix in other.suffixes}
    foreign = theirs - set(row.suffixes)
    return not any(target.path.suffix in foreign and not target.path.is_dir() for target in wish.targets)


def _nothing(files: Files, start: Path, chosen: bool, refused: list[str]) -> ToolError:
    how = " that can be given targets or a name" if chosen else ""
    looked = f"looked for: {', '.join(row.runner for row in TABLE)}"
    if refused:
        cannot = "is not installed, or cannot select that" if chosen else "is not installed"
        looked = f"{', '.join(refused)} {cannot}"
    offered = list(
        dict.fromkeys(each for path in upwards(start, files.root) for each in ci_commands(Folder(files, path)))
    )
    run = f"; CI runs: {'; '.join(offered[:5])}" if offered else ""
    example = f"'{offered[0]}'" if offered and "'" not in offered[0] else "'...'"
    return ToolError(
        "not_found",
        f"found nothing that says how tests are run here{how} ({looked}){run}",
        f"pass command={example} with the project's own test command",
    )


def _start(files: Files, targets: tuple[Target, ...]) -> Path:
    folders = [target.path if target.path.is_dir() else target.path.parent for target in targets]
    return Path(os.path.commonpath(folders)) if folders else files.cwd


def upwards(folder: Path, root: Path) -> Iterator[Path]:
    """`folder` and the folders above it, to `root`."""
    yield folder
    while folder != root and root in folder.parents:
        folder = folder.parent
        yield folder
