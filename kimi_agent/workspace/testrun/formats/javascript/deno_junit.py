"""Parser of `deno test --junit-path`, held against the counts of deno's last line."""

import re
from collections.abc import Iterable

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport
from kimi_agent.workspace.testrun.formats.javascript.javascript_cases import (
    TITLE_SEPARATOR,
    error_of_unloaded,
    is_narrowed_by_name,
    join_titles,
    make_failed_case,
)
from kimi_agent.workspace.testrun.formats.junit import JUnitCase, read_junit_report
from kimi_agent.workspace.testrun.reports.cases import merge_cases
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, make_path_mapper, strip_escapes
from kimi_agent.workspace.testrun.runner import RunResult

# deno 2.9: "FAILED | 5 passed (2 steps) | 4 failed (1 step) | 1 ignored | 2 filtered out (808ms)"
_SUMMARY = re.compile(r"(?:ok|FAILED) \| \d+ passed\b.* \| \d+ failed\b.*\([\dhmsµ]+\)")
_COUNT = re.compile(r"(\d+) (?:passed|steps?|failed|ignored)\b")
_UNCAUGHT = re.compile(r"(?P<path>\S.*) \(uncaught error\)")
_LAST_WORDS = re.compile(r"error: (?!Uncaught).*")
_MOST_BLOCK = 40


def read_deno_junit(ran: RunResult) -> ParsedReport:
    """The cases of the report; files that failed by themselves are in the text alone (deno 2.9)."""
    lines = [strip_escapes(line).rstrip() for line in ran.lines]
    summary = next((line for line in reversed(lines) if _SUMMARY.fullmatch(line)), "")
    found = read_junit_report(ran.report_path)
    if found is None or found.trouble:
        none = found is None and any(line == "error: No test modules found" for line in lines)
        trouble = found.trouble if found else ""
        return ParsedReport(stated_result="none") if none else ParsedReport(trouble=trouble, is_complete=False)
    files = {each.name: each.classname for each in found.elements if not each.classname.startswith("ext:")}
    uncaught = list(_uncaught_errors(lines, ran)) if ran.exit_code else []
    told = [_case(each, files, ran) for each in found.elements]
    if is_narrowed_by_name(ran):
        told = [case for case in told if case.outcome != "skipped"]
    cases = merge_cases([*told, *uncaught])
    red = any(case.outcome in FAILED_OUTCOMES for case in cases)
    last = next((line for line in reversed(lines) if _LAST_WORDS.fullmatch(line)), "")
    return ParsedReport(
        cases,
        fatal_error=error_of_unloaded(cases, len(cases)),
        trouble="" if red or not ran.exit_code else first_nonblank_line(last.removeprefix("error: ")),
        is_complete=bool(summary),
        announced=sum(map(int, _COUNT.findall(summary))) if summary else None,
        ended=found.total + len(uncaught),
    )


def _case(found: JUnitCase, files: dict[str, str], ran: RunResult) -> TestCase:
    spelled = make_path_mapper(ran.root, ran.folder.path)
    titles = found.name.split(TITLE_SEPARATOR)
    # Of tests by node:test all but the outermost have deno's own file.
    name = files.get(titles[0], found.classname) if found.classname.startswith("ext:") else found.classname
    path = spelled(name) or name
    node_id = join_titles(path, titles)
    if found.outcome not in FAILED_OUTCOMES:
        return TestCase(node_id, found.outcome)
    return make_failed_case(node_id, found.outcome, found.text or found.message, path, ran)


def _uncaught_errors(lines: list[str], ran: RunResult) -> Iterable[TestCase]:
    """Files with an error outside of their tests, from the list of errors, and that error."""
    spelled = make_path_mapper(ran.root, ran.folder.path)
    for number, line in enumerate(lines):
        if (found := _UNCAUGHT.fullmatch(line)) and (path := spelled(found["path"])):
            block = lines[number + 1 : number + _MOST_BLOCK]
            end = next((at for at, each in enumerate(block) if not each or _UNCAUGHT.fullmatch(each)), len(block))
            if end:
                yield make_failed_case(path, "error", "\n".join(block[:end]), path, ran)
