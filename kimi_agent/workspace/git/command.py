"""A hardened git command: a trusted binary, run so that no configuration of a repository can run code."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from kimi_agent.errors import UserError
from kimi_agent.workspace.git import git_folder, hardening
from kimi_agent.workspace.git.git_folder import Repository
from kimi_agent.workspace.git_object_id import blob_id
from kimi_agent.workspace.process.environ import allowed_environ
from kimi_agent.workspace.process.launch import find_trusted_program

if TYPE_CHECKING:
    import git.cmd

_GITLINK = b"\0\0\xe0\0"  # the mode of a submodule, as an index writes it
_MAX_SUBMODULES = 200
_SHOWN = 600


class GitMissing(UserError):
    """There is no git that may be used."""

    def __init__(self, why: str = "git was not found on PATH") -> None:
        super().__init__(f"{why}: install it (Debian: apt-get install git), or mend PATH", 69)


class GitFailed(Exception):
    """git ended with an exit code that its caller did not expect; `stderr` is what it printed there."""

    def __init__(self, code: int, stderr: str, command: str = "") -> None:
        self.code = code
        self.stderr = stderr
        why = " ".join(stderr[-_SHOWN:].split()) or "it said nothing"
        super().__init__(f"git {command} failed ({code}): {why}")


def decode_line(output: bytes) -> str:
    """Decode what git printed on one line."""
    return os.fsdecode(output.removesuffix(b"\n"))


def split_nul_paths(listed: bytes) -> list[str]:
    """Decode the paths that git wrote with -z."""
    return [os.fsdecode(name) for name in listed.split(b"\0") if name]


def join_nul_paths(paths: Iterable[str]) -> bytes:
    """Encode paths as git reads them with -z."""
    return b"".join(os.fsencode(path) + b"\0" for path in paths)


def find_git(environ: Mapping[str, str], *, not_below: Path) -> str | None:
    """The absolute path of git by the PATH of `environ`, never a relative entry or one below `not_below`."""
    return find_trusted_program("git", path=allowed_environ(environ)["PATH"], root=Path(os.path.realpath(not_below)))


class Git:
    """Runs built-in sub-commands in one work tree. No hook, filter, alias, pager, editor, helper or network.

    Without `git_dir` it works in the user's own repository at or above `workspace`; everything there that could name
    a command is overridden (so content that filters make, as LFS does, is seen and written as it is on the disk).
    The user's own identity, ignore file and other global settings are not read. Raises GitMissing.
    """

    def __init__(
        self,
        workspace: Path,
        *,
        git_dir: Path | None = None,
        index: Path | None = None,
        environ: Mapping[str, str],
        top: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        found = find_git(environ, not_below=workspace)
        if found is None:
            raise GitMissing
        self.program = found
        self._workspace = workspace
        self._private = git_dir is not None
        self._settings = {**hardening.SAFE_GIT_SETTINGS, **(settings or {})}
        self._environ = {**allowed_environ(environ), **hardening.GIT_ENVIRON}
        self._own = None if self._private else git_folder.find_repository(Path(os.path.realpath(workspace)))
        if self._own:
            git_dir, top = self._own.git_dir, self._own.top
        self._found = git_dir is not None
        if git_dir is not None:
            # So git searches for no repository: a bare one in a subfolder, or `core.worktree`, cannot mislead it.
            self._environ["GIT_DIR"] = str(git_dir)
            self._environ["GIT_WORK_TREE"] = str(top or workspace)
        if index is not None:
            self._environ["GIT_INDEX_FILE"] = str(index)

    def run(self, *args: str, stdin: bytes = b"", ok: Sequence[int] = (0,), env: Mapping[str, str] = {}) -> bytes:
        """Run git; returns its stdout. Refs from elsewhere belong after `--end-of-options`, paths after `--`.

        Raises GitFailed for an exit code that is not in `ok`, ValueError for what this git never runs.
        """
        return self.start(*args, env=env).finish(stdin, ok=ok)

    def resolve(self, ref: str) -> str:
        """The id that `ref` names, "" where there is none. Raises GitFailed."""
        return decode_line(self.run("rev-parse", "--quiet", "--verify", ref, ok=(0, 1)))

    def head_ref(self) -> str:
        """The checked-out branch in full (refs/heads/...), "" for a detached HEAD. Raises GitFailed."""
        return decode_line(self.run("symbolic-ref", "--quiet", "HEAD", ok=(0, 1)))

    def start(self, *args: str, env: Mapping[str, str] = {}, inherit: Sequence[int] = ()) -> "GitProcess":
        """As `run`, but does not wait: several can work at once. `inherit` are descriptors that git keeps open."""
        if refused := hardening.find_refused_argument(args):
            raise ValueError(f"the harness's git does not run {refused!r}")
        if not self._workspace.is_dir():
            raise GitFailed(128, f"there is no folder {self._workspace}", args[0])
        if not self._found:
            raise GitFailed(128, f"there is no git repository at or above {self._workspace}", args[0])
        settings = self._settings if self._private else self._settings | hardening.override_settings(self._keys())
        variables = {**hardening.settings_as_environ(settings), **env}
        return self._start([args[0], *hardening.FORCED_FLAGS.get(args[0], ()), *args[1:]], variables, inherit)

    def _keys(self) -> set[str]:
        """Every key that the repository sets itself, included files too, and those of its submodules.

        Listing them runs nothing. Submodules count because git starts another git in each, with our environment.
        """
        inner = (git_dir / name for git_dir in self._submodules() for name in ("config", "config.worktree"))
        listed = b""
        for file in ((), *(("--file", str(path)) for path in inner if path.is_file())):
            command = ["config", *file, "--list", "--name-only", "--includes", "-z"]
            listed += self._start(command, hardening.settings_as_environ(self._settings)).finish()
        return set(split_nul_paths(listed))

    def _submodules(self) -> set[Path]:
        """The git folders of its submodules, at any depth."""
        found: set[Path] = set()
        todo = [self._own] if self._own else []
        while todo:
            outer = todo.pop()
            index = outer.git_dir / "index"
            # Listing 20,000 files takes 15 ms; looking for the mode of a submodule in the index takes 1.
            if not index.is_file() or _GITLINK not in index.read_bytes():
                continue
            place = {"GIT_DIR": str(outer.git_dir), "GIT_WORK_TREE": str(outer.top), "GIT_INDEX_FILE": str(index)}
            variables = {**hardening.settings_as_environ(self._settings), **place}
            listing = self._start(["ls-files", "--stage", "-z"], variables, cwd=outer.top)
            for row in listing.finish().split(b"\0"):
                if row[:6] != b"160000":
                    continue
                inner = git_folder.repository_at(outer.top / os.fsdecode(row.partition(b"\t")[2]))
                if inner and inner.git_dir not in found:
                    if len(found) >= _MAX_SUBMODULES:
                        raise GitFailed(128, f"there are more than {_MAX_SUBMODULES} submodules", "ls-files")
                    found |= {inner.git_dir, inner.common}
                    todo.append(inner)
        return found

    def _start(
        self, args: Sequence[str], env: Mapping[str, str], inherit: Sequence[int] = (), *, cwd: Path | None = None
    ) -> "GitProcess":
        given = {**self._environ, **env}
        if args[0] == "check-ignore":  # which refuses to work with literal pathspecs
            given["GIT_LITERAL_PATHSPECS"] = "0"
        # GitPython passes on our whole environment. What is not meant for git (keys above all) is blanked. An empty
        # variable of git's own is not the same as none, so for these few `env` is put before git to unset them.
        blank = {name: "" for name in os.environ if name not in given}
        unset = [word for name in blank if name.startswith("GIT_") for word in ("-u", name)]
        env_program = find_trusted_program("env", path="/usr/bin:/bin", root=self._workspace) or "/usr/bin/env"
        shell = _gitpython_class(self.program)(str(cwd or self._workspace))
        argv = [*([env_program, *unset] if unset else []), self.program, *args]
        env, pipe = {**blank, **given}, subprocess.PIPE
        process = shell.execute(
            argv, istream=pipe, as_process=True, env=env, shell=False, start_new_session=True, pass_fds=tuple(inherit)
        )
        return GitProcess(process, args[0])


class GitProcess:
    """A git that was started. Dropped unfinished, it is terminated."""

    def __init__(self, process: "git.cmd.Git.AutoInterrupt", command: str) -> None:
        self._process = process
        self._command = command
        self.stderr = b""

    def finish(self, stdin: bytes = b"", *, ok: Sequence[int] = (0,)) -> bytes:
        """Write `stdin` to it, wait for its end and return its output. Raises GitFailed."""
        process = self._popen()
        out, self.stderr = process.communicate(stdin)
        if process.returncode not in ok:
            raise GitFailed(process.returncode, self.stderr.decode("utf-8", "surrogateescape"), self._command)
        return out

    @property
    def pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        """Its stdin and stdout, for one that answers while it runs."""
        process = self._popen()
        assert process.stdin is not None
        assert process.stdout is not None
        return process.stdin, process.stdout

    def close(self) -> None:
        """End it, whatever it does."""
        process = self._popen()
        process.kill()
        process.communicate()

    def _popen(self) -> "subprocess.Popen[bytes]":
        assert self._process.proc is not None
        return self._process.proc


def make_index_check(workspace: Path, environ: Mapping[str, str]) -> Callable[[str, bytes], bool]:
    """Make a test whether the user's index holds just this content for a path (relative to `workspace`).

    The index is read through a private git folder, so nothing of the repository's configuration counts; content that
    is stored converted (line endings, filters), or in a repository of SHA-256, is taken as not held.
    """
    return _IndexContents(workspace, environ).holds


class _IndexContents:
    def __init__(self, workspace: Path, environ: Mapping[str, str]) -> None:
        self._workspace = workspace
        self._environ = environ
        self._key: tuple[int, ...] = ()
        self._ids: dict[str, str] = {}

    def holds(self, path: str, content: bytes) -> bool:
        own = git_folder.find_repository(self._workspace)
        if own is None:
            return False
        index = own.git_dir / "index"
        key = git_folder.stat_key(index)
        if key != self._key:
            self._key, self._ids = key, self._listed(own, index) if key else {}
        return self._ids.get(path) == blob_id(content)

    def _listed(self, own: Repository, index: Path) -> dict[str, str]:
        with tempfile.TemporaryDirectory(prefix="kimi-agent-") as name:
            private = Path(name)
            git_folder.make_bare_repository(private)
            try:
                git = Git(self._workspace, git_dir=private, index=index, top=own.top, environ=self._environ)
                listed = git.run("ls-files", "--stage", "-z")
            except (GitMissing, GitFailed):
                return {}
        rows = (row.partition(b"\t") for row in listed.split(b"\0") if row)
        return {os.fsdecode(path): head.split()[1].decode() for head, _, path in rows if head.endswith(b" 0")}


def _gitpython_class(program: str) -> "type[git.cmd.Git]":
    """Import GitPython's wrapper, which runs `git version` of the binary that we trust. Raises GitMissing."""
    with _import_environ(GIT_PYTHON_GIT_EXECUTABLE=program, GIT_PYTHON_REFRESH="quiet"):
        try:
            from git.cmd import Git as Shell
        except ImportError as error:
            raise GitMissing(f"git does not work here ({program})") from error

        return Shell


@contextlib.contextmanager
def _import_environ(**variables: str) -> Iterator[None]:
    """Set environment variables that GitPython reads from our own environment, at its import only."""
    if "git.cmd" in sys.modules:
        yield
        return
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
