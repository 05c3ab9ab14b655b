"""The system calls of a file transaction as one value, so that a test can let any of them fail or be the last."""

import contextlib
import errno
import os
from pathlib import Path

from kimi_agent.workspace.confined_open import FOLDER_FLAGS, ConfinedOpener
from kimi_agent.workspace.transaction.journal import CommitRecord, Journal, JournalState, write_journal

COPIED_XATTRS = ("user.", "system.posix_acl")  # others belong to the old content (capabilities) or to the system
NO_SYNC_ERRORS = (errno.EINVAL, errno.ENOTSUP, errno.EROFS)  # file systems that can't


class FileSyscalls:
    """Each method is one thing that can go wrong. All names are relative to a folder opened by `folder`."""

    def __init__(self, opener: ConfinedOpener) -> None:
        self._opener = opener

    def folder(self, root: str, relative: str) -> int:
        """A descriptor of a folder below `root`."""
        return self._opener.open(root, relative, os.O_RDONLY | FOLDER_FLAGS)

    def open(self, folder: int, name: str, flags: int, mode: int = 0) -> int:
        """A descriptor of a file; never waits on a pipe, never follows a link."""
        return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode, dir_fd=folder)

    def write(self, fd: int, data: memoryview) -> int:
        """Write some of `data`; returns how many bytes."""
        return os.write(fd, data)

    def like(self, fd: int, original: int, mode: int) -> None:
        """Give `fd` the mode, and as far as we may the owner and attributes, of the file it will replace."""
        stat = os.fstat(original)
        if (stat.st_uid, stat.st_gid) != (os.geteuid(), os.getegid()):
            with contextlib.suppress(OSError):
                os.fchown(fd, stat.st_uid, stat.st_gid)
        if hasattr(os, "listxattr"):
            with contextlib.suppress(OSError):
                for name in os.listxattr(original):
                    if name.startswith(COPIED_XATTRS):
                        os.setxattr(fd, name, os.getxattr(original, name))
        os.fchmod(fd, mode)

    def chmod(self, fd: int, mode: int) -> None:
        """Set the permission bits, whatever the umask."""
        os.fchmod(fd, mode)

    def sync(self, fd: int) -> None:
        """Flush a file or folder to the disk."""
        try:
            os.fsync(fd)
        except OSError as error:
            if error.errno not in NO_SYNC_ERRORS:
                raise

    def sync_all(self) -> None:
        """Flush everything to the disk: for many files far quicker than one after the other."""
        os.sync()

    def mkdir(self, folder: int, name: str) -> None:
        """Make a folder."""
        os.mkdir(name, dir_fd=folder)

    def rmdir(self, folder: int, name: str) -> None:
        """Remove a folder."""
        os.rmdir(name, dir_fd=folder)

    def link(self, folder: int, name: str, other: str, into: int) -> None:
        """Give a file a second name (in the folder `into`), which must be free."""
        os.link(name, other, src_dir_fd=folder, dst_dir_fd=into, follow_symlinks=False)

    def symlink(self, folder: int, name: str, target: bytes) -> None:
        """Make a symbolic link; the name must be free."""
        os.symlink(target, os.fsencode(name), dir_fd=folder)

    def rename(self, folder: int, name: str, other: str, into: int) -> None:
        """Rename a file to `other` (in the folder `into`), which it replaces."""
        os.rename(name, other, src_dir_fd=folder, dst_dir_fd=into)

    def unlink(self, folder: int, name: str) -> None:
        """Remove a name."""
        os.unlink(name, dir_fd=folder)

    def begin(self, folder: Path, record: CommitRecord) -> Journal:
        """Write the journal."""
        return write_journal(folder, record)

    def mark(self, journal: Journal, state: JournalState) -> None:
        """Write the journal's new state."""
        journal.mark(state)

    def remove(self, journal: Journal) -> None:
        """Delete the journal."""
        journal.remove()
