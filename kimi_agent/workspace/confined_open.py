"""Confined opening of files: no link, `..` or race can lead out of a folder."""

import errno
import os
import stat
import sys
from collections.abc import Callable

RESOLVE_FLAGS = 0x02 | 0x04 | 0x08  # RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH
SYS_OPENAT2 = 437  # one number on every architecture
FOLDER_FLAGS = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MAX_OPEN_TRIES = 10_000
PATH_ONLY_FLAG = getattr(os, "O_PATH", os.O_RDONLY)  # macOS has no O_PATH

Openat2Call = Callable[[int, bytes, int, int], int]


class ConfinedOpener:
    """Opens paths relative to a folder; the path must be resolved already: a link met on the way is ELOOP.

    That is why absolute links inside the workspace need no special case (RESOLVE_BENEATH alone refuses them), and why a
    folder swapped for a link between resolving and opening cannot lead astray. `openat2=False` walks the components
    with O_NOFOLLOW instead, as macOS and old kernels need it.
    """

    def __init__(self, *, openat2: bool = sys.platform == "linux") -> None:
        self._openat2 = openat2
        self._syscall: Openat2Call | None = None

    def open(self, root: str, relative: str, flags: int, mode: int = 0) -> int:
        """A descriptor of `relative` ("" for the folder itself) below `root`. Raises OSError as `os.open` does."""
        parts = [part for part in relative.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise OSError(errno.EXDEV, "not resolved", relative)
        flags |= os.O_CLOEXEC | os.O_NOFOLLOW
        if not parts:
            return os.open(root, flags)
        top = os.open(root, PATH_ONLY_FLAG | FOLDER_FLAGS)
        try:
            if self._openat2:
                return self._open2(top, parts, flags, mode)
            return open_by_components(top, parts, flags, mode)
        finally:
            os.close(top)

    def _open2(self, top: int, parts: list[str], flags: int, mode: int) -> int:
        if self._syscall is None:
            self._syscall = load_openat2()
        path = os.fsencode("/".join(parts))
        for _ in range(MAX_OPEN_TRIES):
            # The kernel wants mode 0 where nothing is created.
            fd = self._syscall(top, path, flags, mode if flags & os.O_CREAT else 0)
            if fd >= 0:
                return fd
            if -fd in (errno.EAGAIN, errno.EINTR):  # EAGAIN: something was renamed meanwhile
                continue
            if -fd in (errno.ENOSYS, errno.EPERM):  # EPERM: from old seccomp profiles, for calls they don't know
                opened = open_by_components(top, parts, flags, mode)
                self._openat2 = False
                return opened
            raise OSError(-fd, os.strerror(-fd), "/".join(parts))
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), "/".join(parts))


def open_by_components(top: int, parts: list[str], flags: int, mode: int) -> int:
    """Open `parts` one by one below descriptor `top`, following no link."""
    at = top
    try:
        for part in parts[:-1]:
            try:
                below = os.open(part, PATH_ONLY_FLAG | FOLDER_FLAGS, dir_fd=at)
            except NotADirectoryError:
                if stat.S_ISLNK(os.stat(part, dir_fd=at, follow_symlinks=False).st_mode):
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), part) from None
                raise
            if at != top:
                os.close(at)
            at = below
        return os.open(parts[-1], flags, mode, dir_fd=at)
    finally:
        if at != top:
            os.close(at)


def load_openat2() -> Openat2Call:
    """Load the system call as a function that gives a descriptor or a negative errno."""
    import ctypes  # 5 ms that a start without files need not pay

    class How(ctypes.Structure):
        _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))

    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long

    def call(top: int, path: bytes, flags: int, mode: int) -> int:
        how = How(flags, mode, RESOLVE_FLAGS)
        size = ctypes.c_size_t(ctypes.sizeof(how))
        fd = int(syscall(ctypes.c_long(SYS_OPENAT2), ctypes.c_long(top), path, ctypes.byref(how), size))
        return fd if fd >= 0 else -ctypes.get_errno()

    return call
