"""Joint report: the reports of several projects, run by one call, as one. Pure."""

from collections.abc import Sequence

from msgspec.structs import replace

from kimi_agent.log.views import RunVerdict, TestReport

# The worst first. A project without tests is no fault of the others: it is named, and proves nothing.
_WORST_FIRST: Sequence[RunVerdict] = ("timed_out", "broken", "run_failed", "failed", "passed", "none_ran")


def join_reports(parts: Sequence[TestReport], unrun: Sequence[str]) -> TestReport:
    """One report of `parts` (at least one): the worst verdict, all cases. `unrun` is what could not be run at all.

    A single part is itself the report; where others could not be run, it keeps what is missing of itself as a part.
    """
    left = tuple(dict.fromkeys((*(each for part in parts for each in part.unrun), *unrun)))
    if len(parts) == 1:
        return replace(parts[0], unrun=left, whole=False, parts=tuple(parts)) if unrun else parts[0]
    verdict = min((part.verdict for part in parts), key=_WORST_FIRST.index)
    empty = [part for part in parts if part.verdict == "none_ran"]
    if verdict == "passed":
        left += tuple(f"{part.folder}: {part.runner} found no tests" for part in empty)
    codes = [part.exit_code for part in parts]
    return TestReport(
        verdict=verdict,
        runner=" + ".join(dict.fromkeys(part.runner for part in parts)),
        evidence="; ".join(f"{part.folder}: {part.evidence}" for part in parts),
        command="; ".join(_shown(part) for part in parts),
        exit_code=None if None in codes else next((code for code in codes if code), 0),
        duration_s=sum(part.duration_s for part in parts),
        cases=tuple(case for part in parts for case in part.cases),
        running=", ".join(filter(None, (part.running for part in parts))),
        trouble="; ".join(f"{part.runner}: {part.trouble}" for part in parts if part.trouble),
        tree=parts[0].tree,
        whole=all(part.whole for part in parts) and not left,
        repeats=max(part.repeats for part in parts),
        folder=".",
        unrun=left,
        parts=tuple(parts),
    )


def _shown(part: TestReport) -> str:
    return part.command if part.folder == "." else f"(cd {part.folder} && {part.command})"
