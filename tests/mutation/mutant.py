"""Mutants of the evidence code: one broken rule each, tried on a copy of the program with the tests of `make test`."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("kimi_agent", "tools", "prompts", "tests", "pyproject.toml", "README.md", "ARCHITECTURE.md", "Makefile")
WITNESSES = ("tests/verify", "tests/workspace/testrun")
"""The tests that hold the rules."""
NOTICED_EXIT_CODE = 1  # pytest's for failed tests; a mutant that cannot be imported would be 2, and is none
PATIENCE_S = 600


@dataclass(frozen=True)
class Mutant:
    """`rule` broken: `old`, which stands once in `file`, becomes `new`. `witness` is where a test should notice."""

    rule: str
    file: str
    old: str
    new: str
    witness: str = ""

    @property
    def name(self) -> str:
        """As a parameter of pytest."""
        change = f"{self.old.strip()}->{self.new.strip()}"
        return re.sub(r"[^\w.>=-]+", "_", f"{self.rule}-{Path(self.file).stem}-{change}")[:150]

    def problem(self) -> str:
        """Why it is no mutant of the code as it is; "" where it is one."""
        count = (ROOT / self.file).read_text("utf-8").count(self.old)
        return "" if count == 1 else f"{self.file} holds {self.old!r} {count} times"


def is_noticed(mutant: Mutant, folder: Path) -> tuple[bool, str]:
    """Whether a test fails for the mutant, and the end of what pytest wrote. `folder` is made new."""
    for part in PARTS:
        _link(ROOT / part, folder / part)
    file = folder / mutant.file
    text = file.read_text("utf-8")
    file.unlink()  # it is a link to the real one
    file.write_text(text.replace(mutant.old, mutant.new), "utf-8")
    said = ""
    for tests in ((mutant.witness,), WITNESSES) if mutant.witness else (WITNESSES,):
        noticed, said = _run(tests, folder)
        if noticed:
            return True, said
    return False, said


def _run(tests: tuple[str, ...], folder: Path) -> tuple[bool, str]:
    command = (sys.executable, "-m", "pytest", "-x", "-p", "no:xdist", "-m", "not real and not long and not attacks")
    env = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        (*command, *tests), cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    return done.returncode == NOTICED_EXIT_CODE, f"pytest exit {done.returncode}\n{(done.stdout + done.stderr)[-2000:]}"


def _link(source: Path, copy: Path) -> None:
    """A copy of hard links, which takes no time and keeps the bytecode valid; real copies across file systems."""

    def linked(old: str, new: str) -> None:
        try:
            os.link(old, new)
        except OSError:
            shutil.copy2(old, new)

    copy.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, copy, copy_function=linked, symlinks=True)
    else:
        linked(str(source), str(copy))
