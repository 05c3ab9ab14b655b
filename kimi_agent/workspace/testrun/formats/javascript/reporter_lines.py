"""Parser of the JSON lines that our reporters for node and mocha write as tests begin and end."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestOutcome
from kimi_agent.workspace.testrun.formats.javascript.javascript_cases import (
    as_count,
    as_text,
    as_texts,
    error_of_unloaded,
    is_narrowed_by_name,
    join_titles,
    make_failed_case,
    read_objects,
    retried_case,
)
from kimi_agent.workspace.testrun.reports.cases import merge_cases
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, make_path_mapper, strip_escapes
from kimi_agent.workspace.testrun.reports.report_file import ReportRejected, read_report_bytes
from kimi_agent.workspace.testrun.runner import RunResult

_OUTCOMES: Mapping[str, TestOutcome] = {"passed": "passed", "failed": "failed", "error": "error", "skipped": "skipped"}
_NONE = re.compile(r"^(?:Error: )?No test(?:s| files) found\b")
_IMPORTS_NODE_TEST = re.compile(r"""["']node:test["']""")
# A file of `node --test` need not define tests: one that asserts is a test by itself, what does neither is a helper.
_NAMED_LIKE_TEST = re.compile(r"(?:.*/)?(?:.*[._-]test|test-.*|test)\.[cm]?[jt]sx?")
_ASSERTS = re.compile(r"\bassert\b|\bexpect\b|\bthrow\b|\bprocess\.exit")
_DEFINES_TEST = re.compile(r"^(?:await )?(?:test|it|describe|suite)(?:\.\w+)?\(", re.MULTILINE)
# The test that a statement of the file itself defines, by a literal title.
_DEFINED_TITLE = re.compile(r"""^(?:await )?(?:test|it)\((["'])((?:(?!\1)[^\\\n])*)\1""", re.MULTILINE)


def read_reporter_lines(ran: RunResult) -> ParsedReport:
    """What our reporters for node and mocha wrote, a line for each test that began or ended."""
    try:
        data = read_report_bytes(ran.report_path)
    except ReportRejected as error:
        return ParsedReport(trouble=str(error), is_complete=False)
    told = _ReportedRun(ran)
    for line in read_objects((data or b"").split(b"\n")):
        told.take(line)
    if told.done is None and ran.exit_code is not None and not told.cases and _says_none(ran.lines):
        return ParsedReport(stated_result="none")
    return told.report()


@dataclass
class _File:
    """What was reported about one test file of `node --test`, which runs each in a process of its own."""

    titles: set[str] = field(default_factory=set)
    has_summary: bool = False


class _ReportedRun:
    def __init__(self, ran: RunResult) -> None:
        self.cases: list[TestCase] = []
        self.done: Mapping[str, object] | None = None
        self._ran = ran
        self._spelled = make_path_mapper(ran.root, ran.folder.path)
        self._begun: Counter[tuple[str, str]] = Counter()
        self._queued: Counter[tuple[str, str]] = Counter()
        self._has_over = False
        self._files: dict[str, _File] = {}
        self._quiet_files: list[str] = []  # they ended well, and no test of theirs was reported

    def take(self, line: Mapping[str, object]) -> None:
        """One line of the report."""
        titles = as_texts(line.get("titles"))
        path = self._spelled(as_text(line.get("file"))) if line.get("file") else ""
        key = (path, titles[-1] if titles else "")
        match line.get("kind"):
            case "queued":
                self._queued[key] += 1
            case "begin":
                self._begun[key] += 1
            case "over":
                self._has_over = True
                self._close(key)
            case "end":
                if not self._has_over:  # of mocha: one line is all that it says
                    self._close(key)
                self._end(line, path, titles)
            case "retry":
                self._close(key)
            case "summary":
                self._file(path).has_summary = True
            case "done":
                self.done = line

    def report(self) -> ParsedReport:
        """The report of all lines."""
        found = merge_cases(self.cases)
        done = self.done or {}
        open_tests = [key for key in (+self._begun or +self._queued) if key[1]] or [*+self._begun]
        running = [join_titles(path, [title] if title else []) for path, title in open_tests]
        # In a red run tests behind a failed hook do not begin.
        if self.done is not None and not any(case.outcome in FAILED_OUTCOMES for case in found):
            begun = {path for path, _ in open_tests}
            running += [path for path in self._files_cut_short() if path not in begun]
        errors = "; ".join(as_texts(done.get("errors")))
        if not found and _NONE.match(errors):
            return ParsedReport(stated_result="none")
        return ParsedReport(
            found,
            fatal_error=error_of_unloaded(found, len(found)),
            running=", ".join(running[:5]),
            trouble="" if self._ran.exit_code == 0 else first_nonblank_line(errors),
            is_complete=self.done is not None,
            announced=as_count(done.get("announced")),
            ended=as_count(done.get("ended")),
        )

    def _file(self, path: str) -> _File:
        return self._files.setdefault(path, _File())

    def _close(self, key: tuple[str, str]) -> None:
        self._begun[key] -= 1
        self._queued[key] -= 1

    def _end(self, line: Mapping[str, object], path: str, titles: list[str]) -> None:
        outcome = _OUTCOMES.get(as_text(line.get("outcome")), "error")
        if not titles and outcome == "passed":
            self._end_quiet_file(path)
            return
        if titles:
            self._file(path).titles.update(titles[:1])
        if outcome != "skipped" or not is_narrowed_by_name(self._ran):
            self.cases.append(_case(line, outcome, path, titles, self._ran))

    def _end_quiet_file(self, path: str) -> None:
        """A file of which no test was reported: node counts it as one test that passed."""
        text = self._ran.folder.text(self._below(path))
        self._quiet_files.append(path)
        if not _IMPORTS_NODE_TEST.search(text) and (_NAMED_LIKE_TEST.fullmatch(path) or _ASSERTS.search(text)):
            self.cases.append(TestCase(path, "passed"))

    def _files_cut_short(self) -> list[str]:
        """Files that ended, with success, before their tests did: `process.exit(0)`. Node says nothing of it.

        Since 22.12 each file that node:test has run to its end sends a summary; before, what the source defines at its
        top is held against what was reported.
        """
        done = self.done or {}
        short = []
        for path in [*self._quiet_files, *self._files]:
            known, text = self._file(path), self._ran.folder.text(self._below(path))
            if known.has_summary or not _IMPORTS_NODE_TEST.search(text):
                continue
            if done.get("filtered") and not done.get("summed"):
                continue
            missing = {found[2] for found in _DEFINED_TITLE.finditer(text)} - known.titles
            quiet = path in self._quiet_files
            if (quiet and _DEFINES_TEST.search(text)) or (not quiet and (done.get("summed") or missing)):
                short.append(path)
        return list(dict.fromkeys(short))

    def _below(self, path: str) -> str:
        """A workspace-relative path as one of the folder's."""
        place = self._ran.root / path
        return str(place.relative_to(self._ran.folder.path)) if place.is_relative_to(self._ran.folder.path) else path


def _case(line: Mapping[str, object], outcome: TestOutcome, path: str, titles: list[str], ran: RunResult) -> TestCase:
    message, stack = as_text(line.get("message")), as_text(line.get("stack"))
    node_id, failures = join_titles(path, titles), as_count(line.get("failures")) or 0
    if outcome == "passed" and failures:
        return retried_case(node_id, failures)
    if outcome not in FAILED_OUTCOMES:
        return TestCase(node_id, outcome, message=first_nonblank_line(message))
    case = make_failed_case(node_id, outcome, stack or message, path, ran)
    at = line.get("line")
    return case if case.place or not isinstance(at, int) or not path else replace(case, place=f"{path}:{at}")


def _says_none(lines: Iterable[str]) -> bool:
    return any(_NONE.match(strip_escapes(line).strip()) for line in lines)
