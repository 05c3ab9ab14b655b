"""Commits that would be lost: reachable from the tips and reflogs that go, and from no ref that stays."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.workspace.git.command import Git

_ENTRY = re.compile(rb"([0-9a-f]{40,64}) ([0-9a-f]{40,64}) [^\t\n]*(?:\t([^\n]*))?")
_OBJECT_ID = re.compile(rb"[0-9a-f]{40,64}")
_MOST_ENTRIES = 5_000
_MAX_BYTES = 16 << 20
_AMENDED = b"commit (amend)"
_FORMAT = "--format=%H%x00%at%x00%an%x00%ae%x00%h %s"


@dataclass(frozen=True)
class ReflogEntry:
    """One step of a ref: object ids (hex) before and after; `amended` says that `new` took the place of `old`."""

    old: str
    new: str
    amended: bool


@dataclass(frozen=True)
class _Commit:
    """`key` is what an amended or rebased copy keeps: its author, their time, and the subject."""

    id: str
    at: int
    key: tuple[str, ...]
    label: str


def read_reflog(path: Path) -> list[ReflogEntry]:
    """The newest entries of a reflog; none where it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _MAX_BYTES))
            found = _ENTRY.findall(file.read(_MAX_BYTES))
    except OSError:
        return []
    return [
        ReflogEntry(old.decode(), new.decode(), why.startswith(_AMENDED)) for old, new, why in found[-_MOST_ENTRIES:]
    ]


def read_worktree_refs(folder: Path) -> list[ReflogEntry]:
    """What a worktree's own refs (refs/worktree, refs/bisect, ORIG_HEAD) name, given where git keeps them."""
    found = []
    for file in (folder / "ORIG_HEAD", *sorted((folder / "refs").rglob("*"))):
        try:
            id = _OBJECT_ID.match(file.read_bytes()[:64]) if file.is_file() else None
        except OSError:
            continue
        if id is not None:
            found.append(ReflogEntry(id[0].decode(), id[0].decode(), amended=False))
    return found


def find_lost_commits(git: Git, tips: Iterable[str], reflog: Sequence[ReflogEntry], kept: Sequence[str]) -> list[str]:
    """The commits ("abc1234 subject") that `tips` (object ids) and the reflog reach, and the revisions `kept` do not.

    Of those that the reflog alone reaches, what was amended is left out, and what a rebase or a cherry-pick made
    anew elsewhere: it was replaced, not lost. Raises GitFailed.
    """
    amended = {entry.old for entry in reflog if entry.amended}
    now = _existing(git, tips)
    past = _existing(git, [id for entry in reflog for id in (entry.old, entry.new) if id not in amended])
    current = _log(git, now, "--not", *kept) if now else []
    dropped = _log(git, past, "--not", *now, *kept) if past else []
    if dropped:
        # No copy is committed before the time that its first version bears.
        since = f"--since={min(commit.at for commit in dropped) - 1}"
        held = {commit.key for commit in (*current, *_log(git, [], since, *kept))}
        dropped = [commit for commit in dropped if commit.key not in held]
    return [commit.label for commit in (*current, *dropped)]


def _existing(git: Git, ids: Iterable[str]) -> list[str]:
    """Those of the objects that are commits and still there."""
    asked = list(dict.fromkeys(id for id in ids if id.strip("0")))
    if not asked:
        return []
    rows = git.run("cat-file", "--batch-check", stdin="".join(f"{id}^{{commit}}\n" for id in asked).encode())
    found = [row.split() for row in rows.decode("utf-8", "replace").splitlines()]
    return list(dict.fromkeys(row[0] for row in found if len(row) == 3 and row[1] == "commit"))


def _log(git: Git, tips: Sequence[str], *args: str) -> list[_Commit]:
    # A replace ref could hide a commit behind another.
    out = git.run("log", _FORMAT, *tips, *args, "--", env={"GIT_NO_REPLACE_OBJECTS": "1"}).decode("utf-8", "replace")
    found = []
    for row in filter(None, out.split("\n")):
        id, at, name, email, label = row.split("\0", 4)
        seconds = int(at) if at.isdecimal() else 0
        found.append(_Commit(id, seconds, (at, name, email, label.partition(" ")[2]), label))
    return found
