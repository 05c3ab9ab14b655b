"""nextest runner (Rust): a `cargo nextest run` that somebody wrote, parsed from a JUnit report that we ask for (0.9).

It runs no documentation tests, so it is adopted and not chosen: `cargo test` runs all there are.
"""

import re
from dataclasses import dataclass, field

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand, TestOutcome
from kimi_agent.workspace.testrun.formats.compiled.cargo_output import CargoBinary, CargoTest
from kimi_agent.workspace.testrun.reports.cases import excerpt_first_error, make_build_report, merge_cases
from kimi_agent.workspace.testrun.reports.report_file import stream_xml
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner
from kimi_agent.workspace.testrun.runners.cargo import CARGO_ENV, CargoIdMaker

_CONFIG = """[profile.default.junit]
path = "{report}"
store-success-output = true
store-failure-output = true
"""
# Each test is a process of its own: one that ends with exit code 0 passes, wherever it ends. Its own result tells.
_RAN_THROUGH = re.compile(r"^test result: ok\. 1 passed", re.MULTILINE)
_OUTCOMES: dict[str, TestOutcome] = {"failure": "failed", "error": "error", "skipped": "skipped"}
_BUILD_ERROR = re.compile(r"^error(?:\[E\d+\])?: (?!test run failed|no tests to run)")
_SUMMARY = re.compile(r"^\s*Summary \[.*\] (?P<ran>\d+)(?:/(?P<all>\d+))? tests? run: ")
_MOST_TEXT = 50_000


@dataclass
class _Case:
    binary: str
    name: str
    outcome: TestOutcome = "passed"
    failed_runs: int = 0
    texts: dict[str, str] = field(default_factory=dict)


class _Handler:
    def __init__(self) -> None:
        self.cases: list[_Case] = []
        self._tag = ""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "testcase":
            self.cases.append(_Case(attributes.get("classname", ""), attributes.get("name", "")))
        elif self.cases and tag in _OUTCOMES:
            self.cases[-1].outcome = _OUTCOMES[tag]
        elif self.cases and tag in ("flakyFailure", "flakyError", "rerunFailure", "rerunError"):
            self.cases[-1].failed_runs += 1
        self._tag = tag

    def text(self, text: str) -> None:
        if self.cases and self._tag in ("system-out", "failure", "error"):
            texts = self.cases[-1].texts
            texts[self._tag] = (texts.get(self._tag, "") + text)[-_MOST_TEXT:]

    def end(self, tag: str) -> None:
        self._tag = ""


def _read(ran: RunResult) -> ParsedReport:
    handler = _Handler()
    trouble = stream_xml(ran.report_path, start=handler.start, end=handler.end, text=handler.text)
    why = excerpt_first_error(ran.lines, _BUILD_ERROR)
    if trouble is None:
        none = ran.exit_code == 4  # its word for "no tests to run"
        return ParsedReport(stated_result="none") if none else ParsedReport(fatal_error=why, is_complete=False)
    names = CargoIdMaker(ran)
    cut_short = [names.id(_test(case)) for case in handler.cases if _is_cut_short(case)]
    cases = merge_cases(_told(case, names) for case in handler.cases if not _is_cut_short(case))
    counted = [found for line in ran.lines if (found := _SUMMARY.match(line))]
    announced = int(counted[-1]["all"] or counted[-1]["ran"]) if counted else 0
    reading = make_build_report(cases, exit_code=ran.exit_code, why=why, trouble=trouble, has_all_tests=bool(counted))
    return ParsedReport(
        reading.cases,
        fatal_error=reading.fatal_error,
        running=", ".join(cut_short[:5]),
        trouble=reading.trouble,
        is_complete=not trouble,
        announced=max(announced, len(handler.cases)),
        ended=len(handler.cases) - len(cut_short),
    )


def _is_cut_short(case: _Case) -> bool:
    return case.outcome == "passed" and not _RAN_THROUGH.search(case.texts.get("system-out", ""))


def _told(case: _Case, names: CargoIdMaker) -> TestCase:
    found = names.case(_test(case))
    if found.outcome in FAILED_OUTCOMES or not case.failed_runs:
        return found
    return TestCase(found.id, found.outcome, runs=case.failed_runs + 1, failures=case.failed_runs)


def _test(case: _Case) -> CargoTest:
    """As `cargo test` would tell it: "calc" is a library, "calc::it" of tests/, "calc::bin/x" a program."""
    crate, _, part = case.binary.partition("::")
    kind, _, name = part.rpartition("/")
    source = {"": f"tests/{part}.rs" if part else "src/lib.rs", "bin": "src/main.rs"}.get(kind, f"{kind}s/{name}.rs")
    lines = (case.texts.get("failure") or case.texts.get("error") or "").splitlines()
    return CargoTest(CargoBinary(crate.replace("-", "_"), source), case.name, case.outcome, block=lines)


def _adopt(given: GivenCommand) -> TestCommand | None:
    if not given.starts("cargo", "nextest", "run") or "--tool-config-file" in given.text:
        return None
    config = given.report_path.with_name("nextest.toml")
    text = _CONFIG.replace("{report}", str(given.report_path))
    options = ("--tool-config-file", f"kimi-agent:{config}")
    return given.run_as("nextest", *options, env=CARGO_ENV, extra_files={config.name: text})


async def _launch(_: LaunchRequest) -> None:
    return None


NEXTEST = TestRunner("nextest", "Rust", lambda _: "", _launch, _read, adopt=_adopt, order=31)
