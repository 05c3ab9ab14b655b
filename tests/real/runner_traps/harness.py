"""Harness of the trap matrix: each cell as a turn of the whole program in a fresh git repository, with a tape.

A family of runners is a module of this folder that exports `CELLS`, and `BY_DOCUMENTATION`: the names of its runners
that cannot be run here. A kit makes a dozen cells at once, the rest are written by hand (`python.py` is the model):

    PYTEST = Kit(
        runner="pytest",
        tools=Tools(pypi=("pytest>=9",), programs=("pytest",)),
        files={"pytest.ini": "[pytest]\\n"},
        source=("calc.py", "def add(a, b):\\n    return a @op@ b\\n"),
        test_path="tests/test_calc.py",
        head="import os, time\\nfrom calc import add\\n",
        test="def test_@name@():\\n    @body@\\n",
        bodies={"adds": "assert add(1, 2) == 3", "keeps": "assert True", "fails": "assert 1 == 2",
                "quits": "os._exit(0)", "hangs": "time.sleep(60)", ...},
        other=("elsewhere/test_other.py", "def test_other():\\n    assert True\\n"),
        hides={"testpaths": {"pytest.ini": "[pytest]\\naddopts = --deselect tests/test_calc.py::test_fails\\n"}},
        reported="test_@name@",
    )
    CELLS = [
        *cells_of(PYTEST),
        Cell("pytest", "reruns", files={...}, steps=(Edit({"calc.py": "..."}), RUN),
             right=Right(verified=True, says=("flaky",)), tools=PYTEST.tools),
    ]

One at a time: `python -m pytest tests/real/test_runner_traps.py -m real -s -k pytest-hidden_red`. What fails shows the
verdict, what run_tests answered, and a folder to look into.
"""

import importlib
import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cli.fork_server import ForkServer
from tests.real.runner_traps.installed import Installed
from tests.real.runner_traps.traps import TRAPS, Cell, Edit, RunTests, Shell, Step

EXIT_NOT_GREEN = 4


@dataclass(frozen=True)
class Played:
    """What the program said of a turn: its exit code, the `tests` member of its result, stderr, the tools' answers."""

    exit_code: int
    tests: dict[str, Any]
    told: str
    answers: tuple[str, ...]
    root: Path

    def __str__(self) -> str:
        answers = "\n".join(f"--- answer {number}\n{text}" for number, text in enumerate(self.answers, start=1))
        return f"in {self.root}\nexit {self.exit_code}\n{self.told}\n{json.dumps(self.tests, indent=1)}\n{answers}"


def load_cells() -> list[Cell]:
    """The cells of all families. Raises ValueError for one that is there twice, or in a trap that is none."""
    found: dict[str, Cell] = {}
    for cell in _exported("CELLS"):
        if cell.name in found or cell.trap not in TRAPS:
            raise ValueError(f"{cell.name} is there twice, or its trap is none")
        found[cell.name] = cell
    return list(found.values())


def load_by_documentation() -> list[str]:
    """The names of the runners that no family can run here: written by their documentation alone."""
    return list(_exported("BY_DOCUMENTATION"))


def _exported(name: str) -> Iterator[Any]:
    for path in sorted(Path(__file__).parent.glob("*.py")):
        yield from getattr(importlib.import_module(f"{__package__}.{path.stem}"), name, ())


def play_cell(cell: Cell, installed: Installed, server: ForkServer, folder: Path) -> Played:
    """Run the cell in `folder` (made new)."""
    root, home = folder / "work", folder / "home"
    home.mkdir(parents=True)
    _write(root, cell.files)
    if installed.node_modules is not None and not (root / "node_modules").exists():
        (root / "node_modules").symlink_to(installed.node_modules)
    _commit(root)
    tape = home / "tape.jsonl"
    calls = [_call(step, home / f"edit{number}") for number, step in enumerate(cell.steps)]
    entries = [*({"calls": [call]} for call in calls), {"say": "Done: all tests pass."}]
    tape.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    env = {"HOME": os.environ["HOME"], "LANG": "C.UTF-8", "KIMI_AGENT_HOME": str(home), **installed.env}
    passed = [f"--set=env.pass={json.dumps(sorted(cell.tools.env))}"] if cell.tools.env else []
    argv = ("-p", "go", "-m", f"tape:{tape}", "-y", "--require-green", "--output-format", "json", *passed)
    done = server.run(argv, cwd=root, env=env)
    result: dict[str, Any] = json.loads(done.stdout)
    return Played(done.returncode, result["tests"], done.stderr, tuple(_answers(home)), root)


def wrong_with(cell: Cell, played: Played) -> list[str]:
    """What the program said of the cell that is not right; empty where all is."""
    right, tests = cell.right, played.tests
    found = []
    wanted = (0, "verified") if right.verified else (EXIT_NOT_GREEN, "not verified")
    said = (played.exit_code, "verified" if tests.get("verdict") == "verified" else "not verified")
    if said != wanted:
        found.append(f"exit {said[0]} and {said[1]}, not exit {wanted[0]} and {wanted[1]}")
    if (
        right.outcome
        and tests.get("outcome") not in right.outcome
        and not (not right.verified and not tests.get("outcome"))
    ):
        found.append(f"the run is {tests.get('outcome')}, not {' or '.join(right.outcome)}")
    for name, count in (("passed", right.passed), ("failed", right.failed)):
        if count is not None and tests.get(name) != count:
            found.append(f"{tests.get(name)} {name}, not {count}")
    everything = f"{played.told}\n{json.dumps(tests, ensure_ascii=False)}"
    return found + [f"nothing says {text!r}" for text in right.says if text not in everything]


def _write(root: Path, files: Any) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        if text.startswith("#!"):
            path.chmod(0o755)


def _commit(root: Path) -> None:
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", "-C", str(root))
    with (root / ".gitignore").open("a") as file:
        file.write("node_modules\ntarget/\n_build/\nbuild/\n__pycache__/\n")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "start")):
        subprocess.run((*git, *words), check=True)


def _call(step: Step, place: Path) -> dict[str, Any]:
    """The tool call of a step. Edits are copied from `place`, for a tape would fill in what stands in braces."""
    match step:
        case RunTests(arguments):
            return {"name": "run_tests", "args": dict(arguments)}
        case Shell(command):
            return {"name": "shell", "args": {"command": command}}
        case Edit(files, second_later):
            _write(place, {name: text for name, text in files.items() if text is not None})
            written = [name for name, text in files.items() if text is not None]
            gone = [name for name, text in files.items() if text is None]
            commands = [f"cp -R {shlex.quote(str(place))}/. ."] if place.exists() else []
            commands += [f"touch -d '1 second' {shlex.join(written)}"] if second_later and written else []
            commands += [f"rm -f {shlex.join(gone)}"] if gone else []
            return {"name": "shell", "args": {"command": " && ".join(commands)}}


def _answers(home: Path) -> Iterator[str]:
    for log in sorted((home / "state" / "sessions").rglob("main.jsonl")):
        for line in log.read_text("utf-8").splitlines():
            result = _find_key(json.loads(line), "result")
            if isinstance(result, dict) and isinstance(result.get("content"), str):
                yield result["content"]


def _find_key(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return (
            value[key] if key in value else next(filter(None, (_find_key(each, key) for each in value.values())), None)
        )
    return None
