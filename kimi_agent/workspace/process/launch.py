"""Process launch: starts each child process the same way, and reports in one sentence why one did not start."""

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from kimi_agent.errors import ToolError
from kimi_agent.printable import escape_path
from kimi_agent.workspace.process.environ import DEFAULT_PATH

_OOM_SCORE = "1000"


def launch_process(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdout: int, stderr: int, inherit: Sequence[int] = ()
) -> "subprocess.Popen[bytes]":
    """Start `argv` in a session of its own, without stdin and without a terminal. Raises ToolError.

    No preexec_fn (unsafe beside threads) and no PR_SET_PDEATHSIG (it follows the thread, not the process).
    """
    try:
        process = subprocess.Popen(
            [_bytes(word) for word in argv],
            cwd=os.fsencode(cwd),
            env={_bytes(name): _bytes(value) for name, value in env.items()},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            pass_fds=inherit,
            start_new_session=True,
        )
    except OSError as error:
        raise _start_error(error, argv[0], cwd) from error
    # Where memory runs out the kernel shall kill the command, not us.
    with contextlib.suppress(OSError):
        Path(f"/proc/{process.pid}/oom_score_adj").write_text(_OOM_SCORE, "ascii")
    return process


def find_trusted_program(name: str, *, path: str, root: Path) -> str | None:
    """The absolute path of a program on `path`, else in the system's own folders; None if it is nowhere.

    Relative entries and what lies below `root` are passed over: a repository must not be able to replace the
    programs that we start ourselves.
    """
    system = DEFAULT_PATH.split(os.pathsep)
    for entry in [*path.split(os.pathsep), *system]:
        if not entry.startswith("/"):
            continue
        found = shutil.which(name, path=entry)
        if found and (entry in system or not (is_within(entry, root) or is_within(found, root))):
            return found
    return None


def is_within(path: str | Path, root: Path) -> bool:
    """Whether `path`, with all links resolved, is `root` (a resolved path) or lies below it."""
    return Path(os.path.realpath(path)).is_relative_to(root)


def _bytes(text: str) -> bytes:
    """`text` for the kernel: UTF-8 whatever the locale. Raises ToolError for what no process can be given."""
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ToolError("bad_arguments", "the command holds a lone surrogate", "send valid Unicode text") from error
    if b"\0" in data:
        hint = "write it as \\0 in the shell's own syntax"
        raise ToolError("bad_arguments", "the command holds a NUL character", hint)
    return data


def _start_error(error: OSError, program: str, cwd: Path) -> ToolError:
    match error.errno:
        case errno.E2BIG:
            text = "the command is too long for this system (about 128 kB)"
            return ToolError("bad_arguments", text, "write it to a file with write_file and run that file")
        case errno.ENOENT | errno.ENOTDIR if not cwd.is_dir():
            return ToolError("missing", f"there is no directory {escape_path(str(cwd))}", "give a cwd that exists")
        case errno.ENOENT:
            return ToolError("missing", f"there is no program {program!r}, or its interpreter is missing")
        case errno.EACCES if not os.access(cwd, os.X_OK):
            return ToolError("io", f"the directory {escape_path(str(cwd))} may not be entered", "give another cwd")
        case _:
            return ToolError("io", f"{program!r} could not be started: {error.strerror or error}")
