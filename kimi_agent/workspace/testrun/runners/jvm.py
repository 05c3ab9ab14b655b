"""Gradle and Maven runners (JVM), parsed from the JUnit reports that they leave in the build folders."""

import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand, TestSelection
from kimi_agent.workspace.testrun.formats.compiled.jvm_reports import (
    JVM_SUFFIXES,
    JvmReportReader,
    find_fresh_reports,
    has_test_sources,
    module_of_report,
)
from kimi_agent.workspace.testrun.formats.compiled.maven_log import parse_maven_log
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder, walk_up
from kimi_agent.workspace.testrun.report_readers import RUN_BEGAN_FILE
from kimi_agent.workspace.testrun.reports.cases import excerpt_first_error, make_build_report
from kimi_agent.workspace.testrun.reports.failure_excerpt import make_path_mapper
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner, first_file
from kimi_agent.workspace.testrun.runners.jvm_targets import JvmSelection, select_jvm_tests

GRADLE_FILES = ("build.gradle.kts", "build.gradle", "settings.gradle.kts", "settings.gradle")
MAVEN_FILES = ("pom.xml",)
# The daemon would outlive the run; a result out of the cache would be no result of this run.
_GRADLE_OPTIONS = ("--no-daemon", "--console=plain", "--no-build-cache", "--continue")
_MAVEN_OPTIONS = ("-B", "-fae", "-DtrimStackTrace=false")
# Modules in which nothing is selected are no failure (the second is the name before surefire 3).
_ALLOW_EMPTY_MODULES = ("-Dsurefire.failIfNoSpecifiedTests=false", "-DfailIfNoTests=false")
_GRADLE_COMPILES = re.compile(r"\.(?:java|groovy|scala):\d+: error:|^e: |\[Error\] ")
_GRADLE_CRASHED = re.compile(r"> Process 'Gradle Test Executor \d+' finished with|Could not (?:resolve|start)")
_GRADLE_FAILS = re.compile(r"^\* What went wrong:|^ERROR: |JAVA_HOME")
_GRADLE_NONE = re.compile(r"> No tests found for given includes")
_MAVEN_FAILS = re.compile(r"\[ERROR\] (?!COMPILATION ERROR)\S|JAVA_HOME")
_GRADLE_TEST_TASK = re.compile(
    r"(?:> Task )?(?P<task>:(?:(?P<module>[\w.:-]+):)?(?!clean|compile|process)(?:\w+Test|test))"
    r"(?: (?P<how>UP-TO-DATE|FROM-CACHE))?$"
)
_DEEPEST, _MOST_MODULES = 8, 500
_RUN_STARTED_FILES = {RUN_BEGAN_FILE: ""}


async def _launch_gradle(request: LaunchRequest) -> TestCommand | None:
    program = _find_program(request, "gradlew", "gradle", request.folder.path)
    tasks = gradle_arguments(request.folder, request.selection)
    if program is None or tasks is None:
        return None
    command = request.command("gradle", (program[0], *_GRADLE_OPTIONS, *tasks), (program[1], *tasks))
    return replace(command, extra_files=_RUN_STARTED_FILES)


async def _launch_maven(request: LaunchRequest) -> TestCommand | None:
    reactor = _find_reactor(request.folder)
    program = _find_program(request, "mvnw", "mvn", reactor)
    words = maven_arguments(request.folder, request.selection, reactor)
    if program is None or words is None:
        return None
    command = request.command("maven", (program[0], *_MAVEN_OPTIONS, *words), (program[1], "-B", *words))
    return replace(command, folder=reactor, extra_files=_RUN_STARTED_FILES)


def gradle_arguments(folder: ProjectFolder, selection: TestSelection) -> tuple[str, ...] | None:
    """The words after Gradle's options; None for what Gradle cannot select."""
    chosen = _select_targets(folder, selection, GRADLE_FILES)
    if chosen is None or "*" in selection.name:
        return None
    # "cleanTest", so that tests whose inputs did not change run again: this run is to be evidence, not an old one.
    if not chosen:
        return ("cleanTest", "test", *(("--tests", f"*{selection.name}*") if selection.name else ()))
    top = any(name in folder.names() for name in GRADLE_FILES[2:])
    words: list[str] = []
    for module in dict.fromkeys(each.module for each in chosen):
        prefix = module.replace("/", ":") + ":" if module else ":" if top else ""
        # Of a folder with modules in it, all are meant.
        whole = [each for each in chosen if each.module == module and not (each.cls or each.package)]
        words += ["cleanTest", "test"] if whole and not module else [f"{prefix}cleanTest", f"{prefix}test"]
        patterns = [] if whole else [each for each in chosen if each.module == module]
        filters = [_gradle_filter(each, selection.name) for each in patterns]
        if not filters and selection.name:
            filters = [f"*{selection.name}*"]
        words += [word for each in dict.fromkeys(filters) for word in ("--tests", each)]
    return tuple(words)


def maven_arguments(folder: ProjectFolder, selection: TestSelection, reactor: Path) -> tuple[str, ...] | None:
    """The words after Maven's options, for a start in `reactor`; None for what surefire cannot select."""
    chosen = _select_targets(folder, selection, MAVEN_FILES)
    if chosen is None or not re.fullmatch(r"[\w$]*", selection.name):
        return None
    here = "" if folder.path == reactor else folder.path.relative_to(reactor).as_posix()
    modules = dict.fromkeys("/".join(filter(None, (here, each.module))) for each in chosen or (JvmSelection(""),))
    chosen_modules = () if "" in modules else ("-pl", ",".join(modules), "-am")
    filters = [_surefire_filter(each, selection.name) for each in chosen]
    if not chosen and selection.name:
        filters = [f"*#*{selection.name}*"]
    if "" in filters and any(filters):
        return None  # the filter holds for all modules: it can't take a whole one beside a class of another
    if not any(filters):
        return (*chosen_modules, "test")
    return (*chosen_modules, "test", f"-Dtest={','.join(dict.fromkeys(filters))}", *_ALLOW_EMPTY_MODULES)


def read_gradle_reports(ran: RunResult) -> ParsedReport:
    """From the reports of this run; where there are none, the build's first error.

    Gradle 4.4 calls a build successful in which a test ended the program with exit code 0, and leaves no report: each
    module whose tests ran has to have one.
    """
    fresh = _find_reports(ran, ran.folder.path)
    if isinstance(fresh, ParsedReport):
        return fresh
    not_built = excerpt_first_error(ran.lines, _GRADLE_COMPILES) or excerpt_first_error(ran.lines, _GRADLE_CRASHED)
    reading = fresh.read(ran, not_built or excerpt_first_error(ran.lines, _GRADLE_FAILS), has_all_tests=not not_built)
    if ran.exit_code and not reading.cases and _any_line_matches(ran.lines, _GRADLE_NONE):
        return ParsedReport(stated_result="none", trouble="no test matches what was asked for")
    if ran.exit_code != 0:
        return reading
    tasks = [found for line in ran.lines if (found := _GRADLE_TEST_TASK.match(line))]
    up_to_date = [found["task"] for found in tasks if found["how"]]
    if up_to_date and not reading.cases:
        mend = "pass command='gradle test --rerun-tasks'"
        return ParsedReport(stated_result="none", trouble=f"Gradle took its tests as up to date and ran none: {mend}")
    modules = dict.fromkeys(
        ran.folder.path / (found["module"] or "").replace(":", "/") for found in tasks if not found["how"]
    )
    told = {module_of_report(path) for path in fresh.paths}
    silent = [module for module in modules if module not in told and has_test_sources(module)]
    if silent:
        where = ", ".join(os.path.relpath(module, ran.folder.path) for module in silent[:5])
        trouble = f"Gradle says that the tests of {where} ran, but they left no report (did a test end the program?)"
        return replace(reading, trouble=trouble, is_complete=False)
    if up_to_date:
        return replace(
            reading, trouble=f"not run again, as Gradle took them as up to date: {', '.join(up_to_date[:5])}"
        )
    return reading


def read_maven_reports(ran: RunResult) -> ParsedReport:
    """From surefire's and failsafe's reports of this run, held against Maven's own words."""
    fresh = _find_reports(ran, _find_reactor(ran.folder))
    if isinstance(fresh, ParsedReport):
        return fresh
    log = parse_maven_log(ran.lines)
    why = excerpt_first_error(ran.lines, _MAVEN_FAILS)
    reading = fresh.read(ran, why, has_all_tests=not log.broke_off, flaky=log.flaky)
    if ran.exit_code == 0 and log.began and not log.succeeded:
        return replace(reading, trouble="Maven ended without its BUILD SUCCESS", is_complete=False)
    if ran.exit_code == 0 and log.skipped_tests and not reading.cases:
        return replace(reading, stated_result="none", trouble=log.skipped_tests)
    short = len(reading.cases) < log.counted and not reading.fatal_error
    counts = f"Maven counted {log.counted:,} tests, its reports name {len(reading.cases):,}" if short else ""
    return replace(reading, trouble="; ".join(filter(None, (reading.trouble, counts))))


@dataclass(frozen=True)
class _FreshReports:
    """The reports of this run below `folder`; `trouble` says what could not be read."""

    folder: Path
    paths: list[Path]
    trouble: str

    def read(self, ran: RunResult, why: str, *, has_all_tests: bool, flaky: Collection[str] = ()) -> ParsedReport:
        spelled = make_path_mapper(ran.root, self.folder)
        cases, damaged = JvmReportReader(self.folder, spelled).read(self.paths, flaky)
        trouble = "; ".join(filter(None, (self.trouble, damaged)))
        return make_build_report(cases, exit_code=ran.exit_code, why=why, trouble=trouble, has_all_tests=has_all_tests)


def _find_reports(ran: RunResult, folder: Path) -> _FreshReports | ParsedReport:
    try:
        since_ns = ran.report_path.with_name(RUN_BEGAN_FILE).stat().st_mtime_ns
    except OSError:
        return ParsedReport(is_complete=False, trouble="when the run began is not known")
    return _FreshReports(folder, *find_fresh_reports(folder, since_ns))


def _select_targets(
    folder: ProjectFolder, selection: TestSelection, manifests: tuple[str, ...]
) -> list[JvmSelection] | None:
    chosen: list[JvmSelection] = []
    for target in selection.targets:
        found = select_jvm_tests(target, folder, manifests)
        if found is None or (selection.name and any(each.method for each in found)):
            return None
        chosen += found
    return chosen


def _gradle_filter(each: JvmSelection, name: str) -> str:
    if each.package:
        return f"{each.package}.*{name}*" if name else f"{each.package}.*"
    if each.method:
        return f"{each.cls}.{each.method}[*" if each.is_parametrized else f"{each.cls}.{each.method}"
    return f"{each.cls}.*{name}*" if name else each.cls


def _surefire_filter(each: JvmSelection, name: str) -> str:
    method = f"#*{name}*" if name else ""
    if each.method:
        method = f"#{each.method}[*]" if each.is_parametrized else f"#{each.method}"
    if each.package:
        return f"{each.package.replace('.', '/')}/**{method}"
    if each.cls:
        return each.cls + method
    return f"*{method}" if method else ""


def _find_program(request: LaunchRequest, wrapper: str, program: str, folder: Path) -> tuple[str, str] | None:
    """The project's own wrapper (as it is started, as it is shown), else the program on the PATH."""
    root = request.environment.runner.root
    for place in walk_up(folder, root):
        path = place / wrapper
        if path.is_file() and os.access(path, os.X_OK):
            if not path.resolve().is_relative_to(root):
                break
            shown = os.path.relpath(path, folder)
            return str(path), shown if shown.startswith("../") else f"./{shown}"
    found = request.which(program)
    return (found, program) if found else None


def _find_reactor(folder: ProjectFolder) -> Path:
    """The topmost folder whose pom.xml names, through modules of modules, that of `folder`."""
    top, up = folder.path, ""
    for _ in range(_DEEPEST):
        up += "../"
        parent = Path(os.path.normpath(folder.path / up))
        if top.relative_to(parent).as_posix() in _maven_modules(folder, up):
            top = parent
    return top


def _maven_modules(folder: ProjectFolder, place: str) -> list[str]:
    named = re.findall(r"<module>\s*([^<]+?)\s*</module>", folder.text(f"{place}pom.xml"))
    return [name.removeprefix("./").rstrip("/") for name in named]


def _maven_covers(folder: ProjectFolder, below: str) -> bool:
    """Whether a module is named by this pom.xml, through modules of modules."""
    waiting = [""]
    for _ in range(_MOST_MODULES):
        if not waiting:
            return False
        place = waiting.pop(0)
        names = [f"{place}{name}" for name in _maven_modules(folder, place)]
        if below in names:
            return True
        waiting += [f"{name}/" for name in names]
    return False


def _gradle_covers(folder: ProjectFolder, below: str) -> bool:
    """Whether a folder is a module that the settings include ("app:core" is app/core)."""
    text = "\n".join(folder.text(name) for name in GRADLE_FILES[2:])
    included = re.findall(r"\binclude\b[ (]*((?:[\"'][^\"'\n]+[\"'][\s,]*)+)", text)
    names = [name for each in included for name in re.findall(r"[\"']([^\"'\n]+)", each)]
    return below in [name.strip(":").replace(":", "/") for name in names]


def _any_line_matches(lines: Iterable[str], pattern: re.Pattern[str]) -> bool:
    return any(pattern.search(line) for line in lines)


def _adopt(runner: str, programs: tuple[str, ...], goals: set[str], given: GivenCommand) -> TestCommand | None:
    tests = given.program in programs and goals & set(given.words)
    return given.run_as(runner, extra_files=_RUN_STARTED_FILES) if tests else None


GRADLE = TestRunner(
    *("gradle", "JVM", first_file(*GRADLE_FILES), _launch_gradle, read_gradle_reports, JVM_SUFFIXES),
    adopt=partial(_adopt, "gradle", ("gradle", "gradlew"), {"test", "check"}),
    manifests=(r"(?:build|settings)\.gradle(?:\.kts)?",),
    order=33,
    covers=_gradle_covers,
)
MAVEN = TestRunner(
    *("maven", "JVM", first_file(*MAVEN_FILES), _launch_maven, read_maven_reports, JVM_SUFFIXES),
    adopt=partial(_adopt, "maven", ("mvn", "mvnw"), {"test", "verify", "install"}),
    manifests=(r"pom\.xml",),
    order=34,
    covers=_maven_covers,
)
