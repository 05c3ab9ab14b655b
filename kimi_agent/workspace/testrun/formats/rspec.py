"""RSpec report parser: the examples of its JSON, with our count of those to run (`injected_ruby_reporters`)."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import msgspec

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestOutcome
from kimi_agent.workspace.testrun.reports.cases import (
    FrameMatcher,
    clean_test_name,
    excerpt_innermost_first,
    merge_cases,
)
from kimi_agent.workspace.testrun.reports.failure_excerpt import (
    MAX_EXCERPT_LINE_CHARS,
    MAX_EXCERPT_LINES,
    first_nonblank_line,
    strip_escapes,
)
from kimi_agent.workspace.testrun.reports.report_file import ReportRejected, read_report_bytes

_OUTCOMES: dict[str, TestOutcome] = {"passed": "passed", "failed": "failed", "pending": "skipped"}
_ID = re.compile(r"(?P<path>.*?)(?P<ordinal>\[[\d:]+\])")
# Several filters stand on lines of their own behind "Run options:"; "ignoring {...}" takes one back.
_INCLUDED = re.compile(r"^(?:Run options:)?\s*include (\{.*\})$", re.MULTILINE)
_IGNORED = "All examples were filtered out; ignoring "
_MADE_UP = re.compile(r"is expected (?:to|not to)\b|example at ")
_MOST_FRAMES = 200


class _Exception(msgspec.Struct):
    message: str | None = ""
    backtrace: list[str] | None = None
    kind: str | None = msgspec.field(default="", name="class")


class _Example(msgspec.Struct):
    id: str = ""
    description: str = ""
    full_description: str = ""
    status: str = ""
    file_path: str = ""
    line_number: int | None = None
    pending_message: str | None = None
    exception: _Exception | None = None


class _Summary(msgspec.Struct):
    errors_outside_of_examples_count: int = 0


class _Report(msgspec.Struct):
    examples: list[_Example] = msgspec.field(default_factory=list)
    messages: list[str] = msgspec.field(default_factory=list)
    summary: _Summary = msgspec.field(default_factory=_Summary)
    announced: int | None = None


def parse_rspec_report(path: Path, frame: FrameMatcher, spelled: Callable[[str], str]) -> ParsedReport | None:
    """The report at `path`, None where there is none."""
    try:
        data = read_report_bytes(path)
        report = msgspec.json.decode(data, type=_Report) if data is not None else None
    except (ReportRejected, msgspec.DecodeError, UnicodeDecodeError) as error:
        trouble = f"the report could not be read: {first_nonblank_line(str(error))}"
        return ParsedReport(trouble=trouble, is_complete=False)
    if report is None:
        return None
    cases = merge_cases(_cases(report.examples, frame, spelled))
    found = ParsedReport(
        cases,
        announced=report.announced,
        ended=sum(example.status in _OUTCOMES for example in report.examples),
        unrun=_filtered(report.messages),
    )
    outside = report.summary.errors_outside_of_examples_count
    if not outside:
        return replace(found, stated_result="" if cases else "none")
    lines = strip_escapes("\n".join(report.messages[:20])).split("\n")
    why = [line.rstrip()[:MAX_EXCERPT_LINE_CHARS] for line in lines if line.strip()][:MAX_EXCERPT_LINES]
    if any(case.outcome in FAILED_OUTCOMES for case in cases):
        return replace(found, trouble=f"{outside} errors outside of the examples: {''.join(why[:2])}")
    if cases and found.ended == found.announced:
        # A hook behind all examples; where a file could not be loaded, RSpec runs none.
        return replace(found, trouble=" ".join(each.strip() for each in why[:4]))
    return replace(found, fatal_error="\n".join(why) or f"{outside} errors outside of the examples")


def _filtered(messages: Iterable[str]) -> tuple[str, ...]:
    """What a filter kept from running, as RSpec says it ("Run options: include {:focus=>true}")."""
    text = "\n".join(messages)
    kept = [found for found in _INCLUDED.findall(text) if f"{_IGNORED}{found}" not in text]
    return tuple(f"the examples that its filter leaves out (include {found})" for found in kept)


def _cases(examples: Iterable[_Example], frame: FrameMatcher, spelled: Callable[[str], str]) -> Iterable[TestCase]:
    seen: set[str] = set()
    for example in examples:
        # The file of its id is where it can be run again; a shared example's own file only defines it.
        found = _ID.fullmatch(example.id)
        path = found["path"] if found else example.file_path
        file = spelled(path) or clean_test_name(path)
        node_id = f"{file}::{clean_test_name(example.full_description)}"
        # Names that RSpec makes up while it runs can't be asked for; nor do two of one name have two names.
        if found and (node_id in seen or _MADE_UP.match(example.description)):
            node_id += f" {found['ordinal']}"
        seen.add(node_id)
        yield _case(node_id, file, example, frame)


def _case(node_id: str, file: str, example: _Example, frame: FrameMatcher) -> TestCase:
    outcome = _OUTCOMES.get(example.status, "error")
    if outcome not in FAILED_OUTCOMES:
        return TestCase(node_id, outcome, message=first_nonblank_line(example.pending_message or ""))
    if example.exception is None:
        # Its code called `exit`: RSpec (3.12) gives it no status, runs no other example and ends with exit code 0.
        return TestCase(node_id, "error", f"{file}:{example.line_number}", "it ended the run: no result was reported")
    fault = example.exception
    message = (fault.message or "").strip("\n")
    kind = fault.kind or ""
    if kind and not kind.startswith("RSpec::"):
        message = f"{kind}: {message}"
    backtrace = (fault.backtrace or [])[:_MOST_FRAMES]
    shortened = excerpt_innermost_first("\n".join([message, *backtrace]), frame, file)
    place = shortened.place or (f"{file}:{example.line_number}" if example.line_number else "")
    # RSpec has one word for both; what is not an expectation is an exception of the code.
    outcome = "failed" if not kind or kind.startswith("RSpec::") else "error"
    return TestCase(node_id, outcome, place, first_nonblank_line(message), shortened.detail)
