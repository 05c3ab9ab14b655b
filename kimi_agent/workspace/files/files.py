"""The files of the workspace: the one door through which they are read, listed and written."""

import errno
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kimi_agent.errors import NeedsConsent, ToolError
from kimi_agent.log.events import Fingerprint
from kimi_agent.workspace.confined_open import FOLDER, Beneath
from kimi_agent.workspace.file_change import FileChange
from kimi_agent.workspace.files.listing import Entry, Kind, irregular, kind, listed, similar, unreadable
from kimi_agent.workspace.files.outputs import PREFIX, Outputs
from kimi_agent.workspace.files.seen_files import Ledger
from kimi_agent.workspace.paths import Place, Places, beneath, is_sensitive, named
from kimi_agent.workspace.transaction import recovery
from kimi_agent.workspace.transaction.commit import Step, commit, step
from kimi_agent.workspace.transaction.syscalls import Ops

__all__ = ["Entry", "FileBytes", "Files"]

Names = list[str]  # inside the class below, `list` is a method

MAX_FINGERPRINT = 100_000_000  # bytes; bigger files have no fingerprint


@dataclass(frozen=True)
class FileBytes:
    """A file as it was read at once: `path` as `shown`, permission bits, and how many names it has."""

    path: str
    data: bytes
    sha256: str
    mode: int
    links: int


class Files:
    """Reads and writes below `root` and the `added` folders; asks for consent to read elsewhere, writes nowhere else.

    Every method takes any spelling (relative to `cwd`, absolute, `~`, `..`, through links) and judges where it leads.
    `private` folders (our state and configuration) are neither read nor written; `journal` is where commits are noted.
    `in_git` says whether the user's git holds just these bytes for a path as `shown`, so that no reading is due.
    """

    def __init__(
        self,
        root: Path,
        *,
        outputs: Outputs,
        ledger: Ledger,
        home: Path,
        cwd: Path | None = None,
        added: Sequence[Path] = (),
        private: Sequence[Path] = (),
        journal: Path,
        ops: Ops | None = None,
        in_git: Callable[[str, bytes], bool] = lambda path, data: False,
    ) -> None:
        self.root = Path(os.path.realpath(root))
        self.cwd = Path(os.path.realpath(cwd or root))
        self.outputs = outputs
        self.ledger = ledger
        self.in_git = in_git
        self._beneath = Beneath()
        self._ops = ops or Ops(self._beneath)
        self._journal = journal
        self._private = tuple(os.path.realpath(folder) for folder in private)
        roots = [str(self.root), *(os.path.realpath(folder) for folder in added)]
        self._places = Places(roots, cwd=str(self.cwd), home=str(home))
        self._allowed: set[str] = set()
        self._writing_lock = threading.Lock()

    def shown(self, spelling: str) -> str:
        """The one spelling of a path for results, ledger and changes: workspace-relative, or absolute outside of it."""
        return spelling if spelling.startswith(PREFIX) else self._shown(self._places.find(spelling))

    def readable(self, spelling: str) -> Path:
        """The resolved path of a file or folder that may be read (for ripgrep). Raises ToolError, NeedsConsent."""
        if spelling.startswith(PREFIX):
            return self.outputs.path(spelling)
        return Path(self._may_read(spelling).path)

    def writable(self, spelling: str) -> str:
        """The path as `shown`, if a file may be written there. Raises ToolError (outside, git_internal, refused, ...).

        For a tool's preview: nobody should be asked to allow what the commit would refuse.
        """
        if spelling.startswith(PREFIX):
            raise ToolError("refused", f"{named(spelling)} is kept output: it can only be read", "name a file instead")
        return self._shown(self._may_write(spelling, self._places.find(spelling)))

    def kind(self, spelling: str) -> Kind:
        """What stands at `spelling`, every link followed. Raises ToolError for what can be no path."""
        if spelling.startswith(PREFIX):
            return "file" if self.outputs.path(spelling) else "missing"
        return kind(self._places.find(spelling))

    def read(self, spelling: str, *, max_bytes: int = 100_000_000) -> FileBytes:
        """The whole file, also `output:ID`. Raises ToolError (missing, not_regular, failed if larger), NeedsConsent."""
        place = None if spelling.startswith(PREFIX) else self._may_read(spelling)
        shown = self._shown(place) if place else spelling
        with self._opened(spelling, place) if place else self.open(spelling) as file:
            found = os.fstat(file.fileno())
            data = b"" if found.st_size > max_bytes else file.read(max_bytes + 1)
        if found.st_size > max_bytes or len(data) > max_bytes:
            size = max(found.st_size, len(data))
            text = f"{named(shown)} has {size:,} bytes, more than the {max_bytes:,} that can be taken at once"
            raise ToolError("failed", text, "read a part with read_file(offset, limit), or use the shell")
        return FileBytes(shown, data, hashlib.sha256(data).hexdigest(), stat.S_IMODE(found.st_mode), found.st_nlink)

    def open(self, spelling: str) -> BinaryIO:
        """A regular file to stream from, also `output:ID`. Raises ToolError (missing, not_regular), NeedsConsent."""
        if spelling.startswith(PREFIX):
            return self.outputs.path(spelling).open("rb")
        return self._opened(spelling, self._may_read(spelling))

    def _opened(self, spelling: str, place: Place) -> BinaryIO:
        if place.stat is None:
            raise self._missing(spelling, place)
        if not stat.S_ISREG(place.stat.st_mode):
            raise irregular(spelling, place.stat.st_mode)
        fd = self._descriptor(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(fd)
            raise irregular(spelling, found.st_mode)
        return os.fdopen(fd, "rb")

    def similar(self, spelling: str, most: int = 3) -> Names:
        """Paths of the workspace whose names are like that of `spelling`, best first; looks at a bounded number."""
        return similar(str(self.root), spelling, most)

    def commit(self, changes: Sequence[FileChange]) -> Names:
        """Write all `changes` or none; returns notes for the result. Raises ToolError: then nothing is different.

        Their paths start at `root`, as `shown` spells them; contents are in the ledger afterwards.
        Codes: stale, exists, missing, outside, git_internal, refused, not_regular, bad_arguments, io.
        """
        with self._writing_lock:
            steps = [self._step(change) for change in changes]
            if len({(each.entry.root, each.entry.folder, each.entry.name) for each in steps}) < len(steps):
                raise ToolError("bad_arguments", "one file is changed twice in this call; nothing was written")
            done = commit(steps, workspace=str(self.root), papers=self._journal, ops=self._ops) if steps else []
        for each in done:
            self.ledger.saw(each.entry.shown, each.entry.after or "", whole=True, by="write", stat=each.stat)
        return [
            f"hard link split: {each.entry.shown} (its other names keep the old text)" for each in done if each.split
        ]

    def carry_out(self, steps: Sequence[Step], *, emptied: Sequence[tuple[str, str]] = ()) -> None:
        """Carry out what a person asked for (see `checkpoint.restore`), all of it or nothing. Raises ToolError.

        The places of `steps` are below `root`; the ledger is the caller's to mend.
        """
        with self._writing_lock:
            commit(steps, workspace=str(self.root), papers=self._journal, ops=self._ops, emptied=emptied)

    def allow_reading(self, path: str) -> None:
        """A person allowed reading `path` (absolute, resolved) and, if it is a folder, what lies under it.

        A sensitive name under an allowed folder still asks: only its own path allows it.
        """
        self._allowed.add(path)

    def fingerprints(self, spellings: Iterable[str]) -> tuple[Fingerprint, ...]:
        """Hashes of what the spellings name now; "" for what is no readable regular file inside, or over 100 MB."""
        return tuple(self._fingerprint(spelling) for spelling in spellings)

    def changed(self) -> Names:
        """The paths whose content is no longer what the ledger knows (also: gone, or there again)."""
        return [path for path in self.ledger.paths() if not self._as_known(path)]

    def recover(self) -> Names:
        """Finish or take back what a crash of an earlier process cut short; a sentence for each, [] if nothing was."""
        return recovery.recover(self._journal, str(self.root), self._ops)

    def list(self, spelling: str) -> list[Entry]:
        """What a folder holds, by name. Raises ToolError (missing, not_regular, io), NeedsConsent."""
        place = self._may_read(spelling)
        if place.stat is None:
            raise self._missing(spelling, place)
        if not stat.S_ISDIR(place.stat.st_mode):
            raise ToolError("not_regular", f"{named(spelling)} is not a folder", "use read_file")
        fd = self._descriptor(place, os.O_RDONLY | FOLDER)
        try:
            with os.scandir(fd) as entries:
                found = [listed(entry) for entry in entries]
        except OSError as error:
            raise unreadable(spelling, error) from error
        finally:
            os.close(fd)
        return sorted(found, key=lambda entry: entry.name)

    def _shown(self, place: Place) -> str:
        root = str(self.root)
        if place.path == root:
            return "."
        return place.path[len(root) :].lstrip("/") if beneath(place.path, root) else place.path

    def _may_read(self, spelling: str) -> Place:
        place = self._places.find(spelling)
        self._not_private(place)
        allowed = any(beneath(place.path, path) for path in self._allowed)
        if not place.root and not allowed:
            text = f"{named(spelling)} leads to {named(place.path)}, outside of the workspace {named(str(self.root))}"
            raise NeedsConsent("outside", place.path, text, "ask the user to allow it, or work inside the workspace")
        secret = is_sensitive(place.path) or is_sensitive(spelling)
        if secret and place.path not in self._allowed and kind(place) != "directory":
            text = f"{named(spelling)} may hold secrets, judging by its name ({named(place.path)})"
            raise NeedsConsent("sensitive", place.path, text, "go on without it, or ask the user to allow it")
        return place

    def _may_write(self, spelling: str, place: Place) -> Place:
        if not place.root:
            text = f"{named(spelling)} leads to {named(place.path)}, outside of the workspace {named(str(self.root))}"
            raise ToolError("outside", f"{text}; nothing was written", "write inside the workspace, or ask the user")
        if place.guarded == "git":
            text = f"{named(spelling)} lies in .git, which only git itself may write; nothing was written"
            raise ToolError("git_internal", text, "use git commands in the shell")
        if place.guarded == "project":
            text = f"{named(spelling)} lies in .kimi-agent, which decides what may run here; nothing was written"
            raise ToolError("refused", text, "tell the user what you want in it: a person must edit it")
        self._not_private(place)
        if not place.relative or spelling.endswith("/"):
            raise ToolError(
                "not_regular", f"{named(spelling)} names a folder; nothing was written", "name a file in it"
            )
        return place

    def _not_private(self, place: Place) -> None:
        # A worktree that we made lies in our state folder: what is in it is the person's all the same.
        inside = [folder for folder in self._private if beneath(place.path, folder)]
        if any(not (beneath(str(self.root), folder) and place.root == str(self.root)) for folder in inside):
            text = f"{named(place.path)} belongs to kimi-agent itself and is closed to tools"
            raise ToolError("refused", text, "big results are read as output:ID")

    def _step(self, change: FileChange) -> Step:
        place = self._may_write(change.path, self._places.find(change.path, base=str(self.root)))
        if change.mode is not None and change.mode & ~0o777:
            raise ToolError(
                "refused", f"mode {change.mode:o} for {named(change.path)}: only permission bits can be set"
            )
        return step(place.root, place.relative, self._shown(place), change.before, change.after, change.mode)

    def _descriptor(self, place: Place, flags: int) -> int:
        try:
            return self._beneath.open(place.root or "/", place.relative, flags)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise self._missing(place.path, place) from error
            if error.errno in (errno.ENXIO, errno.ENODEV):
                raise ToolError("not_regular", f"{named(place.path)} is not an ordinary file") from error
            raise unreadable(place.path, error) from error

    def _missing(self, spelling: str, place: Place) -> ToolError:
        near = [named(path) for path in self.similar(spelling)] if place.root else []
        hint = f"did you mean {' or '.join(near)}?" if near else "list_files shows what is there"
        return ToolError("missing", f"there is no {named(spelling)}", hint)

    def _fingerprint(self, spelling: str) -> Fingerprint:
        try:
            place = self._places.find(spelling)
            shown = self._shown(place)
            if not place.root or kind(place) != "file":
                return Fingerprint(shown, "")
            return Fingerprint(shown, self._hash(place)[0])
        except (ToolError, OSError):
            return Fingerprint(spelling, "")

    def _hash(self, place: Place) -> tuple[str, os.stat_result | None]:
        with os.fdopen(self._descriptor(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_FINGERPRINT:
                return "", None
            return hashlib.file_digest(file, "sha256").hexdigest(), found

    def _as_known(self, path: str) -> bool:
        known = self.ledger.known(path)
        if known is None or path.startswith(PREFIX):
            return True
        # A shown path is resolved and starts at the root, wherever the cwd is.
        place = self._places.find(os.path.join(self.root, path))
        if place.stat is None or not stat.S_ISREG(place.stat.st_mode):
            return not known.sha256 and place.stat is None
        if self.ledger.same_stat(path, place.stat):
            return True
        try:
            sha256, found = self._hash(place)
        except (ToolError, OSError):
            return False
        if found is None or sha256 != known.sha256:
            return False
        self.ledger.remember_stat(path, found)
        return True
