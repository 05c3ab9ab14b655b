"""run_tests: run the repository's tests with the runner that its files name, and report each failure."""

from collections.abc import Sequence
from typing import Annotated

from kimi_agent.log.views import OutputView, TestCase, TestReport
from kimi_agent.tool import Context, Field, PlannedCommand, Preview, Result, ToolError, escape_path, join_some, tool

MOST_IN_FULL, MOST_IDS, MOST_FIXED, MOST_PLACES, TAIL_LINES = 20, 200, 20, 5, 15


async def _preview(
    ctx: Context,
    targets: Sequence[str] | None = None,
    name: str = "",
    command: str = "",
    failed_only: bool = False,
    repeat: int = 1,
    timeout_s: float = 600.0,
) -> Preview:
    text = await ctx.testrun.preview_command(targets or (), name=name, command=command, failed_only=failed_only)
    _, planned = await ctx.testrun.plan(targets or (), name=name, command=command, failed_only=failed_only)
    times = f" {repeat} times" if repeat > 1 else ""
    places = list(dict.fromkeys(ctx.files.shown(each.folder) for each in planned))
    place = places[0] if len(places) == 1 else "."
    where = "" if places == ["."] else f" in {join_some([escape_path(each) for each in places], MOST_PLACES)}"
    title = f"run tests{times}{where}: {' '.join(targets or ()) or name or 'all'}"
    return Preview(title, OutputView(text, cwd=place))


async def _plan(
    ctx: Context,
    targets: Sequence[str] | None = None,
    name: str = "",
    command: str = "",
    failed_only: bool = False,
    **others: object,
) -> tuple[Sequence[str], Sequence[PlannedCommand]]:
    """The commands that would start, whoever wrote them."""
    return await ctx.testrun.plan(targets or (), name=name, command=command, failed_only=failed_only)


@tool(effect="execute", preview=_preview, plan=_plan)
async def run_tests(
    ctx: Context,
    targets: Annotated[list[str] | None, Field("Paths or test ids (tests/test_x.py::test_a); default all.")] = None,
    name: Annotated[str, Field("Only tests whose name contains this.")] = "",
    command: Annotated[str, Field("Your own test command, not the detected one.")] = "",
    failed_only: Annotated[bool, Field("Only those that failed last.")] = False,
    repeat: Annotated[int, Field("Times, to find flaky tests.", minimum=1, maximum=50)] = 1,
    timeout_s: Annotated[float, Field("Seconds.", minimum=1, maximum=3600)] = 600.0,
) -> Result:
    """Run the repository's tests, of any language, and read their report: counts, each failure with its frames, what is
    new or fixed. Prefer this to running tests in the shell. "no tests ran" and "broken" are not success."""
    report = await ctx.testrun.run(
        targets or (),
        name=name,
        command=command,
        failed_only=failed_only,
        repeat=repeat,
        timeout_s=timeout_s,
        progress=ctx.progress,
        allowed=ctx.plan.commands if ctx.plan else None,
    )
    lines = [*_head(report), *_body(report), *_foot(ctx, report)]
    return Result("\n".join(lines), report)


def _head(report: TestReport) -> list[str]:
    if report.parts:
        ran = [f"{escape_path(part.folder)}: {'; '.join(_head(part))}" for part in report.parts]
        return [f"{len(report.parts)} projects were run; together: {_outcome(report)}", *ran]
    ended = "killed" if report.exit_code is None else f"exit {report.exit_code}"
    runs = f", {report.repeats} runs" if report.repeats > 1 else ""
    detected = f"detected: {report.evidence}; {report.command}"
    return [f"{report.runner} ({detected}) {ended} in {report.duration_s:.1f} s{runs}", _outcome(report)]


def _outcome(report: TestReport) -> str:
    counts = _counts(report)
    match report.verdict:
        case "passed" | "failed":
            return counts or f"{report.verdict}, {report.trouble}"
        case "run_failed":
            return f"the run failed: {report.trouble}. This is not success"
        case "none_ran":
            return f"no tests ran{f' ({report.trouble})' if report.trouble else ''}: this is not success"
        case "broken":
            return "broken: it ended before its tests were through" + (f" ({counts})" if counts else "")
        case "timed_out":
            running = f"; running then: {report.running}" if report.running else ""
            return f"timed out, {report.trouble}; until then {counts or 'no test finished'}{running}"


def _counts(report: TestReport) -> str:
    new, fixed = sum(case.new for case in report.cases), sum(case.fixed for case in report.cases)
    red = "failed" if report.count("failed") else "error"
    flaky = sum(0 < case.failures < case.runs for case in report.cases)
    retried = sum(case.outcome == "passed" and case.failures > 0 for case in report.cases)
    good = [f"{fixed} fixed since the last run" if fixed else "", f"{retried} flaky" if retried else ""]
    bad = [f"{new} new since the last run" if new else "", f"{flaky - retried} flaky" if flaky > retried else ""]
    remarks = {
        word: f" ({', '.join(filter(None, notes))})" for word, notes in (("passed", good), (red, bad)) if any(notes)
    }
    parts = []
    for outcome in ("passed", "failed", "error", "skipped"):
        if number := report.count(outcome):
            word = "errors" if outcome == "error" and number > 1 else outcome
            parts.append(f"{number:,} {word}{remarks.get(outcome, '')}")
    return ", ".join(parts)


def _body(report: TestReport) -> list[str]:
    lines = []
    bad = [case for case in report.cases if case.outcome in ("failed", "error")]
    for number, case in enumerate(bad[:MOST_IN_FULL], start=1):
        lines += _failure(number, case)
    if len(bad) > MOST_IN_FULL:
        rest = bad[MOST_IN_FULL:]
        lines.append(f"{len(rest):,} more failed:")
        lines += [f"  {case.id}{'  [new]' if case.new else ''}" for case in rest[:MOST_IDS]]
        if len(rest) > MOST_IDS:
            lines.append(f"  … {len(rest) - MOST_IDS:,} more; narrow with targets")
    return lines


def _failure(number: int, case: TestCase) -> list[str]:
    at = f"  at {case.place}" if case.place else ""
    new = "     [new]" if case.new else ""
    head = f"{number}. {case.id}{at}  {case.message}{new}".rstrip()
    return [head, *(f"     {line}" for line in case.detail.split("\n") if line)]


def _foot(ctx: Context, report: TestReport) -> list[str]:
    lines = []
    if fixed := [case.id for case in report.cases if case.fixed]:
        lines.append(f"fixed: {join_some(fixed, MOST_FIXED)}")
    if retried := [case.id for case in report.cases if case.outcome == "passed" and case.failures]:
        lines.append(f"flaky, passed when run again: {join_some(retried, MOST_FIXED)}")
    lines += [f"NOT run: {each}" for each in report.unrun]
    if report.parts:
        lines += [f"Note: {report.trouble}"] if report.trouble else []
        lines += [f"full log of {part.runner}: {part.log}" for part in report.parts if part.log]
        return [*lines, *_changed(ctx)]
    if report.verdict == "broken":
        lines += [report.trouble, *_tail(ctx, report)]
    elif report.verdict == "run_failed":
        lines += _tail(ctx, report)
    elif report.verdict in ("passed", "failed") and report.trouble and report.cases:
        lines.append(f"Note: {report.trouble}")
    elif not report.cases and report.verdict in ("failed", "none_ran", "timed_out"):
        lines += _tail(ctx, report)
    lines += _changed(ctx)
    again = next((case.id for case in report.cases if case.outcome in ("failed", "error")), "")
    rerun = f'rerun one: run_tests(targets=["{again}"])' if again and "::" in again else ""
    full = f"full log: {report.log}" if report.log else ""
    return [*lines, "; ".join(filter(None, (full, rerun)))] if full or rerun else lines


def _changed(ctx: Context) -> list[str]:
    changed = ctx.files.changed()
    return [f"changed on disk by this command: {', '.join(changed)}"] if changed else []


def _tail(ctx: Context, report: TestReport) -> list[str]:
    if not report.log:
        return []
    try:
        with ctx.files.open(report.log) as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - 8_000))
            text = log.read().decode("utf-8", "replace")
    except ToolError:
        return []
    shown = [line.rstrip()[:300] for line in text.split("\n") if line.strip()][-TAIL_LINES:]
    return ["last lines of the output:", *(f"  {line}" for line in shown)]
