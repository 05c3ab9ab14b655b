"""Trusted project folders: a person trusts the exact content of a `.kimi-agent` folder for one workspace.

A changed tool, hook or setting is a changed fingerprint, and asked about again. Bytecode counts: a planted `.pyc`
would run. So whoever loads a trusted folder must not write bytecode into it.
"""

import fcntl
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from kimi_agent.errors import UserError

MAX_TRUSTED_FILES = 2_000
MAX_TRUSTED_BYTES = 20_000_000
MAX_TRUSTED_DEPTH = 20
MAX_FINGERPRINTS = 20
"""Fingerprints kept for a workspace: branches differ, and going back to one should not ask again."""


def fingerprint_folder(folder: Path) -> str:
    """A hash of all that `folder` holds: names, executable bits, contents, where links lead; "" if there is no folder.

    Raises UserError for what cannot be pinned down by a hash (links that lead out, devices) or is too large.
    """
    try:
        info = folder.lstat()
    except (OSError, ValueError):
        return ""
    if not stat.S_ISDIR(info.st_mode):
        raise UserError(f"{folder} is not a plain folder, so it cannot be trusted; make it one.")
    digest, left = hashlib.sha256(), MAX_TRUSTED_BYTES
    for count, (name, path) in enumerate(_walk(folder, "", 0)):
        if count >= MAX_TRUSTED_FILES:
            raise UserError(f"{folder} holds more than {MAX_TRUSTED_FILES:,} files; take out what is not kimi-agent's.")
        kind, content = _content(path, folder, left)
        left -= len(content)
        for part in (os.fsencode(name), kind, content):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def list_folder_files(folder: Path) -> tuple[str, ...]:
    """The relative names of all that `folder` holds but folders, for a person who decides. Raises UserError."""
    found = islice(_walk(folder, "", 0), MAX_TRUSTED_FILES)
    return tuple(name for name, path in found if path.is_symlink() or not path.is_dir())


def check_unchanged(folder: Path, content: str) -> None:
    """Raises UserError where `folder` no longer holds what has this fingerprint: another yes would be needed."""
    if fingerprint_folder(folder) != content:
        raise UserError(f"{folder} changed while it was read, so it was not used; look at it, and start again.", 78)


def _walk(folder: Path, prefix: str, depth: int) -> Iterator[tuple[str, Path]]:
    """Everything below `folder` by relative name, in one order."""
    if depth > MAX_TRUSTED_DEPTH:
        raise UserError(f"{folder} is nested more than {MAX_TRUSTED_DEPTH} folders deep; make it flatter.")
    try:
        with os.scandir(folder) as found:
            entries = sorted(islice(found, MAX_TRUSTED_FILES + 1), key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}); mend its permissions.") from error
    for entry in entries:
        name = prefix + entry.name
        yield name, Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), f"{name}/", depth + 1)


def _content(path: Path, folder: Path, left: int) -> tuple[bytes, bytes]:
    """What kind of thing `path` is, and its bytes (of a link: its target)."""
    try:
        info = path.lstat()
        if stat.S_ISLNK(info.st_mode):
            if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
                why = f"{path} leads out of {folder}, so its content cannot be trusted"
                raise UserError(f"{why}; replace it by a file.")
            return b"link", os.fsencode(path.readlink())
        if stat.S_ISDIR(info.st_mode):
            return b"folder", b""
        opened, content = _read_regular(path, left + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}), so {folder} cannot be trusted.") from error
    if content is None:
        raise UserError(f"{path} is not a regular file, so {folder} cannot be trusted; remove it.")
    if len(content) > left:
        limit = f"{MAX_TRUSTED_BYTES // 1_000_000} MB"
        raise UserError(f"{folder} holds more than {limit}; take out what is not kimi-agent's.")
    # Of the mode only this bit is kept by git; the others differ by umask from clone to clone.
    return (b"program" if opened.st_mode & 0o111 else b"file"), content


def _read_regular(path: Path, max_bytes: int) -> tuple[os.stat_result, bytes | None]:
    """What `path` is and its bytes, None if it is no regular file; never waits. Raises OSError, for a link too."""
    info = path.lstat()
    if not stat.S_ISREG(info.st_mode) and not stat.S_ISLNK(info.st_mode):
        return info, None
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            return info, None
        with os.fdopen(fd, "rb", closefd=False) as file:
            return info, file.read(max_bytes)
    finally:
        os.close(fd)


class TrustStore:
    """Which workspaces' folders a person trusts, in a file of ours. Keyed by real path: neither children nor parents
    inherit it, and the home folder itself never has it."""

    def __init__(self, store: Path, *, home: Path) -> None:
        self._store = store
        self._home = os.path.realpath(home)

    def problem(self) -> str:
        """One sentence if the file cannot be used (then nothing is trusted), else ""."""
        return self._read()[1]

    def is_trusted(self, workspace: Path, content: str) -> bool:
        """Whether a person trusted exactly this content in this workspace."""
        key = os.path.realpath(workspace)
        return bool(content) and key != self._home and content in self._read()[0].get(key, [])

    def trust(self, workspace: Path, content: str) -> None:
        """Remember it. Raises UserError for the home folder, or where the file cannot be written."""
        key = os.path.realpath(workspace)
        if key == self._home:
            raise UserError("The home folder itself cannot be trusted as a project; use ~/.config/kimi-agent instead.")
        if not content:
            raise UserError(f"{workspace} has no folder of its own to trust.")
        try:
            with self._alone():
                entries = self._read()[0]
                kept = [each for each in entries.get(key, []) if each != content]
                self._write(entries | {key: [*kept, content][-MAX_FINGERPRINTS:]})
        except OSError as error:
            raise UserError(f"{self._store} cannot be written ({error.strerror}); trust was not kept.", 78) from error

    def _read(self) -> tuple[dict[str, list[str]], str]:
        """The entries and the problem with them; a file that others may write, or that is broken, holds none."""
        broken = f"{self._store} cannot be used ({{}}); no project is trusted until you trust it again."
        try:
            info, content = _read_regular(self._store, MAX_TRUSTED_BYTES)
        except FileNotFoundError:
            return {}, ""
        except OSError as error:
            return {}, broken.format(error.strerror)
        if content is None or info.st_mode & 0o022:
            return {}, broken.format("it is no file that only you may write")
        try:
            held = json.loads(content)
        except (ValueError, RecursionError):
            return {}, broken.format("it is damaged")
        entries = held.get("trusted") if isinstance(held, dict) else None
        if not isinstance(entries, dict) or not all(map(_is_entry, entries.values())):
            return {}, broken.format("it is damaged")
        return entries, ""

    def _write(self, entries: dict[str, list[str]]) -> None:
        fresh = self._store.with_name(f".{self._store.name}.{secrets.token_hex(4)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(fresh, flags, 0o600), "w", encoding="ascii") as file:
                json.dump({"version": 1, "trusted": entries}, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._store)
        finally:
            fresh.unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock beside the file; the file itself is replaced, so a lock on it would hold nobody off."""
        self._store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = self._store.with_name(self._store.name + ".lock")
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def _is_entry(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
