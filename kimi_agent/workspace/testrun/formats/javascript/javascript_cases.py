"""JavaScript test case helpers: ids joined from titles, failures with V8's stack frames, narrow reads of JSON."""

import json
import re
from collections.abc import Callable, Iterable, Mapping

from kimi_agent.log.views import TestCase
from kimi_agent.workspace.testrun.commands_and_reports import TestOutcome
from kimi_agent.workspace.testrun.reports.cases import excerpt_innermost_first
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, make_path_mapper, strip_escapes
from kimi_agent.workspace.testrun.runner import RunResult

TITLE_SEPARATOR = " > "  # between the titles of a test's suites and its own, as vitest shows them
_FRAME = re.compile(r"^\s+at (?:.*? \()?(?:file://)?(?P<path>[^()]+?):(?P<line>\d+):\d+\)?$")
_ERROR_LINE = re.compile(r"\w*Error\b|error: ")
# jest, vitest and bun, in CI mode or with `--ci`; elsewhere they write the snapshot.
_SNAPSHOT_REFUSED = re.compile(
    r"New snapshot was not written|Snapshot creation is disabled in CI|Snapshot `.*` mismatched"
)


def join_titles(path: str, titles: Iterable[str]) -> str:
    """The id of a test: its file, "::", and the titles of its suites and its own."""
    node = TITLE_SEPARATOR.join(" ".join(strip_escapes(title).split()) for title in titles)
    return "::".join(part for part in (path, node) if part)


def make_failed_case(node_id: str, outcome: TestOutcome, text: str, path: str, ran: RunResult) -> TestCase:
    """The case of a test that failed with `text`, a message and JavaScript's frames below it."""
    cut = excerpt_innermost_first(text, _frames(make_path_mapper(ran.root, ran.folder.path)), path)
    detail = cut.detail.replace("file://", "").replace(f"{ran.root}/", "")
    lines = [line.strip() for line in detail.split("\n") if line.strip()]
    # Of a file that could not be loaded, and of bun, the source comes first, the error later.
    at = next((number for number, line in enumerate(lines) if _ERROR_LINE.match(line)), 0)
    head = " ".join(lines[at : at + 2]) if lines and lines[at].endswith(":") else "".join(lines[at : at + 1])
    if refused := _SNAPSHOT_REFUSED.search(text):
        head = refused[0]
    return TestCase(node_id, outcome, cut.place, first_nonblank_line(head), detail)


def retried_case(node_id: str, failures: int, message: str = "") -> TestCase:
    """The case of a test that the runner's own retries let pass, after it had failed `failures` times."""
    return TestCase(node_id, "passed", message=first_nonblank_line(message), runs=failures + 1, failures=failures)


def read_objects(lines: Iterable[bytes]) -> Iterable[Mapping[str, object]]:
    """The JSON objects of lines; what is none is passed over."""
    for line in lines:
        try:
            found = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield found


def as_objects(found: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    """The objects in the list at `key`."""
    listed = found.get(key)
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def as_texts(found: object) -> list[str]:
    """The texts in a list."""
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def as_text(found: object) -> str:
    """A text, "" for anything else."""
    return found if isinstance(found, str) else ""


def as_count(found: object) -> int | None:
    """A count, None for anything else."""
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None


def error_of_unloaded(cases: Iterable[TestCase], count: int) -> str:
    """The first error where all of the `count` cases are files that could not be loaded, else ""."""
    unloaded = [case for case in cases if case.outcome == "error" and "::" not in case.id]
    return unloaded[0].detail or unloaded[0].message if unloaded and len(unloaded) == count else ""


def is_narrowed_by_name(ran: RunResult) -> bool:
    """Whether tests were chosen by name, so that the runner reports all others as skipped."""
    return bool(ran.selection.name) or any(target.node for target in ran.selection.targets)


def _frames(spelled: Callable[[str], str]) -> Callable[[str], str | None]:
    def frame(line: str) -> str | None:
        found = _FRAME.match(line)
        if not found:
            return "" if line.startswith("    at ") else None
        inside = "" if found["path"].startswith("node:") else spelled(found["path"])
        return f"{inside}:{found['line']}" if inside else ""

    return frame
