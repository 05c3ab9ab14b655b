"""Fault injection for file transactions: system calls that fail or kill, forked children, and trees as text.

Run as a script it is the process that forks: `FILE FUNCTION ARGUMENTS` prints what that generator yields.
"""

import json
import os
import runpy
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from kimi_agent.workspace.confined_open import ConfinedOpener
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.transaction.syscalls import FileSyscalls
from tests.builders import make_files

FOREVER = 10**6
REPOSITORY = Path(__file__).resolve().parents[2]
Hook = Callable[[int, str], None]
Tree = Mapping[str, str]
"""A path and what stands there: `-> target` is a link, `600 text` a file of that mode."""


class Killed(BaseException):
    """Stands for a kill within one process: it comes at every further call, so no handler can do anything."""


class WatchedSyscalls(FileSyscalls):
    """Real system calls (without the wait for the disk); `before` and `after` get each one's number and name.

    Either may raise. A write puts out `chunk` bytes at most. `_names` are the calls that were made.
    """

    def __init__(
        self, before: Hook = lambda number, name: None, after: Hook = lambda number, name: None, chunk: int = 1 << 30
    ) -> None:
        super().__init__(ConfinedOpener())
        self._before = before
        self._after = after
        self._chunk = chunk
        self._names: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if name.startswith("_"):
            return value
        number = len(self._names)
        self._names.append(name)

        def call(*arguments: Any) -> Any:
            self._before(number, name)
            if name == "write":
                fd, data = arguments
                arguments = (fd, data[: self._chunk])
            try:
                return None if name.startswith("sync") else value(*arguments)
            finally:
                self._after(number, name)

        return call


def kill_from(first: int, kill: Callable[[], None]) -> Hook:
    """Kill at call `first`, and at each one after it."""

    def before(number: int, name: str) -> None:
        if number >= first:
            kill()

    return before


def fail_then_kill(call: str, nth: int, further: int) -> Hook:
    """The `nth` call to `call` fails; `further` calls later comes the kill."""
    seen, left = 0, FOREVER

    def before(number: int, name: str) -> None:
        nonlocal seen, left
        seen += name == call
        if name == call and seen == nth:
            left = further
            raise OSError(5, "Input/output error")
        if left == 0:
            kill_here()
        left -= 1

    return before


def kill_here() -> NoReturn:
    raise Killed


def kill_process() -> NoReturn:
    os._exit(9)


Attempt = Callable[[FileSyscalls], object]
Run = Callable[[int, Attempt], bool]


def survives_here(at: int, attempt: Attempt) -> bool:
    """Make the attempt with a kill at call `at`; True if it lived to the end."""
    try:
        attempt(WatchedSyscalls(kill_from(at, kill_here)))
    except Killed:
        return False
    return True


def survives_in_child(at: int, attempt: Attempt) -> bool:
    """The same in a child process that is really killed."""
    return fork(lambda: attempt(WatchedSyscalls(kill_from(at, kill_process))))


def fork(work: Callable[[], object]) -> bool:
    """Work in a child; True if it lived to the end, False if it was killed. Anything else fails the test."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9), code
    return code == 0


def run_as_script(function: Callable[..., Iterator[Any]], *given: Any) -> list[Any]:
    """What `function(*given)` yields in a process of its own, which has one thread and so may fork."""
    command = [sys.executable, "-P", __file__, function.__code__.co_filename, function.__name__]
    command.append(json.dumps(given, default=str))
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    run = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    assert run.stderr == "", run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def assert_old_then_new(is_new: Sequence[bool]) -> None:
    """Whether the tree was new after each kill, by the number of the call: it turns once."""
    assert is_new[0] is False
    assert is_new[-1] is True
    assert list(is_new) == sorted(is_new), "once it is new it stays new"


def open_files(folder: Path, syscalls: FileSyscalls | None = None, cwd: str = "") -> Files:
    """Files of `folder`/a workspace, without the wait for the disk."""
    root = folder / "a workspace"
    root.mkdir(parents=True, exist_ok=True)
    return make_files(root, folder / "state", cwd=root / cwd, syscalls=syscalls or WatchedSyscalls())


def journals(folder: Path) -> list[str]:
    """The names of the journals that were left."""
    return sorted(path.name for path in folder.glob("state/journal/*"))


def write_tree(root: Path, tree: Tree) -> None:
    for name, what in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        mode, _, text = what.partition(" ")
        if mode == "->":
            path.symlink_to(text)
        else:
            path.write_text(text)
            path.chmod(int(mode, 8))


def read_tree(root: Path) -> dict[str, str]:
    """What `write_tree` would make; a folder that is empty is "folder"."""
    found: dict[str, str] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = f"{stat.S_IMODE(path.stat().st_mode):o} {path.read_text()}"
        elif not any(path.iterdir()):
            found[name] = "folder"
    return found


if __name__ == "__main__":
    file, function, given = sys.argv[1:]
    for line in runpy.run_path(file)[function](*json.loads(given)):
        print(json.dumps(line), flush=True)
