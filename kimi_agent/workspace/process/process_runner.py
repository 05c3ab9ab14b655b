"""The process runner of the tools: runs processes as whole trees, with bounded output, and leaves none behind."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kimi_agent.errors import ToolError
from kimi_agent.printable import escape_path
from kimi_agent.workspace.files.outputs import Outputs
from kimi_agent.workspace.process.child_process import Child, Pipe
from kimi_agent.workspace.process.child_registry import Children
from kimi_agent.workspace.process.environ import RUN_MARK, allowed_environ, shell_environ
from kimi_agent.workspace.process.head_and_tail import HeadAndTail
from kimi_agent.workspace.process.launch import find_trusted_program, is_within
from kimi_agent.workspace.process.output_capture import OutputCapture
from kimi_agent.workspace.process.sandbox import WrapCommand, no_sandbox

HEAD_CHARS = 8_000
TAIL_CHARS = 20_000
_QUIET_S = 0.3
_REST_S = 2.0
_MAX_ERRORS = 16_384


@dataclass(frozen=True)
class ProcessResult:
    """How a process ended, and what it printed (stdout and stderr as they came, cleaned).

    `exit_code` is None after a kill by us (`timed_out`, or `cut_off` where it printed more than is kept of any
    process) and 128 + N where signal N ended it. `text` is all output, or head and tail around a line that counts
    what is missing and names `output`, the whole on disk. `cwd` is where the next shell call starts; `note` reports
    processes that still run in the background, and a directory that could not be kept.
    """

    exit_code: int | None
    timed_out: bool
    cut_off: bool
    duration_s: float
    text: str
    total_bytes: int
    total_lines: int
    output: str
    cwd: Path
    note: str = ""


@dataclass(frozen=True)
class StreamedResult:
    """How a process ended whose stdout went to a sink; `stopped` is true where the sink had enough."""

    exit_code: int | None
    timed_out: bool
    stopped: bool
    errors: str


class ProcessRunner:
    """Starts processes, and keeps track of all that it started.

    Each gets a session of its own, no stdin, no terminal, and the allowed part of the environment. Where a run ends
    by time, by too much output or by cancellation, its tree is killed; a run that starts later waits until it is dead.
    What a run leaves in the background lives on until `kill_all` or `aclose`.
    """

    def __init__(
        self,
        *,
        root: Path,
        cwd: Path,
        outputs: Outputs,
        environ: Mapping[str, str],
        env_pass: Sequence[str] = (),
        register: Path,
        wrap: WrapCommand = no_sandbox,
    ) -> None:
        self.root = Path(os.path.realpath(root))
        self.cwd = Path(os.path.realpath(cwd))
        self._outputs = outputs
        self._environ = allowed_environ(environ, env_pass)
        self._children = Children(register, outer=environ.get(RUN_MARK, ""))
        self._wrap = wrap

    async def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        head_chars: int = HEAD_CHARS,
        tail_chars: int = TAIL_CHARS,
        on_output: Callable[[str], None] | None = None,
    ) -> ProcessResult:
        """Run a program to its end. `on_output` gets the newest line, at most ten times a second.

        Ended means: it exited, and then its output did, or 0.3 s passed. Raises ToolError where it cannot be started.
        """
        capture = self._capture(HeadAndTail(head_chars, tail_chars), on_output)
        return await self._captured(argv, capture, timeout_s=timeout_s, cwd=cwd, env={**self._environ, **(env or {})})

    async def shell(
        self,
        command: str,
        *,
        timeout_s: float,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        on_output: Callable[[str], None] | None = None,
    ) -> ProcessResult:
        """Run a command in a fresh shell. If it ends in a folder inside the workspace, the next one starts there."""
        if cwd is not None and not is_within(cwd, self.root):
            raise ToolError("outside", f"{escape_path(str(cwd))} is outside the workspace", "give a cwd inside it")
        read_end, write_end = os.pipe()
        try:
            argv = shell_argv(self._shell(), command, report=write_end)
            capture = self._capture(HeadAndTail(HEAD_CHARS, TAIL_CHARS), on_output)
            env = {**shell_environ(self._environ), **(env or {})}
            finished = await self._captured(argv, capture, timeout_s=timeout_s, cwd=cwd, env=env, inherit=(write_end,))
            os.set_blocking(read_end, False)
            with contextlib.suppress(BlockingIOError):
                return self._moved(finished, os.read(read_end, 65_536))
            return finished
        finally:
            os.close(read_end)
            os.close(write_end)

    async def feed(
        self,
        argv: Sequence[str],
        sink: Callable[[bytes], bool],
        *,
        timeout_s: float,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> StreamedResult:
        """Run a program and hand its raw stdout to `sink`, piece by piece, until it returns False.

        The first 16 kB of stderr come back as text. For programs that leave nothing in the background.
        """
        await self._children.wait_until_dead()
        enough = False
        errors = bytearray()

        def out(data: bytes) -> None:
            nonlocal enough
            if not enough and not sink(data):
                enough = True
                child.wake.set()

        def err(data: bytes) -> None:
            errors.extend(data[: _MAX_ERRORS - len(errors)])

        place = cwd or self._place()
        words = self._words(argv, place)
        child = self._children.start(words, place, {**self._environ, **(env or {})}, (Pipe(out), Pipe(err)))
        code: int | None = None
        try:
            timed_out = await _wait_for_wake(child, timeout_s)
            if not timed_out and not enough:
                # All of stdout is wanted: the pipe may hold more than was read when the exit was seen.
                await child.drained(within_s=_REST_S)
                code = _exit_code(child.process.poll())
        finally:
            if code is None:
                self._children.end(child)
            else:
                self._children.forget(child)
        return StreamedResult(code, timed_out, enough, errors.decode("utf-8", "replace"))

    def which(self, name: str) -> str | None:
        """The absolute path of a program by the PATH that children get, never one that lies in the workspace."""
        return find_trusted_program(name, path=self._environ["PATH"], root=self.root)

    async def wait_until_dead(self) -> None:
        """Wait until every interrupted tree is dead. Raises ToolError where one will not die."""
        await self._children.wait_until_dead()

    def kill_all(self) -> None:
        """Kill every tree and wait until it is dead, a second at most. For signal handlers and the exit too."""
        self._children.kill_all()

    async def aclose(self) -> None:
        """End all that still runs, and take it off the event loop."""
        self._children.close()

    def _capture(self, ends: HeadAndTail, on_output: Callable[[str], None] | None) -> OutputCapture:
        return OutputCapture(self._outputs, ends, now=asyncio.get_running_loop().time, on_line=on_output)

    async def _captured(
        self,
        argv: Sequence[str],
        capture: OutputCapture,
        *,
        timeout_s: float,
        cwd: Path | None,
        env: Mapping[str, str],
        inherit: Sequence[int] = (),
    ) -> ProcessResult:
        """Run `argv` with stdout and stderr in one pipe, in the order in which they come."""
        await self._children.wait_until_dead()
        now = asyncio.get_running_loop().time

        def take(data: bytes) -> None:
            if not capture.full:
                capture.feed(data)
            if capture.full:
                child.wake.set()

        began = now()
        place = cwd or self._place()
        child = self._children.start(self._words(argv, place), place, env, (Pipe(take),), inherit)
        code: int | None = None
        whole = False
        try:
            timed_out = await _wait_for_wake(child, timeout_s)
            duration_s = now() - began
            if timed_out:
                await self._children.terminate(child)
            elif not capture.full:
                code = _exit_code(child.process.poll())
            if code is None:
                self._children.kill(child)
            # Not to the end of the pipe: a process in the background may hold it open for hours.
            await child.drained(within_s=_QUIET_S)
            whole = True
        finally:
            if not whole:
                capture.discard()
            if not whole or code is None:
                self._children.end(child)
        note = "" if code is None else self._children.describe_background(child)
        cut_off = code is None and not timed_out
        got = capture.finish()
        return ProcessResult(
            code, timed_out, cut_off, duration_s, got.text, got.total_bytes, got.total_lines, got.output, self.cwd, note
        )

    def _place(self) -> Path:
        """The directory for a child that was given none."""
        if self.cwd.is_dir():
            return self.cwd
        gone, self.cwd = self.cwd, self.root
        if gone == self.root:
            raise ToolError("missing", f"the workspace {escape_path(str(gone))} is gone", "tell the user")
        text = f"the working directory {escape_path(str(gone))} is gone"
        raise ToolError("missing", text, "call again: it starts in the workspace root")

    def _moved(self, finished: ProcessResult, reported: bytes) -> ProcessResult:
        """Make the directory in which a shell reported to have ended the next `cwd`."""
        there = Path(os.fsdecode(reported.removesuffix(b"\n")))
        if not reported or not there.is_dir():
            return finished
        if is_within(there, self.root):
            self.cwd = there
            return replace(finished, cwd=there)
        outside = f"the shell ended in {escape_path(str(there))}, outside the workspace"
        note = f"{outside}; the next call starts where this one did"
        return replace(finished, note="\n".join(filter(None, (finished.note, note))))

    def _shell(self) -> str:
        shell = self.which("bash") or self.which("sh")
        if shell is None:
            raise ToolError("missing", "there is neither bash nor sh on PATH", "tell the user")
        return shell

    def _words(self, argv: Sequence[str], cwd: Path) -> Sequence[str]:
        """`argv` as it is started: the program by its absolute path, the whole inside the sandbox."""
        name = argv[0]
        program = os.path.join(cwd, name) if "/" in name else self.which(name)
        if program is None:
            raise ToolError("missing", f"there is no program {name!r} on PATH", "install it, or give its path")
        return self._wrap([program, *argv[1:]])


def shell_argv(shell: str, command: str, *, report: int) -> list[str]:
    """The argument vector that runs `command` and writes the directory where it ended to the descriptor `report`."""
    bash = os.path.basename(shell) == "bash"
    redirect = f">&{report}" if bash else f">/dev/fd/{report}"  # dash knows `>&` for one digit only
    # On the command's first line, so that the shell's own messages count its lines right.
    trap = f"trap '{{ set +x; pwd -P {redirect} || :; }} 2>/dev/null' EXIT; "
    return [shell, *(["--noprofile", "--norc"] if bash else []), "-c", trap + command]


async def _wait_for_wake(child: Child, timeout_s: float) -> bool:
    """Wait until the child's `wake` is set; True where `timeout_s` seconds passed before."""
    try:
        async with asyncio.timeout(timeout_s):
            await child.wake.wait()
    except TimeoutError:
        return True
    return False


def _exit_code(returncode: int | None) -> int | None:
    return 128 - returncode if returncode is not None and returncode < 0 else returncode
