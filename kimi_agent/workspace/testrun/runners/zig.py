"""zig runner: `zig build test --summary all`, whose text names failing tests and counts the others."""

import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from kimi_agent.log.views import TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand, TestOutcome, TestSelection
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.reports.cases import excerpt_innermost_first, merge_cases
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, make_path_mapper, strip_escapes
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner

BUILD_ZIG = "build.zig"
_FILTER = re.compile(r"""\boption\(\s*[^,()]+,\s*"(?P<name>[\w-]*filters?)\"""")
_SOURCES = re.compile(r".*\.zig")
_DECLARED = re.compile(r"""^test\s+(?:"(?P<quoted>(?:[^"\\\n]|\\.)*)"|(?P<name>\w+))?\s*\{""", re.MULTILINE)
_FAILED = re.compile(
    r"^error: '(?P<id>.+)' (?P<how>failed|leaked|timed out|terminated|logged (?:\d+ )?errors?|exited)\b(?P<rest>.*)$"
)
_SUMMARY = re.compile(
    r"^Build Summary: \d+/\d+ steps succeeded.*?(?:; (?P<passed>\d+)/(?P<total>\d+) tests passed(?P<rest>.*))?$"
)
# Zig counts a test that leaks or logs an error as passed, and fails the run for it.
_RUN_STEP = re.compile(r"^[ |]*\+- run .* total\);")
_PASSED_BADLY = re.compile(r"\b(\d+) (?:leaks?|error logs?)\b")
_SKIPPED = re.compile(r"(\d+) skipped")
_COMPILE_ERROR = re.compile(r"^(?P<path>[^\s:][^:]*\.zig):(?P<line>\d+):\d+: error: ")
_FRAME = re.compile(r"^\s*(?P<path>[^\s:][^:]*\.zig):(?P<line>\d+):\d+: 0x[0-9a-f]+ in ")
_CACHED = re.compile(r"^[ |]*\+- run .*\bcached$")
_MOST_COUNTED, _MOST_ERRORS, _MOST_BLOCK = 20_000, 12, 60
_OWN_FRAME = re.compile(_FRAME.pattern + r"(?:decl)?test\.(?P<name>.+) \([^()]*\)$")
_ERROR = re.compile(r"^error: (?!\d+ compilation errors|the following (?:build )?command)")


@dataclass
class _Failure:
    name: str
    message: str
    outcome: TestOutcome
    block: list[str] = field(default_factory=list)


@dataclass
class _ZigOutput:
    failures: list[_Failure] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    summary: re.Match[str] | None = None
    cached: int = 0
    passed_badly: int = 0  # tests that passed, but leaked or logged errors
    # Where a test's own frame stands, by its name: zig may print a part of a failure before the failure's head.
    places: dict[str, tuple[str, str]] = field(default_factory=dict)


def zig_evidence(folder: ProjectFolder) -> str:
    """The build script, if it has a step for tests."""
    # The step is made by a line such as b.step("test", ...).
    return BUILD_ZIG if re.search(r"""step\(\s*"test\"""", folder.text(BUILD_ZIG)) else ""


def zig_arguments(selection: TestSelection, folder: ProjectFolder) -> tuple[str, ...] | None:
    """The words after `zig build test --summary all`; None where the build script has no filter for them."""
    nodes = [target.node for target in selection.targets]
    if selection.targets and not all(nodes):
        return None
    option = _FILTER.search(folder.text(BUILD_ZIG))
    wanted = [*([selection.name] if selection.name else []), *nodes]
    if wanted and (option is None or (len(wanted) > 1 and not option["name"].endswith("s"))):
        return None
    return tuple(f"-D{option['name']}={name}" for name in wanted) if option else ()


def read_zig_output(ran: RunResult) -> ParsedReport:
    """The failures from the output; the names of the others from the sources, where the counts agree."""
    text = _parse_output(ran.lines)
    spelled = make_path_mapper(ran.root, ran.folder.path)
    declared = _declared(ran.folder)
    total = int(text.summary["total"] or 0) if text.summary else 0
    skipped = int(found[1]) if text.summary and (found := _SKIPPED.search(text.summary["rest"] or "")) else 0
    badly = {found.name for found in text.failures if found.message.startswith(("leaked", "logged"))}
    passed = int(text.summary["passed"] or 0) - min(len(badly), text.passed_badly) if text.summary else 0
    named = [(_id(found.name, declared, spelled), found) for found in text.failures]
    if text.summary and len({node_id for node_id, _ in named}) > total - passed - skipped:
        # More than zig counted: tests print such lines too.
        named = [(node_id, found) for node_id, found in named if "::" in node_id] if total > passed + skipped else []
    bad = merge_cases(_case(found, node_id, text, ran) for node_id, found in named)
    if text.errors and not bad and (not passed or any(_COMPILE_ERROR.match(line) for line in text.errors)):
        return ParsedReport(fatal_error="\n".join(text.errors))
    if text.summary is None:
        return ParsedReport(bad, is_complete=bool(bad))
    known = [f"{spelled(path) or path}::{name}" for path, name in declared]
    others = [node_id for node_id in known if node_id not in {case.id for case in bad}]
    trouble = ""
    if not skipped and not text.cached and len(others) == passed and not (ran.selection.name or ran.selection.targets):
        rest = [TestCase(node_id, "passed") for node_id in others]
    else:
        rest = [TestCase(f"{BUILD_ZIG}::passed {n + 1}", "passed") for n in range(min(passed, _MOST_COUNTED))]
        rest += [TestCase(f"{BUILD_ZIG}::skipped {n + 1}", "skipped") for n in range(min(skipped, _MOST_COUNTED))]
        trouble = "zig names only the tests that fail; those that passed are told by number" if passed else ""
    if text.cached:
        # Zig keeps successful runs only, by the content of the test program.
        rest += [TestCase(f"{BUILD_ZIG}::cached run {n + 1}", "passed") for n in range(text.cached)]
        trouble = "zig did not run again what passed before unchanged (cached), and does not say how many tests that is"
    if text.errors and ran.exit_code:
        trouble = "; ".join(filter(None, (first_nonblank_line(text.errors[0]), trouble)))
    return ParsedReport(merge_cases((*bad, *rest)), trouble=trouble, announced=total, ended=total)


async def _launch(request: LaunchRequest) -> TestCommand | None:
    zig, words = request.which("zig"), zig_arguments(request.selection, request.folder)
    if zig is None or words is None:
        return None
    rest = ("build", "test", "--summary", "all", *words)
    return request.command("zig build test", (zig, *rest), ("zig", *rest))


def _parse_output(lines: Iterable[str]) -> _ZigOutput:
    """The failing tests, what the compiler says is wrong, and the summary."""
    text = _ZigOutput()
    block: list[str] | None = None
    for raw in lines:
        line = strip_escapes(raw).rstrip()
        if own := _OWN_FRAME.match(line):
            text.places.setdefault(own["name"], (own["path"], own["line"]))
        if failed := _FAILED.match(line):
            rest = failed["rest"].lstrip(": ")
            ended = failed["how"].startswith(("failed", "leaked", "logged"))
            outcome: TestOutcome = "failed" if ended else "error"
            message = rest if failed["how"] == "failed" else f"{failed['how']} {rest}".rstrip()
            text.failures.append(_Failure(failed["id"], message, outcome))
            block = text.failures[-1].block
        elif summary := _SUMMARY.match(line):
            text.summary, block = summary, None
        elif text.summary is not None:
            text.cached += _CACHED.match(line) is not None
            text.passed_badly += sum(map(int, _PASSED_BADLY.findall(line))) if _RUN_STEP.match(line) else 0
        elif _COMPILE_ERROR.match(line) or _ERROR.match(line):
            block = text.errors if len(text.errors) < _MOST_ERRORS else None
            text.errors += [line] if block is not None else []
        elif not line or line.startswith(("failed command:", "test", "+-", "|", "error: ")):
            block = None
        elif block is not None and len(block) < _MOST_BLOCK:
            block.append(line)
    return text


def _declared(folder: ProjectFolder) -> list[tuple[str, str]]:
    """The file and the name of each test in the sources; zig numbers those without a name."""
    found: list[tuple[str, str]] = []
    for path in folder.find_files(_SOURCES):
        unnamed = 0
        for test in _DECLARED.finditer(folder.text(path)):
            name = test["quoted"] if test["quoted"] is not None else test["name"]
            found.append((path, name if name is not None else f"test_{unnamed}"))
            unnamed += name is None
    return found


def _id(dotted: str, declared: list[tuple[str, str]], spelled: Callable[[str], str]) -> str:
    """`deep.more.test.adds` as the id of the file that it stands in; the first word is the root file's name."""
    place, name = _split(dotted)
    files = dict.fromkeys(path for path, each in declared if each == name)
    parts = place.split(".")
    for length in range(len(parts), 0, -1):
        ending = "/" + "/".join(parts[:length]) + ".zig"
        path = next((path for path in files if f"/{path}".endswith(ending)), "")
        if path:
            return f"{spelled(path) or path}::{name}"
    return dotted


def _split(dotted: str) -> tuple[str, str]:
    for mark in (".test.", ".decltest."):
        place, found, name = dotted.partition(mark)
        if found:
            return place, name
    place, _, name = dotted.rpartition(".")
    return place, name


def _case(failure: _Failure, node_id: str, text: _ZigOutput, ran: RunResult) -> TestCase:
    spelled = make_path_mapper(ran.root, ran.folder.path)

    def frame(line: str) -> str | None:
        found = _FRAME.match(line)
        if found is None:
            return None
        path = spelled(found["path"])
        return f"{path}:{found['line']}" if path else ""

    lines = list(_without_sources(failure.block))
    cut = excerpt_innermost_first("\n".join(lines), frame, node_id.partition("::")[0])
    message = failure.message
    if not message or message.startswith("logged") or message.endswith("stderr:"):
        # Its message is in the lines that follow.
        message = first_nonblank_line("\n".join(line for line in lines if not _FRAME.match(line)))
    detail = cut.detail.replace(f"{ran.root}/", "")
    path, line = text.places.get(_split(failure.name)[1], ("", ""))
    own = f"{spelled(path)}:{line}" if path and spelled(path) else ""
    return TestCase(node_id, failure.outcome, cut.place or own, message.rstrip(":") or "it failed", detail)


def _without_sources(block: list[str]) -> Iterator[str]:
    """The lines without those that show the source below a frame, and without their common indentation."""
    below = 0
    for line in textwrap.dedent("\n".join(block)).split("\n"):
        below = 2 if _FRAME.match(line) else below - 1
        if below in (2, -1) or below < -1:
            yield line


def _adopt(given: GivenCommand) -> TestCommand | None:
    tests = given.starts("zig", "build") and "test" in given.words
    return given.run_as("zig build test", "--summary", "all") if tests else None


ZIG = TestRunner(
    *("zig build test", "Zig", zig_evidence, _launch, read_zig_output, (".zig",)),
    adopt=_adopt,
    manifests=(r"build\.zig",),
    order=32,
)
