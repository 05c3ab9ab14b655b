"""GitHub Actions output of a run: annotations for failing tests, and a summary of the step."""

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from kimi_agent.faces.evidence_text import WEAKENED_HOW, evidence_rows
from kimi_agent.faces.sanitize import sanitize, sanitize_line
from kimi_agent.log.views import Evidence, TestCase, Weakened

MAX_ANNOTATIONS = 10
"""Annotations of one level that GitHub shows for a step."""
MAX_SUMMARY_BYTES = 1 << 20
"""Bytes of a step's summary; GitHub drops one that is bigger."""
_MOST_TEXT = 4_000
_CUT = "\n\n(cut here: a summary may have 1 MiB)\n"

AnnotationLevel = Literal["error", "warning"]


def is_github_actions(environ: Mapping[str, str]) -> bool:
    """Whether this is a job of GitHub Actions."""
    return environ.get("CI", "").lower() == "true" and environ.get("GITHUB_ACTIONS", "").lower() == "true"


def annotation_lines(evidence: Evidence, *, folder: str = "") -> list[str]:
    """Workflow commands, to be printed one a line: an error for each failing test, warnings for what is not proven.

    `folder` is the workspace as seen from the top of the checkout, "" where it is the top.
    """
    cases = evidence.last.cases if evidence.last is not None else ()
    errors = [_failure(case, folder) for case in cases if case.outcome in ("failed", "error")]
    verdict = evidence.verdict in ("not_verified", "no_tests")
    warnings = [_command("warning", "kimi-agent", evidence_rows(evidence)[0][1])] if verdict else []
    warnings += [_weakening(each, folder) for each in evidence.weakened]
    return [*_most("error", errors, "failing tests"), *_most("warning", warnings, "weakened tests")]


def append_step_summary(path: str, markdown: str) -> str:
    """Append `markdown` to the summary of the step (`GITHUB_STEP_SUMMARY`); gives what went wrong, "" for nothing."""
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
        with os.fdopen(os.open(path, flags, 0o600), "ab") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                return f"The step's summary was not written: {sanitize_line(path, 120)} is no regular file."
            data = ("\n" if found.st_size else "").encode() + sanitize(markdown).encode("utf-8", "replace")
            room = MAX_SUMMARY_BYTES - found.st_size
            if len(data) > room:
                data = _cut(data, room)
            file.write(data)
    except (OSError, ValueError) as error:
        return f"The step's summary could not be written: {_why(error)} ({sanitize_line(path, 120)})."
    return "" if data else "The step's summary is full (1 MiB), so the evidence is not in it."


def _failure(case: TestCase, folder: str) -> str:
    path, _, number = case.place.rpartition(":")
    if not number.isdecimal():
        path, number = case.place, ""
    text = "\n".join(part for part in (case.id, case.message, case.detail) if part)
    what = "failed" if case.outcome == "failed" else "had an error"
    return _command("error", f"{case.id} {what}", text, file=_below(folder, path), line=number)


def _weakening(weakened: Weakened, folder: str) -> str:
    text = f"{weakened.test or weakened.path} {WEAKENED_HOW[weakened.how]} in this turn"
    # A file that is gone has no line to hang a warning on.
    return _command("warning", "weakened test", text, file=_below(folder, weakened.path))


def _below(folder: str, path: str) -> str:
    return path if not path or path.startswith("/") else str(Path(folder, path))


def _command(level: AnnotationLevel, title: str, text: str, *, file: str = "", line: str = "") -> str:
    """A workflow command on one line; nothing in its parts can begin another one."""
    given = {"file": file, "line": line, "title": sanitize_line(title, 120)}
    properties = ",".join(f"{name}={_property(sanitize_line(value))}" for name, value in given.items() if value)
    return f"::{level} {properties}::{_data(sanitize(text)[:_MOST_TEXT])}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _most(level: AnnotationLevel, commands: Sequence[str], what: str) -> list[str]:
    if len(commands) <= MAX_ANNOTATIONS:
        return list(commands)
    shown, more = commands[: MAX_ANNOTATIONS - 1], len(commands) - MAX_ANNOTATIONS + 1
    return [*shown, _command(level, "kimi-agent", f"and {more:,} more {what}; GitHub shows no more")]


def _cut(data: bytes, room: int) -> bytes:
    kept = data[: max(0, room - len(_CUT))].decode("utf-8", "ignore").encode()
    return kept + _CUT.encode() if kept else b""


def _why(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error)
