"""Golden texts: the sentences that people and the model read, one file a room, one section a test."""

import fcntl
import re
from collections.abc import Callable
from pathlib import Path

Golden = Callable[..., None]
"""What the fixture `golden` gives: `golden(*texts, NAME=what differs from run to run)`."""
FOLDER = Path(__file__).resolve().parent / "golden"
_FENCE = "````"


def read_golden(room: str) -> dict[str, str]:
    """The text of each section by its test; empty where the room has none yet."""
    path = FOLDER / f"{room}.md"
    if not path.exists():
        return {}
    with path.open(encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        return _parse(file.read())


def write_golden(room: str, test: str, text: str) -> None:
    """Put in one section; other processes may do the same with theirs."""
    with (FOLDER / f"{room}.md").open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        sections = _parse(file.read()) | {test: text}
        file.truncate(0)
        file.write(f"# What tests/{room} saw on the screen or in an error, word for word (make golden)\n")
        for name in sorted(sections):
            file.write(f"\n## {name}\n{_FENCE}\n{sections[name]}\n{_FENCE}\n")


def _parse(text: str) -> dict[str, str]:
    return dict(re.findall(rf"(?ms)^## (\S+::[^\n]+)\n{_FENCE}\n(.*?)\n{_FENCE}$", text))
