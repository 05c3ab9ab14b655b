"""Path resolution: a spelling's real path, the allowed folder above it, and whether its name is protected."""

import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import AnyStr, Literal

from kimi_agent.errors import ToolError
from kimi_agent.printable import escape_path

MAX_LINKS = 40  # as the kernel counts
MAX_PATH_BYTES = 4096

SECRET_NAMES = frozenset(
    {
        *("id_rsa", "id_dsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk"),
        *(".netrc", "_netrc", ".pgpass", ".my.cnf", ".htpasswd", ".npmrc", ".pypirc", ".git-credentials"),
        *("credentials", "credentials.json", ".credentials", ".credentials.json", ".vault-token"),
        *(".dockercfg", "kubeconfig", ".envrc"),
    }
)
SECRET_SUFFIXES = (".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".ppk")
SECRET_PATHS = ("/.docker/config.json", "/.kube/config", "/.config/gh/hosts.yml")
HARMLESS_ENV_SUFFIXES = (".example", ".sample", ".template", ".dist")

ProtectedFolder = Literal["", "git", "project"]


@dataclass(frozen=True)
class ResolvedPath:
    """A resolved path: no link and no `..` is left in it. `root` is the allowed folder above it, "" outside of all.

    `guarded` says that the path leads through `.git` or `.kimi-agent`; `stat` is None where nothing is there yet.
    `names` are the absolute names that led here by a link: the link's own place and what followed it.
    """

    path: str
    root: str
    guarded: ProtectedFolder
    stat: os.stat_result | None
    names: tuple[str, ...] = ()

    @property
    def relative(self) -> str:
        """The path below `root`, or below "/" outside."""
        return self.path[len(self.root) :].lstrip("/")

    @property
    def folder(self) -> Path:
        """The folder that the path lies in."""
        return Path(self.path).parent


class PathResolver:
    """Resolves spellings against the allowed folders: the workspace first, then the added ones (real paths)."""

    def __init__(self, roots: Sequence[str], *, cwd: str, home: str) -> None:
        self._roots = tuple(roots)
        self._cwd = cwd
        self._home = home

    def find(self, spelling: str, *, base: str = "") -> ResolvedPath:
        """Follow `spelling` as the kernel would. Raises ToolError for one that no file can have, or that loops.

        A relative one starts at `base`; without that at the cwd, or at the workspace if it leads to something there and
        to nothing from the cwd: results spell paths from the workspace, and the model repeats them.
        """
        path = self._at_home(check_spelling(spelling))
        resolved = self._follow(os.path.join(base or self._cwd, path), spelling)
        if base or self._cwd == self._roots[0] or path.startswith("/") or resolved.stat is not None:
            return resolved
        other = self._follow(os.path.join(self._roots[0], path), spelling)
        if other.stat is None and (resolved.folder.is_dir() or not other.folder.is_dir()):
            return resolved
        return other

    def _follow(self, path: str, spelling: str) -> ResolvedPath:
        guarded: ProtectedFolder = ""
        root = self._root(path)
        # The root is a real path: nothing above it needs a look, unless a ".." leads there again.
        at, todo = (root.rstrip("/"), path[len(root) :].split("/")) if root else ("", path.split("/"))
        todo.reverse()
        found: os.stat_result | None = None
        names: list[str] = []
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                at, found = at.rpartition("/")[0], None
                continue
            if self._root(at or "/") and not guarded:
                guarded = find_protected_folder(part)
            here = f"{at}/{part}"
            found = lstat_path(here)
            if found is None or not stat.S_ISLNK(found.st_mode):
                at = here
                continue
            names.append(os.path.normpath("/".join((here, *reversed(todo)))))
            if len(names) > MAX_LINKS:
                raise ToolError("not_regular", f"{escape_path(spelling)} is a link that leads round in a circle")
            if here.startswith("/proc/"):
                raise proc_path_error(spelling)
            try:
                target = str(Path(here).readlink())
            except OSError:  # it was swapped just now: look again
                target = part
            if target.startswith("/"):
                at = ""
            todo.extend(reversed(target.split("/")))
        at = at or "/"
        if at == "/proc" or at.startswith("/proc/"):
            raise proc_path_error(spelling)
        return ResolvedPath(at, self._root(at), guarded, found or lstat_path(at), tuple(names))

    def _at_home(self, spelling: str) -> str:
        if spelling == "~" or spelling.startswith("~/"):
            return self._home + spelling[1:]
        return spelling

    def _root(self, path: str) -> str:
        return next((root for root in self._roots if is_beneath(path, root)), "")


def is_beneath(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or lies in it, by components: /app-secret is not in /app."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def parent_folders(path: AnyStr) -> Iterator[AnyStr]:
    """The folders above a relative path, the upper ones first."""
    separator = "/" if isinstance(path, str) else b"/"
    at = path.find(separator)
    while at >= 0:
        yield path[:at]
        at = path.find(separator, at + 1)


def lstat_path(path: str) -> os.stat_result | None:
    """The stat of `path` itself (links not followed), or None. Raises ToolError where the system refuses."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ToolError("io", f"cannot look at {escape_path(path)}: {error.strerror}") from error


def check_spelling(spelling: str) -> str:
    """`spelling`, if a file can have that name; raises ToolError if not."""
    if not spelling.strip():
        raise ToolError("bad_arguments", "the path is empty", "give a path relative to the workspace")
    if "\0" in spelling:
        raise ToolError("bad_arguments", f"a path cannot hold a NUL character: {escape_path(spelling)}")
    try:
        raw = os.fsencode(spelling)
    except UnicodeEncodeError as error:
        raise ToolError("bad_arguments", f"no file can be called {escape_path(spelling)}: it is not text") from error
    if len(raw) >= MAX_PATH_BYTES or any(len(part) > 255 for part in raw.split(b"/")):
        raise ToolError("bad_arguments", f"the path is too long ({len(raw):,} bytes): {escape_path(spelling)}")
    return spelling


def proc_path_error(spelling: str) -> ToolError:
    """The refusal of /proc: its files show processes, our own with its keys among them."""
    return ToolError("not_regular", f"{escape_path(spelling)} leads into /proc, which holds no ordinary files")


def find_protected_folder(part: str) -> ProtectedFolder:
    """Which protected folder a component names, however file systems may fold it (`.GIT`, `.git.`, U+200C in it)."""
    folded = "".join(c for c in part.casefold() if c.isascii() or not is_ignorable(c))
    folded = folded.partition(":")[0].rstrip(". ")
    if folded in (".git", "git~1"):
        return "git"
    return "project" if folded == ".kimi-agent" else ""


def is_ignorable(character: str) -> bool:
    """Whether file systems may treat the character as absent."""
    return unicodedata.category(character) == "Cf" or 0xFE00 <= ord(character) <= 0xFE0F or character == "\u034f"


def is_sensitive(path: str) -> bool:
    """Whether the name says that a secret is inside, so that a person must allow reading it."""
    folded = path.casefold()
    name = folded.rpartition("/")[2]
    if name == ".env" or name.startswith(".env."):
        return not name.endswith(HARMLESS_ENV_SUFFIXES)
    return name in SECRET_NAMES or name.endswith(SECRET_SUFFIXES) or f"/{folded}".endswith(SECRET_PATHS)
