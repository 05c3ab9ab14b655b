"""Repeated runs of the same tests merged into one report: how often each test failed. Pure."""

from collections.abc import Sequence

from msgspec.structs import replace

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase, TestReport

MAX_REPEATS = 50
# What stops the repeating, the worst first; a run that found no tests would find none again.
_ENDINGS = ("timed_out", "broken", "none_ran")


def stops_repeating(report: TestReport) -> bool:
    """Whether no further run is worth it after this one."""
    return report.verdict in _ENDINGS


def combine_runs(runs: Sequence[TestReport], asked: int, *, late: str = "") -> TestReport:
    """The one report of `runs` (at least one of the `asked` ones); `late` says why some did not start.

    It passed only if every run did. A test that failed in some of them is failed, and says in how many.
    """
    if asked == 1:
        return runs[0]
    last = runs[-1]
    red = [run for run in runs if run.verdict == "failed"]
    shown = last if stops_repeating(last) else (red or runs)[0]
    verdict, trouble = shown.verdict, shown.trouble
    if stops_repeating(last) and len(runs) > 1:
        trouble = f"{trouble}, in run {len(runs)} of {asked}" if trouble else f"in run {len(runs)} of {asked}"
    elif late:
        verdict, trouble = "timed_out", f"{late}, after {len(runs)} of {asked} runs"
    elif red and not shown.cases:
        some = "flaky: " if len(red) < len(runs) else ""
        trouble = f"{trouble}; {some}failed {len(red)} of {len(runs)} runs"
    return replace(
        shown,
        verdict=verdict,
        trouble=trouble,
        duration_s=sum(run.duration_s for run in runs),
        cases=_merge_runs(runs),
        repeats=len(runs),
    )


def _merge_runs(runs: Sequence[TestReport]) -> tuple[TestCase, ...]:
    """One case for each test, as it was when it first failed; the failing ones first seen keep their order."""
    worst: dict[str, TestCase] = {}
    ran: dict[str, int] = {}
    failures: dict[str, int] = {}
    for run in runs:
        for case in run.cases:
            known = worst.get(case.id)
            bad = case.outcome in FAILED_OUTCOMES
            if known is None or (known.outcome not in FAILED_OUTCOMES and (bad or known.outcome == "skipped")):
                worst[case.id] = case
            if case.outcome != "skipped":
                # The runner itself may have run it again.
                ran[case.id] = ran.get(case.id, 0) + max(case.runs, 1)
                failures[case.id] = failures.get(case.id, 0) + max(case.failures, bad)
    return tuple(_with_failure_count(case, ran.get(case.id, 0), failures.get(case.id, 0)) for case in worst.values())


def _with_failure_count(case: TestCase, runs: int, failures: int) -> TestCase:
    message = case.message
    if 0 < failures < runs:
        message = f"flaky: failed {failures} of {runs}" + (f": {message}" if message else "")
    return replace(case, runs=max(runs, 1), failures=failures, message=message)
