"""gotestsum runner (Go): a command that somebody wrote, parsed from the events that it saves (1.8.2).

Nothing in a folder says that gotestsum is to be used, so it is never chosen, only adopted.
"""

from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand
from kimi_agent.workspace.testrun.formats.compiled.go_report import read_go_events
from kimi_agent.workspace.testrun.reports.report_file import ReportRejected, read_report_bytes
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner


def _read(ran: RunResult) -> ParsedReport:
    """Its reruns of failed tests are in the events: what passed in the end is told as flaky."""
    try:
        events = read_report_bytes(ran.report_path)
    except ReportRejected as error:
        return ParsedReport(is_complete=False, trouble=str(error))
    if events is None:
        return ParsedReport(is_complete=False, trouble="gotestsum saved no events")
    return read_go_events(ran, events.decode("utf-8", "replace").splitlines())


def _adopt(given: GivenCommand) -> TestCommand | None:
    saved = any(word.startswith("--jsonfile") for word in given.words)
    if given.program != "gotestsum" or saved or "tool" in given.words:
        return None
    # Its options have to stand before "--" and the packages.
    text = given.text.replace("gotestsum", f"gotestsum --jsonfile '{given.report_path}'", 1)
    return given.run_as("gotestsum", text=text)


async def _launch(_: LaunchRequest) -> None:
    return None


GOTESTSUM = TestRunner("gotestsum", "Go", lambda _: "", _launch, _read, adopt=_adopt, order=30)
