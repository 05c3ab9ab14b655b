"""Test case helpers shared by all runners: merge cases, clean test names, excerpt a failure's stack trace."""

import itertools
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, Target, TestSelection
from kimi_agent.workspace.testrun.reports.failure_excerpt import (
    MAX_EXCERPT_LINE_CHARS,
    MAX_EXCERPT_LINES,
    MAX_MESSAGE_LINES,
    FailureExcerpt,
    first_nonblank_line,
    strip_escapes,
)

MAX_CASES = 20_000
_MOST_LAST_WORDS = 3

FrameMatcher = Callable[[str], str | None]
"""Gives for a line: "path:line" of a frame in the workspace, "" for a frame elsewhere, None for what is no frame."""


def match_frames(pattern: re.Pattern[str], spelled: Callable[[str], str], elsewhere: str = r"(?!)") -> FrameMatcher:
    """The matcher of frames that `pattern` matches whole, by its groups `path` and `line`.

    A line that begins as `elsewhere` is a frame too, but one without a place.
    """
    begins = re.compile(elsewhere)

    def match(line: str) -> str | None:
        found = pattern.fullmatch(line)
        if found is None:
            return "" if begins.match(line) else None
        path = spelled(found["path"])
        return f"{path}:{found['line']}" if path else ""

    return match


def excerpt_innermost_first(text: str, frame: FrameMatcher, test_file: str = "") -> FailureExcerpt:
    """A failure's text in at most 15 lines: the message, and the frames in the workspace, which follow it.

    The place is the innermost frame in the test's own file, else in the workspace.
    """
    message: list[str] = []
    frames: list[str] = []
    places: list[str] = []
    last = ""
    for raw in strip_escapes(text).split("\n"):
        line = raw.rstrip()[:MAX_EXCERPT_LINE_CHARS]
        place = frame(line)
        if place:
            places.append(place)
            frames.append(line)
        elif place is None and line.strip() and not re.fullmatch(r"\s*\.\.\. \d+ (?:more|common frames omitted)", line):
            message.append(line)
            last = line
    if len(message) > MAX_MESSAGE_LINES:
        left_out = len(message) - MAX_MESSAGE_LINES + 1
        message = [*message[: MAX_MESSAGE_LINES - 1], f"… {left_out} more lines in the full log"]
    in_test = [place for place in places if test_file and place.startswith(test_file + ":")]
    detail = "\n".join([*message, *frames[: MAX_EXCERPT_LINES - len(message)]])
    return FailureExcerpt(detail, (in_test or places or [""])[0], last)


def merge_cases(cases: Iterable[TestCase]) -> tuple[TestCase, ...]:
    """One case for each id, the worst of those that share it; passing ones beyond a bound are left out."""
    kept: dict[str, TestCase] = {}
    for case in cases:
        known = kept.get(case.id)
        if known is None:
            if case.outcome in FAILED_OUTCOMES or len(kept) < MAX_CASES:
                kept[case.id] = case
        elif known.outcome not in FAILED_OUTCOMES and (case.outcome in FAILED_OUTCOMES or known.outcome == "skipped"):
            kept[case.id] = case
    return tuple(kept.values())


def make_build_report(
    cases: tuple[TestCase, ...], *, exit_code: int | None, why: str, trouble: str = "", has_all_tests: bool = False
) -> ParsedReport:
    """The report of a runner that also builds: its exit code is the same for failing tests and for a failing build.

    `why` is the build's first error. Green tests beside a build that failed elsewhere are no success: other tests
    did not run. `has_all_tests` says that they did, so that the run failed for another reason (a coverage limit).
    """
    if exit_code in (0, None) or any(case.outcome in FAILED_OUTCOMES for case in cases):
        return ParsedReport(cases, trouble=trouble)
    if cases and has_all_tests:
        reasons = filter(None, (first_nonblank_line(why), trouble))
        return ParsedReport(cases, trouble="; ".join(reasons), announced=len(cases))
    return ParsedReport(cases, fatal_error=why or trouble or f"the build failed (exit {exit_code})")


def excerpt_first_error(lines: Iterable[str], pattern: re.Pattern[str], most: int = 8) -> str:
    """The first line that `pattern` finds, and what follows it, at most `most` lines; "" where none does."""
    found: list[str] = []
    for raw in lines:
        line = strip_escapes(raw).rstrip()[:MAX_EXCERPT_LINE_CHARS]
        if line.strip() and (found or pattern.search(line)):
            found.append(line)
            if len(found) == most:
                break
    return "\n".join(found)


def with_last_words(
    report: ParsedReport, *, exit_code: int | None, lines: Iterable[str], summary: re.Pattern[str]
) -> ParsedReport:
    """`report` with what a run that failed though no test did printed behind its `summary` line (matched whole)."""
    if exit_code in (0, None) or report.trouble or any(case.outcome in FAILED_OUTCOMES for case in report.cases):
        return report
    words: list[str] | None = None
    for raw in lines:
        line = strip_escapes(raw).strip()
        if summary.fullmatch(line):
            words = []
        elif words is not None and line and len(words) < _MOST_LAST_WORDS:
            words.append(line[:MAX_EXCERPT_LINE_CHARS])
    if words is None:
        return report
    return replace(report, trouble=" ".join(words) or "it printed no reason behind its summary")


def clean_test_name(text: str) -> str:
    """A test's name as the part of an id: one line, no control characters."""
    return first_nonblank_line(" ".join(text.split("\n")) if "\n" in text else text)


def path_argument(path: Path, folder: Path) -> str:
    """`path` as an argument of a program started in `folder`; "./-x" for "-x", which would be read as an option."""
    spelled = os.path.relpath(path, folder)
    return f"./{spelled}" if spelled.startswith(("-", "@")) else spelled


def list_subfolders(path: Path, most: int = 1_000) -> list[str]:
    """The names of the real folders (no links) in `path`, sorted; [] where it cannot be listed."""
    try:
        with os.scandir(path) as entries:
            first = itertools.islice(entries, most)
            return sorted(entry.name for entry in first if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


def targets_of_one_kind(selection: TestSelection) -> Sequence[Target] | None:
    """The targets, if all of them name a test inside a file or none does; None for a mixture."""
    nodes = sum(bool(target.node) for target in selection.targets)
    return selection.targets if nodes in (0, len(selection.targets)) else None
