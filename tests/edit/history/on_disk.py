"""Whole versions on a real disk: a tree is written, a patch of all that changed is carried out, the tree is read."""

import os
import random
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kimi_agent.edit import WorkspaceFiles, commit_plan, plan_patch
from kimi_agent.errors import ToolError
from kimi_agent.workspace.confined_open import ConfinedOpener
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.files.outputs import Outputs
from kimi_agent.workspace.files.seen_files import SeenFiles
from kimi_agent.workspace.transaction.syscalls import FileSyscalls
from tests.edit.history.cases import Case, hunks_of
from tests.edit.history.noise import one_wrong_line
from tests.edit.history.rendering import envelope, unified, v4a
from tests.edit.history.trials import Outcome
from tests.edit.history.versions import File, FileChange, Version


class Quick(FileSyscalls):
    """Real system calls without the wait for the disk."""

    def __init__(self) -> None:
        super().__init__(ConfinedOpener())

    def sync(self, fd: int) -> None:
        pass


@dataclass(frozen=True)
class Step:
    """A tree, a patch for it, and the tree it must be then; `after` None: the patch must be refused."""

    before: Version
    patch: str
    after: Version | None


def unified_step(old: Version, new: Version, changes: Sequence[FileChange]) -> Step:
    """All that changed as one diff in git's form."""
    return Step(old, "".join(unified(change) for change in changes), new)


def v4a_step(old: Version, changes: Sequence[FileChange]) -> Step:
    """All that changed as one V4A patch, as far as V4A can say it."""
    said = [change for change in changes if change.kind != "update" or change.body_ops]
    after = dict(old)
    for change in said:
        after.pop(change.before_path, None)
    for change in said:
        if change.new is not None:
            after[change.path] = File(change.meaning(), bool(change.old and change.old.executable))
    return Step(old, envelope(v4a(change) for change in said), after)


def spoiled_step(old: Version, changes: Sequence[FileChange], dice: random.Random) -> Step | None:
    """One diff of all that changed, in which one line of one file is wrong."""
    able = [change for change in changes if change.kind == "update" and not change.has_cr and change.body_ops]
    if not able or len(changes) < 2:
        return None
    chosen = dice.choice(able)
    trial = one_wrong_line(Case(chosen, "unified", tuple(hunks_of(chosen, "unified")), dice))
    if trial is None:
        return None
    return Step(old, "".join(trial.patch if change is chosen else unified(change) for change in changes), None)


def walked(step: Step, folder: Path) -> Outcome:
    """Carry the step out in `folder`, which is empty."""
    root = folder / "tree"
    laid(root, step.before)
    seen_files = SeenFiles(lambda seen: None)
    outputs = Outputs(folder / "outputs")
    files = Files(
        root, outputs=outputs, seen_files=seen_files, home=folder, journal=folder / "journal", syscalls=Quick()
    )
    for path in step.before:
        name = files.shown(path)
        files.allow_reading(str(root / path))  # a name like .env would ask
        seen_files.record(name, files.read(path).sha256, whole=True)
    before = everything(root)
    try:
        commit_plan(plan_patch(step.patch, WorkspaceFiles(files)), files, around=2)
    except ToolError as error:
        whole = everything(root) == before and not any((folder / "journal").glob("*"))
        return Outcome("refused" if whole else "wrong", error.code, str(error))
    clean = not any((folder / "journal").glob("*"))
    return Outcome("exact" if step.after is not None and clean and found(root) == dict(step.after) else "wrong")


def laid(root: Path, version: Version) -> None:
    """Write the version out."""
    for path, file in version.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.data)
        target.chmod(0o755 if file.executable else 0o644)


def found(root: Path) -> dict[str, File]:
    """The version that stands below `root`."""
    paths = [path for path in root.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(root)): File(path.read_bytes(), bool(path.stat().st_mode & stat.S_IXUSR)) for path in paths
    }


def everything(root: Path) -> Mapping[str, Any]:
    """Bytes, modes, times and inodes of all files: what a refused patch must leave."""
    seen: dict[str, Any] = {}
    for path in root.rglob("*"):
        told: os.stat_result = path.lstat()
        data = path.read_bytes() if path.is_file() else b""
        seen[str(path)] = (data, told.st_mode, path.is_file() and (told.st_mtime_ns, told.st_ino))
    return seen
