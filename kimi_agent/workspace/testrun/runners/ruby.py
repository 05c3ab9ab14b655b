"""RSpec and minitest runners (Ruby): RSpec's JSON report, and the verbose text of minitest or test-unit."""

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path, PurePath

from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, Target, TestCommand, TestSelection
from kimi_agent.workspace.testrun.formats import minitest_output, minitest_report, rspec
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.reports.cases import (
    excerpt_first_error,
    list_subfolders,
    match_frames,
    path_argument,
    targets_of_one_kind,
    with_last_words,
)
from kimi_agent.workspace.testrun.reports.failure_excerpt import make_path_mapper
from kimi_agent.workspace.testrun.reports.injected_ruby_reporters import (
    MINITEST_PLUGIN,
    MINITEST_PLUGIN_FILE,
    RSPEC_REPORTER,
    RSPEC_REPORTER_FILE,
    minitest_environment,
)
from kimi_agent.workspace.testrun.reports.source_index import SourceIndex
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner, first_file

_RAKEFILES = ("Rakefile", "rakefile", "Rakefile.rb", "rakefile.rb")
_RAILS = "bin/rails"
_MOST_FOLDERS, _MOST_TESTS = 200, 2_000
_FRAME = re.compile(r"\s*(?:# |from )?(?P<path>[^\s:][^:]*):(?P<line>\d+):in [`'].*'")
_TEST_FILE = re.compile(r"(?!test_helper\.rb)(?:.*_test|test_.*)\.rb")
_TEST_TASK = re.compile(
    r"""^[ \t]*(?:Rake|Minitest)::TestTask\.(?:new|create)[ \t]*"""
    r"""(?:\(?[ \t]*(?::test\b|test:|["']test["'])|\(?\)?[ \t]*(?:do|\{|$))"""
    r"""|^[ \t]*task[ \t]*\(?[ \t]*(?::test\b|test:|["']test["'])""",
    re.MULTILINE,
)
_SETS_OPTIONS = re.compile(r"\boptions\b")
_RSPEC_FILES = {RSPEC_REPORTER_FILE: RSPEC_REPORTER}
_MINITEST_FILES = {MINITEST_PLUGIN_FILE: MINITEST_PLUGIN}
_RSPEC_SUMMARY = re.compile(r"\d+ examples?, \d+ failures?\b.*")
_MINITEST_SUMMARY = re.compile(r"\d+ (?:runs|tests), \d+ assertions, .*")
_STARTUP_ERROR = re.compile(
    r"\b\w*(?:Error|Exception)\b|rake aborted!|Could not|bundler:|cannot load such file|invalid option"
)


def rspec_evidence(folder: ProjectFolder) -> str:
    """Why RSpec runs this folder's specs; "" where nothing says so."""
    if ".rspec" in folder.names():
        return ".rspec"
    if "spec_helper.rb" in folder.names("spec"):
        return "spec/spec_helper.rb"
    gem = _file_requiring_gem(folder, "rspec", "rspec-rails", "rspec-core")
    return f"{gem} names rspec" if gem and "spec" in list_subfolders(folder.path) else ""


def minitest_evidence(folder: ProjectFolder) -> str:
    """Why Ruby's own test libraries run this folder's tests; "" where nothing says so."""
    first = next(_tests(folder), "")
    if first and "rails" in folder.names("bin") and "application.rb" in folder.names("config"):
        return _RAILS
    rakefile = _rakefile(folder)
    return f"{rakefile} has a task test" if rakefile else first


async def _launch_rspec(request: LaunchRequest) -> TestCommand | None:
    program = _find_bundled_program(request, "rspec", ("rspec", "rspec-core"))
    words = rspec_arguments(request.folder.path, request.selection)
    if program is None or words is None:
        return None
    argv = (*program[0], *_rspec_options(request.report_path), *words)
    return replace(request.command("rspec", argv, (*program[1], *words)), extra_files=_RSPEC_FILES)


async def _launch_minitest(request: LaunchRequest) -> TestCommand | None:
    selected = minitest_arguments(request.folder, request.selection)
    if selected is None:
        return None
    files, pattern = selected
    # rake takes every word without a dash for a file.
    choice = (f"--name={pattern}",) if pattern else ()
    program = _find_bundled_program(request, "ruby", ("minitest", "test-unit"))
    if minitest_evidence(request.folder) == _RAILS:
        rest: tuple[str, ...] = ("bin/rails", "test", *files, "-v", *choice)
    elif not files and _rakefile(request.folder):
        program = _find_bundled_program(request, "rake", ("rake",))
        # TESTOPTS takes the place of the options that a Rakefile sets, which may leave tests out.
        verbose = () if _SETS_OPTIONS.search(request.folder.text(_rakefile(request.folder))) else ("-v",)
        options = (*verbose, *choice)
        # rake hands the value to a shell, so the pattern is quoted for that one.
        rest = ("test", *((f"TESTOPTS={shlex.join(options)}",) if options else ()))
    else:
        loaded = files or tuple(_tests(request.folder))
        rest = ("-I", "lib", "-I", "test", *(f"-r./{file}" for file in loaded), "-e", "", "--", "-v", *choice)
    if program is None:
        return None
    env = minitest_environment(request.report_path)
    command = request.command("minitest", (*program[0], *rest), (*program[1], *rest), env)
    return replace(command, extra_files=_MINITEST_FILES)


def _rspec_options(report: Path) -> tuple[str, ...]:
    reporter = str(report.with_name(RSPEC_REPORTER_FILE))
    return (
        *("--no-color", "--format", "progress"),
        *("--require", reporter, "--format", "KimiAgentReport", "--out", str(report)),
    )


def rspec_arguments(folder: Path, selection: TestSelection) -> tuple[str, ...] | None:
    """The files and examples as rspec takes them; None for what it cannot select together."""
    targets = targets_of_one_kind(selection)
    if targets is None or any(not _is_ruby(target, folder) for target in targets):
        return None
    if any(target.node for target in targets) and selection.name:
        return None
    words = [f"--example={selection.name}"] if selection.name else []
    described = 0
    for target in targets:
        ordinal = re.search(r"(?:^| )(\[[\d:]+\])$", target.node)
        words.append(path_argument(target.path, folder) + (ordinal[1] if ordinal else ""))
        if target.node and not ordinal:
            words.append(f"--example={target.node}")
            described += 1
    # A description holds for all files, so it would leave out what is named otherwise.
    return tuple(dict.fromkeys(words)) if described in (0, len(targets)) else None


def minitest_arguments(folder: ProjectFolder, selection: TestSelection) -> tuple[tuple[str, ...], str] | None:
    """The files (none for all), and the pattern for names; None for what cannot be selected together."""
    targets = targets_of_one_kind(selection)
    if targets is None or any(not _is_ruby(target, folder.path) for target in targets):
        return None
    nodes = [_node_pattern(target.node) for target in targets if target.node]
    if nodes and selection.name:
        return None
    files: list[str] = []
    for target in targets:
        below = target.path.relative_to(folder.path).as_posix()
        if not target.path.is_dir():
            files.append(below)
        elif below not in (".", "test"):
            inside = [file for file in _tests(folder) if file.startswith(below + "/")]
            if not inside:
                return None
            files += inside
        else:
            files += _tests(folder) if len(targets) > 1 else ()
    pattern = f"/^(?:{'|'.join(nodes)})$/" if nodes else f"/{_escape_regex(selection.name)}/" if selection.name else ""
    return tuple(dict.fromkeys(files)), pattern


def _read_rspec(ran: RunResult) -> ParsedReport:
    spelled = make_path_mapper(ran.root, ran.folder.path)
    reading = rspec.parse_rspec_report(ran.report_path, match_frames(_FRAME, spelled), spelled)
    if reading is not None:
        # How the command narrowed the run is known; what is left is the project's own filter.
        reading = reading if ran.selection.is_whole else replace(reading, unrun=())
        return with_last_words(reading, exit_code=ran.exit_code, lines=ran.lines, summary=_RSPEC_SUMMARY)
    # It ends without a report where it could not start: an unknown option, a gem that is not installed.
    why = excerpt_first_error(ran.lines, _STARTUP_ERROR) if ran.exit_code else ""
    return ParsedReport(fatal_error=why, is_complete=False)


def _read_minitest(ran: RunResult) -> ParsedReport:
    spelled = make_path_mapper(ran.root, ran.folder.path)
    reported = minitest_report.parse_minitest_report(ran.report_path, match_frames(_FRAME, spelled), spelled)
    if reported is not None:
        return with_last_words(reported, exit_code=ran.exit_code, lines=ran.lines, summary=_MINITEST_SUMMARY)
    # test-unit, and minitest 6, which loads no plugins by itself.
    finder = _TestFileFinder(ran.folder, spelled)
    reading = minitest_output.parse_minitest_output(ran.lines, frame=match_frames(_FRAME, spelled), file_of=finder.of)
    if reading.is_complete or not ran.exit_code or reading.cases:
        return with_last_words(reading, exit_code=ran.exit_code, lines=ran.lines, summary=_MINITEST_SUMMARY)
    return replace(reading, fatal_error=excerpt_first_error(ran.lines, _STARTUP_ERROR))


class _TestFileFinder:
    """Finds the file of a minitest test by its class: the runner's output names the class, never the file."""

    def __init__(self, folder: ProjectFolder, spelled: Callable[[str], str]) -> None:
        self._spelled = spelled
        below = [folder.path / name for name in ("test", "spec") if name in list_subfolders(folder.path)]
        self._top = spelled(str((below or [folder.path])[0])) or "."
        self._sources = [SourceIndex(path, (".rb",)) for path in below]
        self._known: dict[str, str] = {}

    def of(self, test: str) -> str:
        name = test.partition("#")[0]
        if name not in self._known:
            parts = name.split("::")
            tries = (name, parts[-1], parts[0])
            found = next((path for each in self._sources for at in tries if (path := each.find_declaring(at))), None)
            self._known[name] = self._spelled(str(found)) if found else self._top
        return self._known[name]


def _find_bundled_program(
    request: LaunchRequest, name: str, gems: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The program as it is started and as it is shown: by bundler where the lock file names one of `gems`."""
    lock = request.folder.text("Gemfile.lock") or request.folder.text("gems.locked")
    bundle = request.which("bundle")
    if bundle and any(re.search(rf"^ +{re.escape(gem)}(?: \(|!|$)", lock, re.MULTILINE) for gem in gems):
        return (bundle, "exec", name), ("bundle", "exec", name)
    found = request.which(name)
    return ((found,), (name,)) if found else None


def _file_requiring_gem(folder: ProjectFolder, *gems: str) -> str:
    """The file that asks for one of `gems`."""
    names = [name for name in folder.names() if name in ("Gemfile", "gems.rb") or name.endswith(".gemspec")]
    quoted = "|".join(re.escape(gem) for gem in gems)
    asks = re.compile(rf"""^[^#\n]*(?:gem|dependency)[ \t]*\(?[ \t]*["'](?:{quoted})["']""", re.MULTILINE)
    return next((name for name in names if asks.search(folder.text(name))), "")


def _rakefile(folder: ProjectFolder) -> str:
    name = first_file(*_RAKEFILES)(folder)
    return name if name and _TEST_TASK.search(folder.text(name)) else ""


def _tests(folder: ProjectFolder) -> Iterator[str]:
    """The files below `test` that are named like tests, "/" between parts."""
    waiting, visited, found = ["test"], 0, 0
    while waiting and visited < _MOST_FOLDERS:
        below = waiting.pop(0)
        visited += 1
        for name in folder.names(below):
            if _TEST_FILE.fullmatch(name) and found < _MOST_TESTS:
                found += 1
                yield f"{below}/{name}"
        waiting += [f"{below}/{name}" for name in list_subfolders(folder.path / below) if not name.startswith(".")]


def _is_ruby(target: Target, folder: Path) -> bool:
    inside = target.path.is_relative_to(folder)
    return inside and (target.path.suffix == ".rb" or target.path.is_dir())


def _node_pattern(node: str) -> str:
    """A pattern for one test: minitest compares "Class#method" too, test-unit the method alone."""
    owner, separator, method = node.partition("#")
    return f"(?:{_escape_regex(owner)}#)?{_escape_regex(method)}" if separator else f"(?:{_escape_regex(node)}#.*)"


def _escape_regex(text: str) -> str:
    """`text` for a regular expression of Ruby's."""
    return re.sub(r"([^\w\s])", r"\\\1", text)


def _adopt_rspec(given: GivenCommand) -> TestCommand | None:
    words = given.words[2:] if given.words[:2] == ("bundle", "exec") else given.words
    tests = bool(words) and PurePath(words[0]).name == "rspec"
    options = _rspec_options(given.report_path)
    return given.run_as("rspec", *options, extra_files=_RSPEC_FILES) if tests else None


def _adopt_minitest(given: GivenCommand) -> TestCommand | None:
    """Nothing is added to its words: minitest reports by its plugin, and of anything else the exit code is known."""
    words = given.words[2:] if given.words[:2] == ("bundle", "exec") else given.words
    program = PurePath(words[0]).name if words else ""
    if (program in ("rake", "rails") and words[1:2] == ("test",)) or (program == "ruby" and len(words) > 1):
        env = minitest_environment(given.report_path)
        return given.run_as("minitest", env=env, extra_files=_MINITEST_FILES)
    return None


RSPEC = TestRunner(
    *("rspec", "Ruby", rspec_evidence, _launch_rspec, _read_rspec, (".rb",)),
    adopt=_adopt_rspec,
    manifests=("Gemfile", "Rakefile", r"\.rspec", r".*\.gemspec"),
    order=36,
)
MINITEST = TestRunner(
    *("minitest", "Ruby", minitest_evidence, _launch_minitest, _read_minitest, (".rb",)),
    adopt=_adopt_minitest,
    order=37,
)
