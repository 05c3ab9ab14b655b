"""Summary lines: calls, results and turns in one clean line each, views as plain text, and number formats.

No terminal library is needed for these.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, assert_never

from kimi_agent.faces.sanitize import sanitize, sanitize_line
from kimi_agent.log import views
from kimi_agent.log.events import TurnEnded
from kimi_agent.log.messages import Call, Usage
from kimi_agent.printable import format_count

_FIRST = ("command", "pattern", "query", "path", "paths", "url", "name")
"""The argument that says most about a call, in this order of preference."""

_PATCH_PATHS = re.compile(r"^(?:\*\*\* (?:Update|Add|Delete) File: |\+\+\+ (?:b/)?)([^\t\r\n]+)", re.MULTILINE)
"""The files that a patch of either dialect names."""

_PLACES = ("path", "glob", "directory")


def call_line(call: Call, cells: int = 100) -> str:
    """`read_file src/a.py`: the tool and what it is called for."""
    name = sanitize_line(call.name, 40)
    about = _about(call.arguments)
    return sanitize_line(f"{name} {about}".rstrip(), cells)


def _about(raw: str) -> str:
    try:
        arguments: Any = json.loads(raw, strict=False)
    except (ValueError, RecursionError):
        return " ".join(raw.split())
    if not isinstance(arguments, dict):
        return " ".join(raw.split())
    if isinstance(patch := arguments.get("patch"), str) and (files := _PATCH_PATHS.findall(patch)):
        return " ".join(dict.fromkeys(files))
    given = {key: value for key, value in arguments.items() if value not in (None, "", [], {})}
    first = next((key for key in _FIRST if key in given), "")
    shown = [_short(given[first])] if first else [_short(v) for v in given.values() if isinstance(v, str | int | float)]
    if first in ("pattern", "query"):
        shown += [f"in {_short(given[key])}" for key in _PLACES if key in given][:1]
    if first == "command" and given.get("cwd") not in (None, ".", "./"):  # the same words do other things elsewhere
        shown.insert(0, f"in {_short(given['cwd'])}:")
    return ", ".join(shown[:3]) if not first else " ".join(shown)


def _short(value: Any) -> str:
    """A value on one line. Lists of values are joined; what is still longer is cut where the line is drawn."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return " ".join(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    lines = text.strip().split("\n")
    return lines[0] if len(lines) == 1 else f"{lines[0]} (+{len(lines) - 1} lines)"


def result_line(result: views.Result, cells: int = 100) -> str:
    """The result of a call: `120 lines`, `exit 1, 2.3 s`, `+3 -1`, or the first line of an error."""
    if result.failed and not isinstance(result.view, views.TestReport | views.OutputView):
        return sanitize_line(result.content.strip().split("\n")[0], cells) or "failed"
    match result.view:
        case views.TextView(_, title):
            return sanitize_line(title, cells)
        case views.DiffView(files):
            return f"+{sum(file.added for file in files)} -{sum(file.removed for file in files)}"
        case views.OutputView(_, _, exit_code, duration_s):
            return f"{_exit(exit_code)}, {format_seconds(duration_s)}"
        case views.MatchesView(_, 0):
            return "no match"
        case views.MatchesView(_, matches, files):
            return f"{format_count(matches, 'match', 'matches')} in {format_count(files, 'file')}"
        case views.TestReport() as report:
            return test_line(report)
        case views.PlanView(items):
            return f"{sum(item.status == 'done' for item in items)}/{len(items)} done"
        case None:
            return sanitize_line(result.content.strip().split("\n")[0], cells)
        case _ as view:
            assert_never(view)


def test_line(report: views.TestReport) -> str:
    """`12 passed, 1 failed, 3.2 s`, or why nothing is known."""
    counts = ", ".join(
        f"{count} {word}"
        for outcome, word in (("passed", "passed"), ("failed", "failed"), ("error", "errors"), ("skipped", "skipped"))
        if (count := report.count(outcome))
    )
    verdict = {
        "none_ran": "no test ran",
        "run_failed": "the run failed",
        "broken": "stopped before testing",
        "timed_out": "timed out",
    }
    words = [verdict.get(report.verdict, ""), counts or ("" if report.verdict in verdict else report.verdict)]
    return ", ".join([*(word for word in words if word), format_seconds(report.duration_s)])


def view_text(view: views.View | None) -> str:
    """The whole view as clean plain text, for a person without a screen of ours; "" for none."""
    match view:
        case None:
            return ""
        case views.TextView(text):
            return sanitize(text)
        case views.DiffView(files):
            return "\n".join(f"{file_line(file)}\n{sanitize(file.diff)}".rstrip() for file in files)
        case views.OutputView(command, text):
            return sanitize(f"$ {command}\n{text}".rstrip())
        case views.MatchesView(pattern, matches, files):
            return sanitize(f"{pattern}: {matches} in {files} files")
        case views.TestReport() as report:
            return "\n".join([test_line(report), *failure_lines(report)])
        case views.PlanView(items):
            marks = {"pending": "[ ]", "in_progress": "[>]", "done": "[x]"}
            return "\n".join(f"{marks[item.status]} {sanitize_line(item.step)}" for item in items)
        case _:
            assert_never(view)


def failure_lines(report: views.TestReport) -> Iterable[str]:
    """A line for each test that failed, and what kept the run from testing."""
    for case in report.cases:
        if case.outcome in ("failed", "error"):
            yield sanitize_line(f"{case.id}  {case.message}".rstrip())
    if report.trouble:
        yield sanitize(report.trouble)


def file_line(file: views.FileDiff) -> str:
    """`src/a.py +3 -1`, `new src/b.py +12`, `deleted src/c.py -8`, `old.py -> new.py`."""
    path = sanitize_line(file.path)
    words = {"A": f"new {path}", "D": f"deleted {path}", "R": f"{sanitize_line(file.old_path)} -> {path}", "M": path}
    counts = (f" {sign}{count}" for sign, count in (("+", file.added), ("-", file.removed)) if count)
    return words[file.change] + "".join(counts)


def turn_line(ended: TurnEnded, duration_s: float, usage: Usage) -> str:
    """`3 steps, 12.3 s, 4.1k tokens in (3.9k cached), 310 out`."""
    parts = [format_count(ended.steps, "step"), format_seconds(duration_s)]
    if usage.input or usage.output:
        cached = f" ({format_amount(usage.cached)} cached)" if usage.cached else ""
        parts.append(f"{format_amount(usage.input)} tokens in{cached}, {format_amount(usage.output)} out")
    return ", ".join(parts)


def format_countdown(left_s: int) -> str:
    """Whole seconds as they run down, in words of a steady width: `23 s`, `3 min 05 s`, `1 h 02 min`."""
    if left_s < 60:
        return f"{left_s} s"
    if left_s < 3600:
        return f"{left_s // 60} min {left_s % 60:02} s"
    return f"{left_s // 3600} h {left_s % 3600 // 60:02} min"


def format_seconds(duration_s: float) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if duration_s < 9.95:
        return f"{duration_s:.1f} s"
    whole = round(duration_s)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_age(seconds_ago: float) -> str:
    """How long since, in its largest unit."""
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds_ago >= size:
            return f"{int(seconds_ago // size)} {word} ago"
    return "now"


def format_amount(number: int) -> str:
    """`950`, `4.1k`, `41k`, `1.2M`."""
    if number < 1_000:
        return str(number)
    if number < 999_500:
        return f"{number / 1_000:.1f}k" if number < 9_950 else f"{number / 1_000:.0f}k"
    return f"{number / 1_000_000:.1f}M"


def _exit(exit_code: int | None) -> str:
    return "stopped" if exit_code is None else f"exit {exit_code}"
