"""Evidence text: the verdict at the end of a turn as rows for a screen, text for stderr, Markdown and JSON.

The verdict is the harness's own (`verify.evidence`), never the model's; the Markdown is a block for a pull request. All
names in it (tests, files, commands) come from the repository or the model: each is made harmless where it is drawn.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from kimi_agent.faces.sanitize import sanitize_line
from kimi_agent.faces.summary_lines import format_seconds
from kimi_agent.faces.theme import Style
from kimi_agent.log.views import Evidence, TestReport, Weakened
from kimi_agent.printable import format_count, join_some
from kimi_agent.verify.test_config import is_test_config

_MOST_NAMES = 3
_MOST_WEAKENED = 5
_MOST_LISTED = 50
_MOST_SENTENCES = 4
_MOST_CELLS = 120
WEAKENED_HOW = {
    "deleted": "was deleted",
    "skipped": "is skipped now",
    "fewer assertions": "has fewer assertions",
    "expectation changed": "passes because what it expects was changed, and nothing else",
}
_HOW_MANY = {
    "deleted": "were deleted",
    "skipped": "are skipped now",
    "fewer assertions": "have fewer assertions",
    "expectation changed": "pass because what they expect was changed, and nothing else",
}
_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")

Draw = Callable[[str], str]


def evidence_rows(evidence: Evidence) -> list[tuple[Style, str]]:
    """The rows, each clean text on one line with the style that it wants; none where there is nothing to say."""
    rows: list[tuple[Style, str]] = []
    match evidence.verdict:
        case "verified":
            rows.append(("green", f"verified: {_proof(evidence, _plain)}"))
        case "not_verified":
            rows.append(("yellow", f"NOT verified: {'; '.join(_reasons(evidence, _plain))}"))
            if evidence.fixed:
                rows.append(("dim", f"{_fixed(evidence, _plain)} red -> green"))
        case "no_tests":
            rows.append(("yellow", "NOT verified: no tests were run"))
            if evidence.still_red:
                rows.append(("yellow", f"still red since an earlier run: {_names(evidence.still_red, _plain)}"))
        case "none_needed":
            if evidence.last is not None and not evidence.is_green:
                rows.append(("yellow", f"tests: {'; '.join(_reasons(evidence, _plain))}"))
    if evidence.broke:
        rows.append(("red", f"broke: {_names(evidence.broke, _plain)} green -> red"))
    if told := [each for each in evidence.retried if each not in evidence.flaky]:
        rows.append(("yellow", f"passed only when the runner ran it again: {_names(told, _plain)}"))
    rows += [("yellow", f"weakened: {each}") for each in _weakened(evidence.weakened, _plain, _MOST_WEAKENED)]
    if steering := [path for path in evidence.files if is_test_config(path)]:
        rows.append(("yellow", f"how tests run was changed too: {_names(steering, _plain)}"))
    return rows


def evidence_text(evidence: Evidence) -> str:
    """The same as plain lines for stderr; "" where there is nothing to say."""
    return "\n".join(text for _, text in evidence_rows(evidence))


def evidence_markdown(evidence: Evidence, *, session: str = "", model: str = "") -> str:
    """The evidence for a pull request, in GitHub-flavoured Markdown."""
    blocks = [f"### Evidence\n\n**{_headline(evidence)}**", "\n".join(_facts(evidence, session, model))]
    turned = [(each, "red", "green") for each in _with_old_names(evidence)]
    turned += [(each, "green", "red") for each in evidence.broke]
    if turned:
        rows = [f"| {_code(test)} | {old} | {new} |" for test, old, new in turned[:_MOST_LISTED]]
        more = [f"\nand {len(turned) - _MOST_LISTED:,} more"] if len(turned) > _MOST_LISTED else []
        blocks.append("\n".join(["| test | before | now |", "|---|---|---|", *rows, *more]))
    cases = evidence.last.cases if evidence.last else ()
    blocks += [
        _list("Failing", [case.id for case in cases if case.outcome != "skipped"]),
        _list("Still red, not run again", evidence.still_red),
        _list("Failed and passed on the same files", evidence.flaky),
        _list("Passed only when the runner ran it again", evidence.retried),
        _list("Changed since the last run", evidence.changed_since),
        _list("Changed files", evidence.files),
    ]
    if evidence.weakened:
        rows = [f"- {each}" for each in _weakened(evidence.weakened, _code, _MOST_LISTED)]
        blocks.append("\n".join(["Weakened tests:\n", *rows]))
    blocks.append("<sub>Read by kimi-agent from the test reports and the files, not from what the model said.</sub>")
    return "\n\n".join(block for block in blocks if block) + "\n"


def evidence_json(evidence: Evidence) -> dict[str, Any]:
    """The `tests` member of the result object.

    `outcome`, `runner` and `command` are those of the run that decides; `passed`, `failed` and `skipped` count the
    tests of all runs on the files as they are, which `runs` lists where they are several. `trouble` is why nothing is
    proven, else what troubled the run, in the runner's own last words where it has some.
    """
    found: dict[str, Any] = {"verdict": evidence.verdict}
    if evidence.last is not None:
        last = evidence.last
        found |= {
            "runner": last.runner,
            "command": last.command,
            "outcome": last.verdict,
            "passed": evidence.passed,
            "failed": evidence.failed,
            "skipped": evidence.skipped,
            "failures": _failing(last)[:_MOST_LISTED],
            "changed_after": bool(evidence.changed_since),
            "scope": evidence.scope,
        }
    return found | {
        "runs": [msgspec.to_builtins(each) for each in evidence.runs],
        "unrun": list(evidence.last.unrun) if evidence.last is not None else [],
        "fixed": list(evidence.fixed),
        "broke": list(evidence.broke),
        "still_red": list(evidence.still_red),
        "flaky": list(evidence.flaky),
        "retried": list(evidence.retried),
        "renamed": [{"old": old, "new": new} for old, new in evidence.renamed],
        "changed_since": list(evidence.changed_since),
        "weakened": [msgspec.to_builtins(each) for each in evidence.weakened],
        "unproven": list(evidence.unproven),
        "trouble": evidence.trouble or (evidence.last.trouble if evidence.last is not None else ""),
        "tree": evidence.tree,
    }


def _plain(text: str) -> str:
    return sanitize_line(text, _MOST_CELLS)


def _code(text: str) -> str:
    """Any text as GitHub-flavoured code that nothing in it can leave, in a table too."""
    line = sanitize_line(text, 2 * _MOST_CELLS).strip() or "(none)"
    if not any(char in line for char in "`|\\"):
        return f"`{line}`"
    # In a table a code span ends at a pipe, and no backslash helps where the text has one before it.
    return f"<code>{_PUNCTUATION.sub(lambda found: f'&#{ord(found.group())};', line)}</code>"


def _counted(number: int, noun: str, most: int = 0) -> str:
    at_least = "at least " if most and number >= most else ""
    return f"{at_least}{format_count(number, noun)}"


def _names(names: Sequence[str], draw: Draw) -> str:
    return join_some(names, _MOST_NAMES, draw)


def _failing(report: TestReport) -> list[str]:
    return [case.id for case in report.cases if case.outcome in ("failed", "error")]


def _counts(evidence: Evidence, draw: Draw) -> str:
    """`14 passed, 1 skipped`, or the command whose exit code is all that is known."""
    last = evidence.last
    if last is None:
        return ""
    numbers = ((evidence.passed, "passed"), (evidence.failed, "failed"), (evidence.skipped, "skipped"))
    words = [f"{number:,} {word}" for number, word in numbers if number]
    if not words:
        ended = "was stopped" if last.exit_code is None else f"ended with exit code {last.exit_code}"
        return f"{draw(last.command)} {ended}"
    return ", ".join(words) + (f", {last.repeats} times" if last.repeats > 1 else "")


def _proof(evidence: Evidence, draw: Draw) -> str:
    scope = f" ({draw(evidence.scope)})" if evidence.scope else ""
    fixed = f"; {_fixed(evidence, draw)} red -> green" if evidence.fixed else ""
    return f"{_counts(evidence, draw)}{scope}{fixed}"


def _fixed(evidence: Evidence, draw: Draw) -> str:
    return _names(_with_old_names(evidence), draw)


def _with_old_names(evidence: Evidence) -> list[str]:
    """The tests that turned green: one that was renamed by its old id, with the new one."""
    old_of = {new: old for old, new in evidence.renamed}
    return [f"{old_of[each]} (now {_short(each, old_of[each])})" if each in old_of else each for each in evidence.fixed]


def _short(new: str, old: str) -> str:
    """A new id without the file that it shares with the old one."""
    file = old.partition("::")[0]
    return new.removeprefix(f"{file}::")


def _reasons(evidence: Evidence, draw: Draw) -> Iterator[str]:
    """Why a turn is not verified, the newest first."""
    # Not needed before a turn has ended.
    from kimi_agent.workspace.testrun.proof_rules import NOT_FLAKY, NOTHING_SINCE

    if evidence.changed_since:
        count = _counted(len(evidence.changed_since), "file", most=200)
        yield NOTHING_SINCE.said(count=count, files=_names(evidence.changed_since, draw))
    if evidence.last is not None:
        yield from _run_trouble(evidence, evidence.last, draw)
    for sentence in evidence.unproven[:_MOST_SENTENCES]:
        yield sanitize_line(sentence, 3 * _MOST_CELLS) if draw is _plain else draw(sentence)
    if evidence.flaky:
        yield NOT_FLAKY.said(tests=_names(evidence.flaky, draw))
    if evidence.still_red:
        yield f"still red since an earlier run: {_names(evidence.still_red, draw)}"
    if evidence.trouble:
        yield draw(evidence.trouble)


def _run_trouble(evidence: Evidence, last: TestReport, draw: Draw) -> Iterator[str]:
    match last.verdict:
        case "failed":
            names = _failing(last)
            yield f"{evidence.failed:,} failed: {_names(names, draw)}" if names else _counts(evidence, draw)
        case "run_failed":
            yield draw(last.trouble.strip().split("\n")[0])
        case "broken":
            why = last.trouble.strip().split("\n")[0]
            yield "the tests stopped before they were through" + (f": {draw(why)}" if why else "")
        case "timed_out":
            yield "the tests timed out" + (f" in {draw(last.running)}" if last.running else "")
        case "none_ran":
            yield "no test ran" + (f" ({draw(last.trouble)})" if last.trouble else "")
        case "passed":
            if evidence.trouble:
                yield _counts(evidence, draw)


def _weakened(found: Iterable[Weakened], draw: Draw, most: int) -> list[str]:
    """A sentence for each test, or for each file where a file has many."""
    groups: dict[tuple[str, str], list[Weakened]] = {}
    for each in found:
        groups.setdefault((each.path, each.how), []).append(each)
    rows: list[str] = []
    for (path, how), tests in groups.items():
        if len(tests) <= _MOST_NAMES:
            rows += [f"{draw(_test_id(each))} {WEAKENED_HOW[how]}" for each in tests]
        else:
            names = [each.test.removeprefix(f"{path}::") for each in tests]
            rows.append(f"{draw(path)}: {len(tests):,} tests {_HOW_MANY[how]} ({_names(names, draw)})")
    return rows if len(rows) <= most else [*rows[: most - 1], f"and {len(rows) - most + 1:,} more"]


def _test_id(weakened: Weakened) -> str:
    if not weakened.test:
        return weakened.path
    known = not weakened.path or weakened.test.startswith(weakened.path)
    return weakened.test if known else f"{weakened.path}::{weakened.test}"


def _headline(evidence: Evidence) -> str:
    match evidence.verdict:
        case "verified":
            return f"verified: {_counts(evidence, _code)}"
        case "not_verified":
            return f"NOT verified: {'; '.join(_reasons(evidence, _code))}"
        case "no_tests":
            return "NOT verified: no tests were run"
        case "none_needed":
            return "no files were changed"


def _facts(evidence: Evidence, session: str, model: str) -> Iterator[str]:
    yield "| | |"
    yield "|---|---|"
    if evidence.last is not None:
        last = evidence.last
        ended = "killed" if last.exit_code is None else f"exit {last.exit_code}"
        yield f"| command | {_code(last.command)} |"
        yield f"| runner | {_code(last.runner)} |"
        yield f"| result | {_counts(evidence, _code)}, {ended} in {format_seconds(last.duration_s)} |"
        if evidence.scope:
            yield f"| only | {_code(evidence.scope)} |"
        if last.tree:
            yield f"| ran on tree | {_code(last.tree[:12])} |"
    if evidence.tree:
        yield f"| files now, tree | {_code(evidence.tree[:12])} |"
    if session:
        yield f"| session | {_code(session)} |"
    if model:
        yield f"| model | {_code(model)} |"


def _list(title: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    rows = [f"- {_code(each)}" for each in names[:_MOST_LISTED]]
    more = [f"- and {len(names) - _MOST_LISTED:,} more"] if len(names) > _MOST_LISTED else []
    return "\n".join([f"{title}:\n", *rows, *more])
