"""`kimi-agent demo`: fixes a bug in a small real repository over real HTTP; only the model's words are scripted."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from kimi_agent.demo.mock_process import copy_with_pace, end_process, start_mock_server
from kimi_agent.demo.repository import make_repository, summarize_changes
from kimi_agent.errors import UserError

__all__ = ["run_demo"]

DEMO_FOLDER = Path(__file__).resolve().parent
TOKENS_PER_S = 45.0  # a person reads along at this speed
_MOST_S = 600.0
# What a person has set up for their own use must not reach the demo; the mark of an outer run must.
_PRIVATE = re.compile(r"(?!KIMI_AGENT_RUN$)(?:KIMI_|MOONSHOT_|OPENAI_|GIT_|PYTEST_|PYTHON(?!PATH$|UTF8$|IOENCODING$))")


def run_demo(
    *,
    keep: bool,
    tape: Path | None = None,
    stream: bool,
    environ: Mapping[str, str] = os.environ,
    out: TextIO | None = None,
) -> int:
    """Make the repository, let the agent mend it, then run its tests ourselves; 0 if they went from red to green.

    `keep` leaves the repository, `tape` replaces the packaged one, `stream` lets the model speak at reading speed.
    Progress goes to `out` (stdout), the agent writes to our own stdout and stderr. Raises UserError where git is
    missing or nothing can be written.
    """
    out = out or sys.stdout
    env = {name: value for name, value in environ.items() if not _PRIVATE.match(name)}
    if shutil.which("git", path=env.get("PATH")) is None:
        raise UserError("The demo needs git, which is not on the PATH: install git and try again.", 78)
    try:
        folder = Path(tempfile.mkdtemp(prefix="kimi-agent-demo-")).resolve()
    except OSError as error:
        raise UserError(f"The demo needs a temporary folder: {error.strerror}; set TMPDIR.", 78) from error
    try:
        with _stopped_by_sigterm():
            return _Demo(folder, env, out).play(tape or DEMO_FOLDER / "demo.jsonl", stream=stream)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # nobody reads any more: for the top of the program to report
        raise
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"The demo could not go on: {error}.", 78) from error
    finally:
        if keep:
            _say(out, f"  kept     {folder / 'teapot'}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
            _say(out, "  removed  the folder and the session in it (--keep leaves them)")


class _Demo:
    def __init__(self, folder: Path, env: Mapping[str, str], out: TextIO) -> None:
        self._folder = folder
        self._repository = folder / "teapot"
        self._env = env
        self._out = out

    def play(self, tape: Path, *, stream: bool) -> int:
        self._say("kimi-agent demo: a real bug, repository, patch and test run; only the model's words are scripted.\n")
        make_repository(DEMO_FOLDER / "files", self._repository, self._env)
        self._say(f"  folder   {self._repository}")
        red, before = self._test()
        self._say(f"  before   {before}")
        issue = (DEMO_FOLDER / "issue.md").read_text("utf-8")
        self._say(f"  issue    {issue.splitlines()[0].lstrip('# ')}\n")
        self._say("$ kimi-agent -p -y < issue.md")
        code = self._agent(issue, copy_with_pace(tape, TOKENS_PER_S, self._folder / "tape.jsonl") if stream else tape)
        green, after = self._test()
        self._say(f"\n  after    {after}  (run by the demo itself)")
        self._say(f"  changed  {summarize_changes(self._repository, self._env)}")
        if red == 1 and code == 0 and green == 0:
            self._say("\nGreen: the bug is fixed.")
            return 0
        self._say(f"\nRed: kimi-agent ended with {code}, the tests with {red} before and {green} after it.")
        return 1

    def _agent(self, issue: str, tape: Path) -> int:
        """The real program on the issue, as a process of its own; its exit code."""
        # The same kimi_agent that runs here, also from a checkout that is not installed.
        path = os.pathsep.join(filter(None, (str(DEMO_FOLDER.parent.parent), self._env.get("PYTHONPATH", ""))))
        env = {**self._env, "PYTHONPATH": path, "KIMI_AGENT_HOME": str(self._folder / "home")}
        program = (sys.executable, "-P", "-m", "kimi_agent")
        with start_mock_server((*program, "mock", str(tape)), env) as base_url:
            agent = subprocess.Popen(
                (*program, "-p", "-y"),
                cwd=self._repository,
                env={**env, "KIMI_BASE_URL": base_url},
                stdin=subprocess.PIPE,
            )
            try:
                agent.communicate(issue.encode(), timeout=_MOST_S)
            except subprocess.TimeoutExpired:
                self._say(f"\nkimi-agent did not end within {_MOST_S:g} s.")
            finally:
                end_process(agent)
            return agent.returncode

    def _test(self) -> tuple[int, str]:
        """The repository's tests in a process of our own: exit code and closing line."""
        ran = subprocess.run(
            (sys.executable, "-P", "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider"),
            cwd=self._repository,
            env={**self._env, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_MOST_S,
        )
        lines = (ran.stdout + ran.stderr).decode("utf-8", "replace").split("\n")
        return ran.returncode, next((line for line in reversed(lines) if line.strip()), f"exit {ran.returncode}")

    def _say(self, text: str) -> None:
        _say(self._out, text)


def _say(out: TextIO, text: str) -> None:
    # A terminal that cannot show a letter of a path gets an escape for it; the agent writes after us, so flush.
    out.write(text.encode(out.encoding or "ascii", "backslashreplace").decode(out.encoding or "ascii") + "\n")
    out.flush()


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Within this, SIGTERM and SIGHUP unwind the stack, so that no process and no folder is left behind."""

    def stop(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
