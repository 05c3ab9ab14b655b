"""Fork server: a process that has imported the program already and forks once for each run of it.

A run in it is what `python -m kimi_agent` does (own session, streams, environment and exit code) without the half
second of imports. Run as a script, with the number of its socket, it is that process.
"""

import array
import contextlib
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import socket
import subprocess
import sys
import tempfile
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

TIMEOUT_S = 50


class ForkServer:
    """The parent's side: asks for runs, one at a time, each of at most `timeout_s` seconds."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(timeout_s)
        source = str(Path(__file__).resolve().parents[2])
        environ = {"PATH": os.environ["PATH"], "LANG": "C", "PYTHONPATH": source}
        command = [sys.executable, "-P", __file__, str(theirs.fileno())]
        self._process = subprocess.Popen(command, env=environ, pass_fds=[theirs.fileno()], start_new_session=True)
        theirs.close()

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | str,
        env: Mapping[str, str],
        stdin: bytes = b"",
        terminal: Sequence[int] = (),
    ) -> "subprocess.CompletedProcess[str]":
        """Run the program to its end; output as text. `terminal` may hold a terminal's descriptor, for its /dev/tty."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(stdin)
            given.seek(0)
            fds = array.array("i", [given.fileno(), out.fileno(), err.fileno(), *terminal])
            request = json.dumps([list(argv), str(cwd), dict(env)]).encode()
            self._socket.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
            code = int(self._socket.recv(20))
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode())
        return subprocess.CompletedProcess(argv, code, *texts)

    def close(self) -> None:
        self._socket.close()
        self._process.wait(TIMEOUT_S)


def serve(control: socket.socket) -> None:
    """Fork for each request, and answer with the exit code."""
    import kimi_agent
    from kimi_agent.errors import UserError

    for module in pkgutil.walk_packages(kimi_agent.__path__, "kimi_agent."):
        if not module.name.endswith("__main__") and ".builtin" not in module.name:
            importlib.import_module(module.name)
    from kimi_agent.cli.run.flags import parse_flags
    from kimi_agent.layers import Layer, built_in_root
    from kimi_agent.model.wire.chat_completions import preload_http_client
    from kimi_agent.toolbox import load_tools

    preload_http_client()
    load_tools([Layer("built-in", built_in_root())])
    with contextlib.suppress(UserError):
        parse_flags(["--output-format", "none"])  # what typer imports at its first parse
    gc.collect()
    gc.freeze()  # else each child would copy the whole heap when it collects
    while True:
        request, fds, _, _ = socket.recv_fds(control, 1 << 20, 4)
        if not request:
            return
        child = os.fork()
        if child == 0:
            control.close()
            become_program(fds, *json.loads(request))
        for fd in fds:
            os.close(fd)
        control.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())


def become_program(fds: Sequence[int], argv: list[str], cwd: str, env: dict[str, str]) -> None:
    """Be the program with these streams, and the terminal behind them if there is one; never returns."""
    from kimi_agent.cli import console_main

    try:
        os.setsid()
        for fd, number in zip(fds[:3], range(3), strict=True):
            os.dup2(fd, number)
            os.close(fd)
        for fd in fds[3:]:
            fcntl.ioctl(fd, termios.TIOCSCTTY, 0)
            os.close(fd)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(env)
        sys.argv = ["kimi-agent", *argv]
        texts = (
            os.fdopen(number, mode, encoding="utf-8", errors="surrogateescape") for number, mode in enumerate("rww")
        )
        sys.stdin, sys.stdout, sys.stderr = texts
        console_main()
    finally:
        os._exit(99)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
