"""What the rows share in making cases of what a runner reported."""

import itertools
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from kimi_agent.log.views import TestCase
from kimi_agent.workspace.testrun.reports.failure_excerpt import (
    MOST_CHARS,
    MOST_LINES,
    MOST_MESSAGE_LINES,
    Cut,
    clean,
    first_line,
)
from kimi_agent.workspace.testrun.values import Reading, Target, Wish

MOST_CASES = 20_000
BAD = ("failed", "error")

Frame = Callable[[str], str | None]
"""Of a line: "path:line" for a frame in the workspace, "" for a frame elsewhere, None for what is no frame."""


def cut_innermost_first(text: str, frame: Frame, test_file: str = "") -> Cut:
    """A failure's text in at most 15 lines: the message, and the frames in the workspace, which follow it.

    The place is the innermost frame in the test's own file, else in the workspace.
    """
    message: list[str] = []
    frames: list[str] = []
    places: list[str] = []
    last = ""
    for raw in clean(text).split("\n"):
        line = raw.rstrip()[:MOST_CHARS]
        place = frame(line)
        if place:
            places.append(place)
            frames.append(line)
        elif place is None and line.strip() and not re.fullmatch(r"\s*\.\.\. \d+ (?:more|common frames omitted)", line):
            message.append(line)
            last = line
    if len(message) > MOST_MESSAGE_LINES:
        left_out = len(message) - MOST_MESSAGE_LINES + 1
        message = [*message[: MOST_MESSAGE_LINES - 1], f"… {left_out} more lines in the full log"]
    in_test = [place for place in places if test_file and place.startswith(test_file + ":")]
    return Cut("\n".join([*message, *frames[: MOST_LINES - len(message)]]), (in_test or places or [""])[0], last)


def merged(cases: Iterable[TestCase]) -> tuple[TestCase, ...]:
    """One case for each id, the worst of those that share it; passing ones beyond a bound are left out."""
    kept: dict[str, TestCase] = {}
    for case in cases:
        known = kept.get(case.id)
        if known is None:
            if case.outcome in BAD or len(kept) < MOST_CASES:
                kept[case.id] = case
        elif known.outcome not in BAD and (case.outcome in BAD or known.outcome == "skipped"):
            kept[case.id] = case
    return tuple(kept.values())


def of_build(cases: tuple[TestCase, ...], *, exit_code: int | None, why: str, trouble: str = "") -> Reading:
    """The reading of a runner that also builds, whose exit code tells failing tests and a failing build alike.

    `why` is the build's first error. Green tests beside a build that failed elsewhere are no success: other tests
    did not run.
    """
    if exit_code in (0, None) or any(case.outcome in BAD for case in cases):
        return Reading(cases, trouble=trouble)
    return Reading(cases, broken=why or trouble or f"the build failed (exit {exit_code})")


def first_errors(lines: Iterable[str], pattern: re.Pattern[str], most: int = 8) -> str:
    """The first line that `pattern` finds, and what follows it, at most `most` lines; "" where none does."""
    found: list[str] = []
    for raw in lines:
        line = clean(raw).rstrip()[:MOST_CHARS]
        if line.strip() and (found or pattern.search(line)):
            found.append(line)
            if len(found) == most:
                break
    return "\n".join(found)


def name_of(text: str) -> str:
    """A test's name as the part of an id: one line, no control characters."""
    return first_line(" ".join(text.split("\n")) if "\n" in text else text)


def relative(path: Path, folder: Path) -> str:
    """`path` as a program started in `folder` takes it; never to be read as an option."""
    spelled = os.path.relpath(path, folder)
    return f"./{spelled}" if spelled.startswith(("-", "@")) else spelled


def subfolders(path: Path, most: int = 1_000) -> list[str]:
    """The names of the real folders (no links) in `path`, sorted; [] where it cannot be listed."""
    try:
        with os.scandir(path) as entries:
            return sorted(
                entry.name for entry in itertools.islice(entries, most) if entry.is_dir(follow_symlinks=False)
            )
    except OSError:
        return []


def one_kind(wish: Wish) -> Sequence[Target] | None:
    """The targets, if all of them name a test inside a file or none does; None for a mixture."""
    nodes = sum(bool(target.node) for target in wish.targets)
    return wish.targets if nodes in (0, len(wish.targets)) else None
