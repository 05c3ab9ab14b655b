"""A session in which turns change files, on real snapshots or on quick ones: what tests of going back play on."""

import hashlib
import json
import os
import stat
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kimi_agent.log.event_parts import Fingerprint
from kimi_agent.log.events import CallStarted, Checkpoint, Effect, Opened, Returned, Said, TurnEnded
from kimi_agent.log.messages import Assistant, Call, user_message
from kimi_agent.log.store.session import Session
from kimi_agent.log.views import Result
from kimi_agent.rewind.rewinder import Rewinder
from kimi_agent.workspace.checkpoint import Checkpoints, PathChange, Snapshot, SnapshotError, TreeEntry, UnkeptPaths
from kimi_agent.workspace.checkpoint.snapshot_values import FolderModeChange
from kimi_agent.workspace.confined_open import ConfinedOpener
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.files.outputs import Outputs
from kimi_agent.workspace.files.seen_files import SeenFiles
from kimi_agent.workspace.paths import is_beneath
from kimi_agent.workspace.transaction.syscalls import FileSyscalls


class Quick(FileSyscalls):
    """Real system calls without the wait for the disk."""

    def sync(self, fd: int) -> None:
        pass

    def sync_all(self) -> None:
        pass


class InMemory:
    """Snapshots as a value: what `Checkpoints` says of a workspace, without git.

    A rule is a line "/PATH" in the workspace's `.gitignore`; `tracked` are paths that no rule hides.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.tracked: set[str] = set()
        self._last: set[str] = set()
        self._unkept: dict[str, frozenset[str]] = {}
        self._also: dict[str, tuple[str, ...]] = {}
        self._extra: dict[str, set[str]] = {}
        self._trees: dict[str, dict[str, TreeEntry]] = {"": {}}
        self._contents: dict[str, bytes] = {}

    def take(self, also: Sequence[str] = (), *, newly_ignored: bool = False) -> Snapshot:
        tree: dict[str, TreeEntry] = {}
        unkept, extra, kept = set[str](), set[str](), set[str]()
        rules = (self._root / ".gitignore").read_text().split() if (self._root / ".gitignore").is_file() else []
        hidden = [] if not newly_ignored else sorted(self._last)
        for folder, folders, names in os.walk(self._root):
            folders[:] = [each for each in folders if each != ".git"]
            for name in (*folders, *names):
                path = os.path.join(folder, name)
                link = os.path.islink(path)
                if not link and not os.path.isfile(path):
                    continue
                relative = os.path.relpath(path, self._root)
                if self._is_ignored(relative, rules):
                    if not any(is_beneath(relative, each) for each in (*also, *hidden)):
                        unkept.add(relative)
                        continue
                    extra.add(relative)
                else:
                    kept.add(relative)
                data = os.fsencode(os.readlink(path)) if link else Path(path).read_bytes()
                id_ = hashlib.sha1(b"blob %d\0%b" % (len(data), data), usedforsecurity=False).hexdigest()
                mode = 0 if link else stat.S_IMODE(os.stat(path).st_mode) & 0o777
                tree[os.path.relpath(path, self._root)] = TreeEntry("link" if link else "file", mode, len(data), id_)
                self._contents[id_] = data
        scope = tuple(sorted({*also, *(extra & set(hidden))}))
        name = hashlib.sha1(repr((sorted(tree.items()), scope)).encode(), usedforsecurity=False).hexdigest()
        self._trees[name], self._also[name], self._extra[name], self._last = tree, scope, extra, kept
        listing = hashlib.sha1(repr(sorted(unkept)).encode(), usedforsecurity=False).hexdigest()
        self._unkept[listing] = frozenset(unkept)
        return Snapshot(name, unkept=listing)

    def _is_ignored(self, path: str, rules: Sequence[str]) -> bool:
        return path not in self.tracked and any(is_beneath(path, rule.strip("/")) for rule in rules)

    def _knows(self, tree: str, path: str, other: str) -> bool:
        """Whether `tree` can prove `path` absent: not if only `other` was asked for that ignored file."""
        asked = any(is_beneath(path, each) for each in self._also.get(tree, ()))
        return asked or path not in self._extra.get(other, ())

    def changes(self, old: str, new: str) -> tuple[PathChange, ...]:
        if old not in self._trees or new not in self._trees:
            raise SnapshotError("that snapshot is gone")
        before, after = self._trees[old], self._trees[new]
        paths = sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
        if old and new:
            paths = [path for path in paths if path in after or self._knows(new, path, old)]
            paths = [path for path in paths if path in before or self._knows(old, path, new)]
        return tuple(PathChange(path, before.get(path), after.get(path)) for path in paths)

    def content(self, entry: TreeEntry) -> bytes:
        return self._contents[entry.id]

    def read(self, tree: str, path: str) -> bytes | None:
        kept = self._trees[tree].get(path)
        return None if kept is None else self._contents[kept.id]

    def entry_at(self, tree: str, path: str) -> TreeEntry | None:
        return self._trees[tree].get(path)

    def has_folder(self, tree: str, path: str) -> bool:
        return any(each.startswith(path + "/") for each in self._trees[tree])

    def missed(self, tree: str) -> tuple[str, ...]:
        return ()

    def unkept(self, listing: str) -> UnkeptPaths | None:
        return UnkeptPaths(self._unkept[listing]) if listing else None

    def folder_mode(self, tree: str, path: str) -> int | None:
        return None

    def folder_mode_changes(self, old: str, new: str) -> tuple[FolderModeChange, ...]:
        return ()

    def has(self, tree: str) -> bool:
        return tree in self._trees

    def requested_ignored(self, tree: str) -> tuple[str, ...]:
        return self._also.get(tree, ())

    def held_ignored(self, tree: str) -> tuple[str, ...]:
        return tuple(self._extra.get(tree, ()))

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Acting:
    """What happens during a call: an edit that names `paths`, or a shell `command`."""

    act: Callable[[Path], object]
    paths: tuple[str, ...] = ()
    command: str = ""

    def __call__(self, root: Path) -> None:
        self.act(root)


@dataclass
class Play:
    """One session on one workspace, in `folder`; `turn` plays a turn of which each call does something to the files."""

    folder: Path
    root: Path
    session: Session
    checkpoints: Checkpoints | InMemory
    files: Files
    rewinder: Rewinder
    trees: dict[str, dict[str, str]] = field(default_factory=dict)
    clock: list[float] = field(default_factory=lambda: [1.0])
    """The time now (Unix seconds), its one element, as the session's log will have it."""

    def turn(self, prompt: str, *calls: Callable[[Path], object], failed: str = "") -> int:
        """A prompt, one answer with these calls, and the end; gives back the record of the prompt."""
        start = self.session.emit(Said(user_message(prompt))).seq
        acts = [each if isinstance(each, Acting) else Acting(each) for each in calls]
        made = tuple(Call(f"f:{at}", "shell", json.dumps({"command": act.command})) for at, act in enumerate(acts))
        answer = self.session.emit(Said(Assistant("", None, made))).seq if made else 0
        for index, call in enumerate(acts):
            named = [str(self.root / path) for path in call.paths] if self.git else call.paths
            before = self.take(named)
            self.session.emit(
                Checkpoint("", "before", answer, index, failed=failed)
                if failed
                else Checkpoint(before.tree, "before", answer, index, before.missed[:20], unkept=before.unkept)
            )
            effect: Effect = "write" if call.paths else "execute"
            seen = tuple(Fingerprint(path, "") for path in call.paths)
            self.session.emit(CallStarted(answer, index, "shell", effect, seen))
            call(self.root)
            after = self.take(named, newly_ignored=True)
            if after.tree != before.tree and not failed:
                self.session.emit(Checkpoint(after.tree, "after", answer, index, after.missed[:20]))
            self.session.emit(Returned(answer, index, Result("ok")))
        self.session.emit(Said(Assistant(f"done: {prompt}")))
        self.session.emit(TurnEnded("done", 2))
        return start

    @property
    def git(self) -> bool:
        """Whether git keeps the snapshots."""
        return not isinstance(self.checkpoints, InMemory)

    def track(self, path: str, *, tracked: bool) -> None:
        """Put a path into the repository's index, or take it out."""
        if isinstance(self.checkpoints, InMemory):
            (self.checkpoints.tracked.add if tracked else self.checkpoints.tracked.discard)(path)
        elif (self.root / ".git").is_dir():
            how = ["add", "-f"] if tracked else ["rm", "-q", "-r", "--cached", "--ignore-unmatch"]
            subprocess.run(["git", *how, "--", path], cwd=self.root, check=False, stderr=subprocess.DEVNULL)

    def take(self, also: Sequence[str] = (), *, newly_ignored: bool = False) -> Snapshot:
        """A snapshot; what stands is remembered under its name."""
        found = self.checkpoints.take(also, newly_ignored=newly_ignored)
        self.trees.setdefault(found.tree, stands(self.root))
        return found

    def close(self) -> None:
        self.session.close()
        self.checkpoints.close()


def begin(folder: Path, *, git: bool) -> Play:
    """A new session in an empty workspace, its snapshots kept by git or in memory."""
    root = folder / "a workspace"
    root.mkdir(parents=True)
    opened = Opened("s", str(root), "kimi", "0")
    clock = [1.0]
    session = Session.create(folder / "state/s", opened, now=lambda: clock[0], sync=lambda fd: None)
    play = _play(folder, root, session, _git(folder, root) if git else InMemory(root))
    play.clock = clock
    return play


def resumed(play: Play) -> Play:
    """The same session in another process."""
    play.close()
    session = Session.resume(play.folder / "state/s", now=lambda: 2.0, sync=lambda fd: None)
    kept = play.checkpoints if isinstance(play.checkpoints, InMemory) else _git(play.folder, play.root)
    again = _play(play.folder, play.root, session, kept)
    again.trees.update(play.trees)
    return again


def _git(folder: Path, root: Path) -> Checkpoints:
    return Checkpoints(root, folder / "state/store", environ={**os.environ, "HOME": str(folder)})


def _play(folder: Path, root: Path, session: Session, checkpoints: Checkpoints | InMemory) -> Play:
    state = folder / "state"
    seen_files = SeenFiles(session.emit)
    seen_files.rebuild(session.events())
    files = Files(
        root,
        outputs=Outputs(state / "outputs"),
        seen_files=seen_files,
        home=folder,
        journal=state / "journal",
        syscalls=Quick(ConfinedOpener()),
    )
    return Play(folder, root, session, checkpoints, files, Rewinder(session, checkpoints, files))


def stands(root: Path) -> dict[str, str]:
    """All files and links below `root`, with mode and content; folders only by what is in them."""
    found: dict[str, str] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if name.split("/")[0] == ".git":
            continue
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
            found[name] = f"{stat.S_IMODE(path.stat().st_mode):o} {digest} {path.read_bytes()[:40]!r}"
    return found


def write(name: str, text: str, mode: int = 0o644) -> Callable[[Path], object]:
    """A call that writes a file."""

    def do(root: Path) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    return do


def delete(*names: str) -> Callable[[Path], object]:
    """A call that deletes files."""

    def do(root: Path) -> None:
        for name in names:
            (root / name).unlink()

    return do


def named(files: Sequence[object]) -> list[str]:
    """The letters and paths of diffs."""
    return [f"{getattr(each, 'change', '?')} {getattr(each, 'path', '?')}" for each in files]
