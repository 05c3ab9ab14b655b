"""Failure excerpts: a failing test's output cut to its message and the stack frames inside the workspace."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MAX_EXCERPT_LINES, MAX_MESSAGE_LINES, MAX_EXCERPT_LINE_CHARS = 15, 10, 300
_FRAME = re.compile(
    r'^(?:  File "(?P<native>.+)", line (?P<at>\d+), in .*|(?P<short>\S.*?):(?P<line>\d+): (?:in .*|\S+))$'
)
# The margin of an exception group's traceback, and the rules between its exceptions.
_GROUP_MARGIN = re.compile(r"^ *(?:\| ?|\+ (?=Exception Group Traceback)|\+[-+]+(?: \d+ -+)?$)")
_NO_MESSAGE = (" ", "Traceback (", "Exception Group Traceback (")
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_THIRD_PARTY_FOLDERS = ("site-packages", "dist-packages", ".venv", "venv", ".tox", ".nox", "node_modules")


@dataclass(frozen=True)
class FailureExcerpt:
    """`place` is "path:line" of the failing line, workspace-relative; "" where no frame lies in the workspace."""

    detail: str
    place: str
    last_message: str


def strip_escapes(text: str) -> str:
    """`text` without escape sequences and control characters."""
    return _ESCAPES.sub("", text)


def make_path_mapper(root: Path, folder: Path) -> Callable[[str], str]:
    """A function that makes a path of a report (relative to `folder`) workspace-relative; "" for one outside."""

    def spelled(path: str) -> str:
        try:
            inside = Path(_normalized(folder / path)).relative_to(root)
        except ValueError:
            return ""
        return "" if set(inside.parts) & set(_THIRD_PARTY_FOLDERS) else inside.as_posix()

    return spelled


def excerpt_python_failure(text: str, spelled: Callable[[str], str], test_file: str = "") -> FailureExcerpt:
    """`text` (a pytest short traceback or Python's own) in at most 15 lines."""
    messages: list[tuple[int, str]] = []
    frames: list[list[tuple[int, str]]] = []
    places: list[str] = []
    shown = True
    in_group = "Exception Group Traceback (most recent call last):" in text
    for number, line in enumerate(strip_escapes(text).split("\n")):
        line = line.rstrip()[:MAX_EXCERPT_LINE_CHARS]
        line = _GROUP_MARGIN.sub("", line) if in_group else line
        frame = _FRAME.match(line)
        if frame:
            path, at = frame["native"] or frame["short"], frame["at"] or frame["line"]
            inside = spelled(path)
            shown = bool(inside)
            if shown:
                places.append(f"{inside}:{at}")
                frames.append([(number, line.replace(path, inside, 1))])
        elif line.startswith("E  ") or (
            line and not line.startswith((" ", "Traceback (", "Exception Group Traceback ("))
        ):
            messages.append((number, line))
        elif shown and frames and line.strip(" ^~"):
            frames[-1].append((number, line))
    kept = _select_lines(messages, frames)
    in_test = [place for place in places if test_file and place.startswith(test_file + ":")]
    last = messages[-1][1] if messages else ""
    return FailureExcerpt("\n".join(kept), (in_test or places or [""])[-1], last)


def first_nonblank_line(text: str, most: int = MAX_EXCERPT_LINE_CHARS) -> str:
    """The first line of `text` that says something, cleaned and shortened."""
    line = next((line.strip() for line in strip_escapes(text).split("\n") if line.strip()), "")
    return line if len(line) <= most else line[: most - 1] + "…"


def _select_lines(messages: list[tuple[int, str]], frames: list[list[tuple[int, str]]]) -> list[str]:
    kept = messages[:MAX_MESSAGE_LINES]
    if len(messages) > MAX_MESSAGE_LINES:
        left_out = len(messages) - MAX_MESSAGE_LINES + 1
        kept = [*messages[: MAX_MESSAGE_LINES - 1], (messages[-1][0], f"… {left_out} more lines in the full log")]
    room = MAX_EXCERPT_LINES - len(kept)
    for frame in reversed(frames):  # the last frames are the nearest to the fault
        if len(frame) > room:
            break
        kept += frame
        room -= len(frame)
    return [line for _, line in sorted(kept)]


def _normalized(path: Path) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts = parts[:-1] or parts
        elif part != ".":
            parts.append(part)
    return str(Path(*parts))
