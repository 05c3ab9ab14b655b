"""Python interpreter choice for a project's tests: its own environment first, else python3, else ours.

What is chosen names itself, and says what is unusual about it.
"""

import itertools
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.workspace.process.process_runner import ProcessRunner
from kimi_agent.workspace.testrun.commands_and_reports import TestCommand
from kimi_agent.workspace.testrun.projects.project_folder import walk_up

# The first entry of sys.path is the current folder, which is the repository's: nothing of it may load here, because
# this also runs for the preview that a person sees before anything was allowed.
_PROBE = "import sys; sys.path.pop(0); import importlib.util as u; sys.exit(u.find_spec('pytest') is None)"

_TEST_MODULES = ("pytest", "unittest")


@dataclass(frozen=True)
class PythonInterpreter:
    """The words before `-m`: as they are started, and as they are shown. `note` says what is unusual."""

    argv: tuple[str, ...]
    shown: str
    note: str = ""

    def command(
        self, runner: str, why: str, words: tuple[str, ...], folder: Path, *, shown: tuple[str, ...] | None = None
    ) -> TestCommand:
        """The command that runs `words` with this interpreter in `folder`; `shown` is what a person would type."""
        evidence = f"{why}; {self.note}" if self.note else why
        # No bytecode is written: a file edited twice within a second, to the same size, would run from a stale one.
        env = {"PYTHONDONTWRITEBYTECODE": "1"}
        text = f"{self.shown} {shlex.join(words if shown is None else shown)}"
        return TestCommand(runner, evidence, (*self.argv, *words), text, folder, env)


class InterpreterFinder:
    """Chooses the Python for a folder. `own` is ours; `virtual_env` an activated environment ("" for none)."""

    def __init__(self, root: Path, runner: ProcessRunner, *, own: str, virtual_env: str = "") -> None:
        self._root = root
        self._runner = runner
        self._own = own
        self._virtual_env = virtual_env
        self._probed: dict[str, bool] = {}

    async def choose(self, folder: Path, *, pytest: bool) -> PythonInterpreter:
        """The interpreter for the tests of `folder`; with `pytest` one that has it.

        Nothing of the repository runs here: its environments are judged by the files in them.
        """
        for lock, program in (("uv.lock", "uv"), ("poetry.lock", "poetry")):
            found = self._runner.which(program)
            if found and any((place / lock).is_file() for place in walk_up(folder, self._root)):
                return PythonInterpreter((found, "run", "python"), f"{program} run python")
        for environment in self._environments(folder):
            python = environment / "bin" / "python"
            if os.access(python, os.X_OK) and (not pytest or _has_pytest(environment)):
                return PythonInterpreter((str(python),), str(python.relative_to(self._root)))
        system = self._runner.which("python3")
        if system and (not pytest or await self._can_import_pytest(system)):
            return PythonInterpreter((system,), "python3")
        what = "no other interpreter here has pytest" if pytest else "there is no python3 on the PATH"
        return PythonInterpreter((self._own,), "python", f"the interpreter of kimi-agent itself: {what}")

    def _environments(self, folder: Path) -> Iterator[Path]:
        for place in walk_up(folder, self._root):
            yield place / ".venv"
            yield place / "venv"
        activated = Path(self._virtual_env) if self._virtual_env else None
        if activated and self._root in activated.parents:
            yield activated

    async def _can_import_pytest(self, python: str) -> bool:
        if python not in self._probed:
            finished = await self._runner.run((python, "-c", _PROBE), timeout_s=20.0, cwd=self._root)
            self._probed[python] = finished.exit_code == 0
        return self._probed[python]


def _has_pytest(environment: Path) -> bool:
    return any((site / "pytest" / "__init__.py").is_file() for site in environment.glob("lib/python3*/site-packages"))


def find_python_test_module(words: Sequence[str]) -> str:
    """pytest or unittest, whichever `python -m` runs in a command; "" for neither."""
    return next((name for flag, name in itertools.pairwise(words[:7]) if flag == "-m" and name in _TEST_MODULES), "")
