"""Workspace files: the only module through which tools read, list and write them."""

import copy
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
from kimi_agent.log.event_parts import Fingerprint
from kimi_agent.printable import escape_path
from kimi_agent.workspace.confined_open import FOLDER_FLAGS, ConfinedOpener
from kimi_agent.workspace.file_change import FileChange
from kimi_agent.workspace.files import listing
from kimi_agent.workspace.files.access_rules import AccessRules, HiddenReason, check_guarded
from kimi_agent.workspace.files.listing import FolderEntry, PathKind, path_kind
from kimi_agent.workspace.files.outputs import OUTPUT_PREFIX, Outputs
from kimi_agent.workspace.files.seen_files import SeenFiles
from kimi_agent.workspace.paths import PathResolver, ResolvedPath, is_beneath, is_sensitive
from kimi_agent.workspace.transaction import recovery
from kimi_agent.workspace.transaction.commit import CommitStep, CommittedFile, commit_files, make_step
from kimi_agent.workspace.transaction.commit_options import NO_OPTIONS, CommitOptions
from kimi_agent.workspace.transaction.syscalls import FileSyscalls

PathList = list[str]  # inside the class below, `list` is a method

MAX_FINGERPRINT_BYTES = 100_000_000  # bytes; bigger files have no fingerprint


@dataclass(frozen=True)
class FileBytes:
    """A file that was read whole: `path` as `shown`, and its permission bits."""

    path: str
    data: bytes
    sha256: str
    mode: int


class Files:
    """Reads and writes below `root` and the `added` folders; asks for consent to read elsewhere, writes nowhere else.

    Every method takes any spelling (relative to `cwd`, absolute, `~`, `..`, through links) and judges where it leads.
    `access` says what is neither read nor written in any mode; `journal` is the folder of journals.
    `in_git` says whether the user's git holds just these bytes for a path as `shown`, so that they need not be read.
    """

    def __init__(
        self,
        root: Path,
        *,
        outputs: Outputs,
        seen_files: SeenFiles,
        home: Path,
        cwd: Path | None = None,
        added: Sequence[Path] = (),
        access: AccessRules | None = None,
        journal: Path,
        syscalls: FileSyscalls | None = None,
        in_git: Callable[[str, bytes], bool] = lambda path, data: False,
    ) -> None:
        self.root = Path(os.path.realpath(root))
        self.cwd = Path(os.path.realpath(cwd or root))
        self.outputs = outputs
        self.seen_files = seen_files
        self.in_git = in_git
        self._opener = ConfinedOpener()
        self._syscalls = syscalls or FileSyscalls(self._opener)
        self._journal = journal
        self.access = access or AccessRules()
        roots = [str(self.root), *(os.path.realpath(folder) for folder in added)]
        self._resolver = PathResolver(roots, cwd=str(self.cwd), home=str(home))
        self._allowed: set[str] = set()
        self._writing_lock = threading.Lock()

    def shown(self, spelling: str) -> str:
        """The one spelling of a path for results, seen files and changes: workspace-relative, or absolute outside."""
        return spelling if spelling.startswith(OUTPUT_PREFIX) else self._shown(self._resolver.find(spelling))

    def with_access(self, access: AccessRules) -> "Files":
        """The same files with other rules, for one call; everything else is shared."""
        bound = copy.copy(self)
        bound.access = access
        return bound

    def resolve(self, spelling: str) -> ResolvedPath:
        """Where a path leads, as every method here follows it. Raises ToolError for what can be no path."""
        return self._resolver.find(spelling)

    def readable(self, spelling: str) -> Path:
        """The resolved path of a file or folder that may be read (for ripgrep). Raises ToolError, NeedsConsent."""
        if spelling.startswith(OUTPUT_PREFIX):
            return self.outputs.path(spelling)
        return Path(self._may_read(spelling).path)

    def writable(self, spelling: str) -> str:
        """The path as `shown`, if a file may be written there. Raises ToolError (outside, git_internal, refused, ...).

        For a tool's preview: nobody should be asked to allow what the commit would refuse.
        """
        if spelling.startswith(OUTPUT_PREFIX):
            text = f"{escape_path(spelling)} is kept output: it can only be read"
            raise ToolError("refused", text, "name a file instead")
        return self._shown(self._may_write(spelling, self._resolver.find(spelling)))

    def kind(self, spelling: str) -> PathKind:
        """The kind of what is at `spelling`, every link followed. Raises ToolError for what can be no path."""
        if spelling.startswith(OUTPUT_PREFIX):
            return "file" if self.outputs.path(spelling) else "missing"
        return path_kind(self._resolver.find(spelling))

    def read(self, spelling: str, *, max_bytes: int = 100_000_000) -> FileBytes:
        """The whole file, also `output:ID`. Raises ToolError (missing, not_regular, failed if larger), NeedsConsent."""
        resolved = None if spelling.startswith(OUTPUT_PREFIX) else self._may_read(spelling)
        shown = self._shown(resolved) if resolved else spelling
        with self._open_resolved(spelling, resolved) if resolved else self.open(spelling) as file:
            found = os.fstat(file.fileno())
            data = b"" if found.st_size > max_bytes else file.read(max_bytes + 1)
        if found.st_size > max_bytes or len(data) > max_bytes:
            size = max(found.st_size, len(data))
            text = f"{escape_path(shown)} has {size:,} bytes, more than the {max_bytes:,} that can be taken at once"
            raise ToolError("failed", text, "read a part with read_file(offset, limit), or use the shell")
        return FileBytes(shown, data, hashlib.sha256(data).hexdigest(), stat.S_IMODE(found.st_mode))

    def open(self, spelling: str) -> BinaryIO:
        """A regular file to stream from, also `output:ID`. Raises ToolError (missing, not_regular), NeedsConsent."""
        if spelling.startswith(OUTPUT_PREFIX):
            return self.outputs.path(spelling).open("rb")
        return self._open_resolved(spelling, self._may_read(spelling))

    def _open_resolved(self, spelling: str, resolved: ResolvedPath) -> BinaryIO:
        if resolved.stat is None:
            raise self._missing(spelling, resolved)
        if not stat.S_ISREG(resolved.stat.st_mode):
            raise listing.not_a_file_error(spelling, resolved.stat.st_mode)
        fd = self._descriptor(resolved, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(fd)
            raise listing.not_a_file_error(spelling, found.st_mode)
        return os.fdopen(fd, "rb")

    def similar(self, spelling: str, most: int = 3) -> PathList:
        """Paths of the workspace whose names are like that of `spelling`, best first; looks at a bounded number."""
        return listing.find_similar_paths(
            str(self.root), spelling, most, shown=lambda path: self.hidden(path) not in ("private", "denied")
        )

    def hidden(self, path: str) -> HiddenReason:
        """Why no search may show what a file holds, "" where it may; `path` is absolute and resolved."""
        if self.access.is_private(path, str(self.root)):
            return "private"
        if self.access.denied_reading(path):
            return "denied"
        return "sensitive" if is_sensitive(path) and path not in self._allowed else ""

    def commit(self, changes: Sequence[FileChange]) -> PathList:
        """Write all `changes` or none; returns notes for the result. Raises ToolError: then nothing is different.

        Their paths start at `root`, as `shown` spells them; contents count as seen afterwards.
        Codes: stale, exists, missing, outside, git_internal, refused, not_regular, bad_arguments, io.
        """
        with self._writing_lock:
            steps = [self._step(change) for change in changes]
            if len({(each.entry.root, each.entry.folder, each.entry.name) for each in steps}) < len(steps):
                raise ToolError("bad_arguments", "one file is changed twice in this call; nothing was written")
            done = self._commit(steps) if steps else []
        for each in done:
            self.seen_files.record(each.entry.shown, each.entry.after or "", whole=True, by="write", stat=each.stat)
        split = [each.entry.shown for each in done if each.split]
        return [f"hard link split: {shown} (its other names keep the old text)" for shown in split]

    def commit_steps(self, steps: Sequence[CommitStep], options: CommitOptions) -> None:
        """Carry out all `steps` or none, for a person (see `checkpoint.restore`). Raises ToolError.

        Their paths are below `root`; the caller must update the seen files.
        """
        with self._writing_lock:
            self._commit(steps, options)

    def _commit(self, steps: Sequence[CommitStep], options: CommitOptions = NO_OPTIONS) -> Sequence[CommittedFile]:
        root = str(self.root)
        return commit_files(steps, workspace=root, journals=self._journal, syscalls=self._syscalls, options=options)

    def allow_reading(self, path: str) -> None:
        """A person allowed reading `path` (absolute, resolved) and, if it is a folder, what lies under it.

        A sensitive name under an allowed folder still asks: only its own path allows it.
        """
        self._allowed.add(path)

    def fingerprints(self, spellings: Iterable[str]) -> tuple[Fingerprint, ...]:
        """The hashes of files as they are now; "" for what is no readable regular file inside, or over 100 MB."""
        return tuple(self._fingerprint(spelling) for spelling in spellings)

    def changed(self) -> PathList:
        """The paths whose content is no longer as it was seen (also: gone, or there again)."""
        return [path for path in self.seen_files.paths() if not self._is_as_seen(path)]

    def recover(self) -> PathList:
        """Finish or undo the commits that a crash cut short; gives a sentence for each, [] if there were none."""
        return recovery.recover_commits(self._journal, str(self.root), self._syscalls)

    def list(self, spelling: str) -> list[FolderEntry]:
        """The entries of a folder, by name. Raises ToolError (missing, not_regular, io), NeedsConsent."""
        resolved = self._may_read(spelling)
        if resolved.stat is None:
            raise self._missing(spelling, resolved)
        if not stat.S_ISDIR(resolved.stat.st_mode):
            raise ToolError("not_regular", f"{escape_path(spelling)} is not a folder", "use read_file")
        fd = self._descriptor(resolved, os.O_RDONLY | FOLDER_FLAGS)
        try:
            with os.scandir(fd) as entries:
                found = [listing.folder_entry(entry) for entry in entries]
        except OSError as error:
            raise listing.cannot_read_error(spelling, error) from error
        finally:
            os.close(fd)
        ours = self.access.private_below(resolved.path, str(self.root))
        found = [each for each in found if f"{resolved.path.rstrip('/')}/{each.name}" not in ours]
        return sorted(found, key=lambda entry: entry.name)

    def _shown(self, resolved: ResolvedPath) -> str:
        root = str(self.root)
        if resolved.path == root:
            return "."
        if not is_beneath(resolved.path, root):
            return resolved.path
        path = resolved.path[len(root) :].lstrip("/")
        # Passed back as a spelling, "~/a" and "output:a" would lead elsewhere.
        return f"./{path}" if path == "~" or path.startswith(("~/", OUTPUT_PREFIX)) else path

    def _may_read(self, spelling: str) -> ResolvedPath:
        resolved = self._resolver.find(spelling)
        self.access.check_private(resolved.path, str(self.root))
        self.access.check_reading(resolved.path, self._shown(resolved))
        allowed = any(is_beneath(resolved.path, path) for path in self._allowed)
        if not resolved.root and not allowed:
            hint = "ask the user to allow it, or work inside the workspace"
            raise NeedsConsent("outside", resolved.path, self._describe_outside(spelling, resolved), hint)
        secret = is_sensitive(resolved.path) or is_sensitive(spelling)
        if secret and resolved.path not in self._allowed and path_kind(resolved) != "directory":
            text = f"{escape_path(spelling)} may hold secrets, judging by its name ({escape_path(resolved.path)})"
            raise NeedsConsent("sensitive", resolved.path, text, "go on without it, or ask the user to allow it")
        return resolved

    def _may_write(self, spelling: str, resolved: ResolvedPath) -> ResolvedPath:
        if not resolved.root:
            text = f"{self._describe_outside(spelling, resolved)}; nothing was written"
            raise ToolError("outside", text, "write inside the workspace, or ask the user")
        check_guarded(resolved, spelling)
        self.access.check_private(resolved.path, str(self.root))
        self.access.check_writing(resolved.path, self._shown(resolved))
        if not resolved.relative or spelling.endswith("/"):
            text = f"{escape_path(spelling)} names a folder; nothing was written"
            raise ToolError("not_regular", text, "name a file in it")
        return resolved

    def _describe_outside(self, spelling: str, resolved: ResolvedPath) -> str:
        where = f"outside of the workspace {escape_path(str(self.root))}"
        return f"{escape_path(spelling)} leads to {escape_path(resolved.path)}, {where}"

    def _step(self, change: FileChange) -> CommitStep:
        resolved = self._may_write(change.path, self._resolver.find(change.path, base=str(self.root)))
        if change.mode is not None and change.mode & ~0o777:
            text = f"mode {change.mode:o} for {escape_path(change.path)}: only permission bits can be set"
            raise ToolError("refused", text)
        shown = self._shown(resolved)
        return make_step(resolved.root, resolved.relative, shown, change.before, change.after, change.mode)

    def _descriptor(self, resolved: ResolvedPath, flags: int) -> int:
        try:
            return self._opener.open(resolved.root or "/", resolved.relative, flags)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise self._missing(resolved.path, resolved) from error
            if error.errno in (errno.ENXIO, errno.ENODEV):
                raise ToolError("not_regular", f"{escape_path(resolved.path)} is not an ordinary file") from error
            raise listing.cannot_read_error(resolved.path, error) from error

    def _missing(self, spelling: str, resolved: ResolvedPath) -> ToolError:
        near = [escape_path(path) for path in self.similar(spelling)] if resolved.root else []
        hint = f"did you mean {' or '.join(near)}?" if near else "list_files shows what is there"
        return ToolError("missing", f"there is no {escape_path(spelling)}", hint)

    def _fingerprint(self, spelling: str) -> Fingerprint:
        try:
            resolved = self._resolver.find(spelling)
            shown = self._shown(resolved)
            if not resolved.root or path_kind(resolved) != "file":
                return Fingerprint(shown, "")
            return Fingerprint(shown, self._hash(resolved)[0])
        except (ToolError, OSError):
            return Fingerprint(spelling, "")

    def _hash(self, resolved: ResolvedPath) -> tuple[str, os.stat_result | None]:
        with os.fdopen(self._descriptor(resolved, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_FINGERPRINT_BYTES:
                return "", None
            return hashlib.file_digest(file, "sha256").hexdigest(), found

    def _is_as_seen(self, path: str) -> bool:
        known = self.seen_files.known(path)
        if known is None or path.startswith(OUTPUT_PREFIX):
            return True
        # A shown path is resolved and starts at the root, wherever the cwd is.
        resolved = self._resolver.find(os.path.join(self.root, path))
        if resolved.stat is None or not stat.S_ISREG(resolved.stat.st_mode):
            return not known.sha256 and resolved.stat is None
        if self.seen_files.same_stat(path, resolved.stat):
            return True
        try:
            sha256, found = self._hash(resolved)
        except (ToolError, OSError):
            return False
        if found is None or sha256 != known.sha256:
            return False
        self.seen_files.remember_stat(path, found)
        return True
