"""JavaScript report options: what makes each test runner write a report, and nothing that changes its result."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kimi_agent.workspace.testrun.reports import injected_js_reporters

_OWN_NODE_REPORTERS = re.compile(r"\s--test-reporter(?:-destination)?(?:=\S+|\s+\S+)")


@dataclass(frozen=True)
class ReportOptions:
    """The words for a runner's command, the files that they name (beside the report), and its environment."""

    words: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)


def report_options(runner: str, report: Path) -> ReportOptions:
    """What makes `runner` write to `report`."""
    js = injected_js_reporters
    match runner:
        case "vitest":
            # A run that was killed is read from the lines of the verbose one.
            return ReportOptions(("--reporter=verbose", "--reporter=json", f"--outputFile.json={report}"))
        case "jest":
            return ReportOptions(("--json", f"--outputFile={report}"))
        case "mocha":
            files = js.mocha_reporter(report)
            return ReportOptions(("--reporter", *(str(report.parent / name) for name in files)), files)
        case "node":
            ours, to = str(report.parent / js.NODE_REPORTER_FILE), "--test-reporter-destination"
            words = (f"--test-reporter={ours}", f"{to}={report}", "--test-reporter=spec", f"{to}=stdout")
            return ReportOptions(words, js.node_reporter())
        case "bun":
            return ReportOptions(("--reporter=junit", f"--reporter-outfile={report}"))
        case "deno":
            return ReportOptions((f"--junit-path={report}",))
        case "playwright":
            files = js.playwright_reporter(report)
            # As its editor extension does it: a reporter beside those of the configuration.
            return ReportOptions((), files, {"PW_TEST_REPORTER": str(report.parent / next(iter(files)))})
        case _:
            return ReportOptions()


def add_report_words(runner: str, text: str, words: tuple[str, ...]) -> str:
    """`text`, a command of `runner`, with `words` among its options."""
    if not words:
        return text
    spelled = shlex.join(words)
    if runner == "node":
        # Of what comes after the first file, node takes nothing for itself.
        own = _OWN_NODE_REPORTERS.sub("", text)
        return re.sub(r"(\s--test)(?=\s|$)", lambda found: f"{found[1]} {spelled}", own, count=1)
    return f"{text} {spelled}"
