"""pytest: how it is started, and what its report and its live lines say."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from kimi_agent.log.views import TestCase
from kimi_agent.workspace.testrun.projects.manifests import needs_cache
from kimi_agent.workspace.testrun.projects.project_folder import Folder
from kimi_agent.workspace.testrun.reports.failure_excerpt import clean, cut, first_line, within
from kimi_agent.workspace.testrun.reports.junit import MOST_CASES, Element, Report
from kimi_agent.workspace.testrun.values import Outcome, Reading, Target, Wish

_WORDS: Mapping[str, Outcome] = {
    "PASSED": "passed",
    "FAILED": "failed",
    "ERROR": "error",
    "SKIPPED": "skipped",
    "XFAIL": "skipped",
    "XPASS": "passed",
}
_WORD = "|".join(_WORDS)
_LIVE = re.compile(
    rf"^(?:\[gw\d+\] \[ *\d+%\] (?P<first>{_WORD}) )?"
    r"(?P<id>[^\s:]\S*?::[^\s\[]+(?:\[.*?\](?=\s|$))?)"
    rf"(?:\s+(?P<word>{_WORD})\b)?"
)
_ALONE = re.compile(rf"(?P<word>{_WORD})\s+\[ *\d+%\]$")
_ROOT = re.compile(r"^rootdir: (.+?)(?:, (?:configfile|inifile|testpaths):.*)?$")
_END_OF_LIVE = re.compile(r"^=+ (?:ERRORS|FAILURES|warnings summary.*|short test summary info|.* in [\d.]+s.*) =+$")
_COLLECTION = ("collection failure", "collection error")


def reporting(report: str, folder: Folder) -> tuple[str, ...]:
    """The options that make pytest tell us what it did, whatever the project's own options are.

    `--verbosity` sets where `-v` would add: one line for each test, from which a killed run is read. xunit1 is the
    dialect that names files. The cache would be written into the workspace for nothing.
    """
    options = ("--verbosity=1", "--tb=short", "-o", "junit_family=xunit1", f"--junitxml={report}")
    return options if needs_cache(folder) else (*options, "-p", "no:cacheprovider")


def arguments(wish: Wish, folder: Path) -> tuple[str, ...]:
    """The name and the targets as pytest takes them; none of them can be read as an option."""
    words = (f"-k={wish.name}",) if wish.name else ()
    return (*words, *(_argument(target, folder) for target in wish.targets))


def read(report: Report | None, lines: Iterable[str], *, root: Path, folder: Path) -> Reading:
    """What the run told: in its report, or, where it was killed before it wrote one, in its lines."""
    live, running, rootdir = _live(lines)
    here = within(root, folder)
    still = ", ".join(_respelled(node_id, here) for node_id in running)
    if report is None or (report.trouble and not report.elements):
        cases = tuple(TestCase(_respelled(node_id, here), outcome) for node_id, outcome in live.items())
        return Reading(cases, running=still, trouble=report.trouble if report else "", whole=False)
    base = Path(rootdir) if rootdir else folder
    spelled = within(root, base)
    collection = [element for element in report.elements if _failed_to_collect(element)]
    trouble = report.trouble
    if report.total > len(report.elements):
        trouble = f"{report.total:,} tests were reported; the first {MOST_CASES:,} and every failure are kept"
    return Reading(
        tuple(_merged(_case(element, spelled, base) for element in report.elements)),
        broken=_first_error(collection[0]) if collection and len(collection) == len(report.elements) else "",
        running=still,
        trouble=trouble,
        whole=not report.trouble,
    )


def _argument(target: Target, folder: Path) -> str:
    spelled = _relative(target.path, folder)
    # "-x" would be an option, "@x" a file of arguments (pytest 8.2).
    spelled = f"./{spelled}" if spelled.startswith(("-", "@")) else spelled
    return f"{spelled}::{target.node}" if target.node else spelled


def _relative(path: Path, folder: Path) -> str:
    try:
        return str(path.relative_to(folder))
    except ValueError:
        return str(path)


def _live(lines: Iterable[str]) -> tuple[dict[str, Outcome], list[str], str]:
    """Outcomes by id, ids that were started and not ended, and the folder that ids are relative to in a report."""
    ended: dict[str, Outcome] = {}
    started: dict[str, None] = {}
    rootdir = ""
    for raw in lines:
        line = clean(raw).rstrip()
        if _END_OF_LIVE.match(line):
            break
        if root := _ROOT.match(line):
            rootdir = rootdir or root[1]
        elif found := _LIVE.match(line):
            word = found["first"] or found["word"]
            if word:
                started.pop(found["id"], None)
                if ended.get(found["id"]) != "failed":
                    ended[found["id"]] = _WORDS[word]
            else:
                started[found["id"]] = None
        elif started and (alone := _ALONE.search(line)):
            # A test that prints past the capture: its word comes lines later.
            ended[started.popitem()[0]] = _WORDS[alone["word"]]
    return ended, list(started), rootdir


def _respelled(node_id: str, spelled: Callable[[str], str]) -> str:
    path, separator, node = node_id.partition("::")
    return (spelled(path) or path) + separator + node


def _failed_to_collect(element: Element) -> bool:
    return element.outcome == "error" and element.message.startswith(_COLLECTION)


def _case(element: Element, spelled: Callable[[str], str], base: Path) -> TestCase:
    module, node = _module(element, base)
    path = spelled(module) or module
    if not path:
        node_id = element.name
    elif _failed_to_collect(element) or not node:
        node_id = path
    else:
        node_id = f"{path}::{node}"
    if element.outcome not in ("failed", "error"):
        return TestCase(node_id, element.outcome, message=first_line(element.message))
    shortened = cut(element.text, spelled, path)
    place = shortened.place
    if not place and element.line.isdigit() and spelled(element.file):
        place = f"{spelled(element.file)}:{int(element.line) + 1}"
    message = first_line(element.message)
    if _failed_to_collect(element) and shortened.last_message:
        message = first_line(shortened.last_message.removeprefix("E  "))
    return TestCase(node_id, element.outcome, place, message, shortened.detail)


def _module(element: Element, base: Path) -> tuple[str, str]:
    """The file of a test and the node inside it.

    The `file` attribute says where the function stands, which for an inherited test is another file than the id names.
    """
    dotted = element.classname or element.name
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        path = "/".join(parts[:length]) + ".py"
        if (base / path).is_file():
            inner = parts[length:]
            return path, "::".join([*inner, element.name] if element.classname else inner)
    return element.file, "::".join(part for part in (element.name,) if element.classname or part != element.file)


def _merged(cases: Iterable[TestCase]) -> list[TestCase]:
    """One case for each id: a failing test whose teardown fails too is told twice."""
    kept: dict[str, TestCase] = {}
    for case in cases:
        known = kept.get(case.id)
        if known is None or (known.outcome in ("passed", "skipped") and case.outcome in ("failed", "error")):
            kept[case.id] = case
    return list(kept.values())


def _first_error(element: Element) -> str:
    lines = [line.rstrip() for line in clean(element.text).split("\n") if line.strip()]
    return "\n".join(lines[-15:]) or element.message
