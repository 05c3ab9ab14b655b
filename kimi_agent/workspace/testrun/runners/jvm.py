"""Gradle and Maven runners (JVM), parsed from the JUnit reports that they leave in the build folders."""

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand, TestSelection
from kimi_agent.workspace.testrun.formats.jvm_reports import JVM_SUFFIXES, JvmReportReader, find_fresh_reports
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder, walk_up
from kimi_agent.workspace.testrun.reports.cases import excerpt_first_error, make_build_report
from kimi_agent.workspace.testrun.reports.failure_excerpt import make_path_mapper
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner, first_file
from kimi_agent.workspace.testrun.runners.jvm_targets import JvmSelection, select_jvm_tests

GRADLE_FILES = ("build.gradle.kts", "build.gradle", "settings.gradle.kts", "settings.gradle")
MAVEN_FILES = ("pom.xml",)
# The daemon would outlive the run; a result out of the cache would be no result of this run.
_GRADLE_OPTIONS = ("--no-daemon", "--console=plain", "--no-build-cache", "--continue")
_MAVEN_OPTIONS = ("-q", "-B", "-fae", "-DtrimStackTrace=false")
# Modules in which nothing is selected are no failure (the second is the name before surefire 3).
_ALLOW_EMPTY_MODULES = ("-Dsurefire.failIfNoSpecifiedTests=false", "-DfailIfNoTests=false")
_GRADLE_COMPILES = re.compile(r"\.(?:java|groovy|scala):\d+: error:|^e: |\[Error\] ")
_GRADLE_FAILS = re.compile(r"^\* What went wrong:|^ERROR: |JAVA_HOME")
_GRADLE_NONE = re.compile(r"> No tests found for given includes")
_MAVEN_FAILS = re.compile(r"\[ERROR\] (?!COMPILATION ERROR)\S|JAVA_HOME")
_NOT_RUN_AGAIN = re.compile(r":(?!clean|compile)(?:\w+Test|test) (?:UP-TO-DATE|FROM-CACHE)$")
_DEEPEST = 8
_RUN_STARTED_FILE = "began"  # a file that is written when the run begins: reports of earlier runs are older
_RUN_STARTED_FILES = {_RUN_STARTED_FILE: ""}


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
    command = request.command("maven", (program[0], *_MAVEN_OPTIONS, *words), (program[1], "-q", "-B", *words))
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
    """From the reports of this run; where there are none, the build's first error."""
    reading = _read(ran, ran.folder.path, (_GRADLE_COMPILES, _GRADLE_FAILS))
    if ran.exit_code and not reading.cases and _any_line_matches(ran.lines, _GRADLE_NONE):
        return ParsedReport(stated_result="none", trouble="no test matches what was asked for")
    if ran.exit_code == 0 and not reading.cases and _any_line_matches(ran.lines, _NOT_RUN_AGAIN):
        mend = "pass command='gradle test --rerun-tasks'"
        return ParsedReport(fatal_error=f"Gradle took its tests as up to date and ran none of them: {mend}")
    return reading


def read_maven_reports(ran: RunResult) -> ParsedReport:
    """From surefire's reports of this run; where there are none, the build's first error."""
    return _read(ran, _find_reactor(ran.folder), (_MAVEN_FAILS,))


def _read(ran: RunResult, folder: Path, errors: tuple[re.Pattern[str], ...]) -> ParsedReport:
    try:
        since_ns = ran.report_path.with_name(_RUN_STARTED_FILE).stat().st_mtime_ns
    except OSError:
        return ParsedReport(is_complete=False, trouble="when the run began is not known")
    reports, short = find_fresh_reports(folder, since_ns)
    cases, damaged = JvmReportReader(folder, make_path_mapper(ran.root, folder)).read(reports)
    why = next((found for each in errors if (found := excerpt_first_error(ran.lines, each))), "")
    return make_build_report(cases, exit_code=ran.exit_code, why=why, trouble="; ".join(filter(None, (short, damaged))))


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
        modules = re.findall(r"<module>\s*([^<]+?)\s*</module>", folder.text(f"{up}pom.xml"))
        parent = Path(os.path.normpath(folder.path / up))
        if top.relative_to(parent).as_posix() in (name.removeprefix("./").rstrip("/") for name in modules):
            top = parent
    return top


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
)
MAVEN = TestRunner(
    *("maven", "JVM", first_file(*MAVEN_FILES), _launch_maven, read_maven_reports, JVM_SUFFIXES),
    adopt=partial(_adopt, "maven", ("mvn", "mvnw"), {"test", "verify", "install"}),
    manifests=(r"pom\.xml",),
    order=34,
)
