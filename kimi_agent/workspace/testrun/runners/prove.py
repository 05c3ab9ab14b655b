"""prove runner (Perl): the TAP of each test file, which prove keeps in a folder, held against its own summary."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec.structs import replace

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand, TestSelection
from kimi_agent.workspace.testrun.formats.tap import parse_tap
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.reports.cases import excerpt_first_error, list_subfolders, merge_cases, path_argument
from kimi_agent.workspace.testrun.reports.failure_excerpt import (
    MAX_EXCERPT_LINES,
    first_nonblank_line,
    make_path_mapper,
    strip_escapes,
)
from kimi_agent.workspace.testrun.reports.report_file import ReportRejected, read_report_bytes
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner

_TEST_FILE = re.compile(r".*\.t")
_RESULT = re.compile(r"Result: (?P<word>PASS|FAIL|NOTESTS)")
_FILES = re.compile(r"Files=(?P<files>\d+), Tests=(?P<tests>\d+), .*")
_FAILED_FILE = re.compile(r"(?P<file>\S.*?)\s+\(Wstat: .*\)")
_FAILED_TEST = re.compile(r"#\s+Failed test '(?P<name>.*)'")
_AT = re.compile(r"at (?P<path>.+) line (?P<line>\d+)\.")
_START_ERROR = re.compile(r"Cannot|Can't|Unknown option|prove: |\berror\b", re.IGNORECASE)
_MOST_FILES = 5_000
# "Every file's TAP is written below this folder" (TAP::Harness 3.44); nothing else changes.
_KEPT_TAP = "PERL_TEST_HARNESS_DUMP_TAP"


def _evidence(folder: ProjectFolder) -> str:
    if "t" not in list_subfolders(folder.path):
        return ""
    direct = next((f"t/{name}" for name in folder.names("t") if name.endswith(".t")), "")
    return direct or next((path for path in folder.find_files(_TEST_FILE) if path.startswith("t/")), "")


async def _launch(request: LaunchRequest) -> TestCommand | None:
    prove = request.which("prove")
    words = prove_arguments(request.folder, request.selection)
    if prove is None or words is None:
        return None
    return request.command("prove", (prove, *words), ("prove", *words), _environment(request.report_path))


def prove_arguments(folder: ProjectFolder, selection: TestSelection) -> tuple[str, ...] | None:
    """The files; None for a test inside a file or a name, which prove cannot choose."""
    if selection.name or any(target.node for target in selection.targets):
        return None
    library = ("-l",) if "lib" in list_subfolders(folder.path) else ()
    paths = dict.fromkeys(path_argument(target.path, folder.path) for target in selection.targets)
    return (*library, "-r", *(paths or ("t",)))


def _environment(report: Path) -> dict[str, str]:
    return {_KEPT_TAP: str(report.parent / "tap")}


def _read(ran: RunResult) -> ParsedReport:
    stated, files, words = _read_summary(ran.lines)
    if ran.exit_code and not files:
        return ParsedReport(fatal_error=excerpt_first_error(ran.lines, _START_ERROR))
    said = _read_diagnostics(ran.lines)
    kept = ran.report_path.parent / "tap"
    names = sorted(_kept_files(kept))
    told: list[TestCase] = []
    reached = 0
    for name in names[:_MOST_FILES]:
        cases, count = _read_file(kept / name, name, words.get(name, ""), ran)
        cases = [_explained(case, said.get(case.id.partition("::")[2], ()), ran) for case in cases]
        told += cases
        reached += count
    # A file that is gone, or that prove could not start, leaves no TAP.
    told += [TestCase(_spelled(ran, name), "error", message=why) for name, why in words.items() if name not in names]
    bad = any(case.outcome in FAILED_OUTCOMES for case in told)
    return ParsedReport(
        merge_cases(told),
        stated_result="failed" if stated == "FAIL" and not bad else "none" if stated == "NOTESTS" else "",
        is_complete=bool(stated) and len(names) >= files - len(words),
        announced=reached,
        ended=reached,
    )


def _read_summary(lines: Iterable[str]) -> tuple[str, int, dict[str, str]]:
    """Prove's last result and count of files, and why files failed. What tests print comes before it."""
    stated, files = "", 0
    words: dict[str, str] = {}
    last = ""
    for raw in lines:
        line = strip_escapes(raw).rstrip()
        if found := _RESULT.fullmatch(line):
            stated = found["word"]
        elif found := _FILES.fullmatch(line):
            files = int(found["files"])
        elif line == "Test Summary Report":
            words = {}
        elif found := _FAILED_FILE.fullmatch(line):
            last = found["file"].rstrip()
            words[last] = ""
        elif last and line.startswith("  ") and not line.startswith("  Failed test"):
            words[last] = "; ".join(filter(None, (words[last], line.strip())))
        else:
            last = ""
    return stated, files, {name: why for name, why in words.items() if stated == "FAIL"}


def _read_file(path: Path, name: str, why: str, ran: RunResult) -> tuple[list[TestCase], int]:
    """The tests of one file, and how many ended. A file that fails by more than its tests is an error of its own."""
    try:
        text = (read_report_bytes(path) or b"").decode("utf-8", "replace")
    except ReportRejected as error:
        return [TestCase(_spelled(ran, name), "error", message=str(error))], 0
    found = parse_tap(text.split("\n"), make_path_mapper(ran.root, ran.folder.path))
    file = _spelled(ran, name)
    cases = [_named(case, file) for case in found.cases]
    failed = any(case.outcome in FAILED_OUTCOMES for case in cases)
    if not failed and (why or not found.is_complete):
        cases.append(TestCase(file, "error", message=why or found.trouble))
    elif found.stated_result == "none":
        cases.append(TestCase(file, "skipped", message=found.trouble))
    return cases, found.ended or 0


def _read_diagnostics(lines: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """What Test::More said of failing tests, by their names: it goes to stderr, past the TAP."""
    found: dict[str, tuple[str, ...]] = {}
    name = ""
    for raw in lines:
        line = strip_escapes(raw).rstrip()
        if failed := _FAILED_TEST.fullmatch(line):
            name = failed["name"]
            found.setdefault(name, ())
        elif name and line.startswith("#  ") and len(found[name]) < MAX_EXCERPT_LINES:
            found[name] = (*found[name], line.removeprefix("#").strip())
        else:
            name = ""
    return found


def _explained(case: TestCase, said: tuple[str, ...], ran: RunResult) -> TestCase:
    """A failing test with what was said of it: where it stands, what it got and what it wanted."""
    if case.outcome != "failed" or not said:
        return case
    at = _AT.fullmatch(said[0])
    place = f"{_spelled(ran, at['path'])}:{at['line']}" if at else ""
    rest = said[1:] if at else said
    return replace(case, place=place, message=first_nonblank_line(" ".join(rest)), detail="\n".join(rest))


def _named(case: TestCase, file: str) -> TestCase:
    return TestCase(f"{file}::{case.id}", case.outcome, case.place, case.message, case.detail)


def _spelled(ran: RunResult, name: str) -> str:
    return make_path_mapper(ran.root, ran.folder.path)(name) or name


def _kept_files(folder: Path) -> Iterator[str]:
    """The test files of which TAP was kept, as prove was given them."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(folder).as_posix()


def _adopt(given: GivenCommand) -> TestCommand | None:
    return given.run_as("prove", env=_environment(given.report_path)) if given.program == "prove" else None


PROVE = TestRunner(
    *("prove", "Perl", _evidence, _launch, _read, (".t", ".pm", ".pl")),
    adopt=_adopt,
    manifests=("Makefile.PL", "Build.PL", "cpanfile", r"dist\.ini"),
    order=45,
)
