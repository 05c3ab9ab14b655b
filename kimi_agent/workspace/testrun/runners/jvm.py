"""The rows of the JVM: Gradle and Maven, read from the JUnit reports that they leave in the build folders."""

import os
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from kimi_agent.workspace.testrun.projects.project_folder import Folder
from kimi_agent.workspace.testrun.reports.cases import first_errors, of_build
from kimi_agent.workspace.testrun.reports.failure_excerpt import within
from kimi_agent.workspace.testrun.reports.jvm_reports import SUFFIXES, Cases, fresh
from kimi_agent.workspace.testrun.runner import Bench, Ran, Row
from kimi_agent.workspace.testrun.runners.jvm_targets import Selected, select
from kimi_agent.workspace.testrun.values import Launch, Reading, Wish

GRADLE_FILES = ("build.gradle.kts", "build.gradle", "settings.gradle.kts", "settings.gradle")
MAVEN_FILES = ("pom.xml",)
# The daemon would outlive the run; a result out of the cache would be no result of this run.
_GRADLE_OPTIONS = ("--no-daemon", "--console=plain", "--no-build-cache", "--continue")
_MAVEN_OPTIONS = ("-q", "-B", "-fae", "-DtrimStackTrace=false")
# Modules in which nothing is selected are no failure (the second is the name before surefire 3).
_MAY_BE_NONE = ("-Dsurefire.failIfNoSpecifiedTests=false", "-DfailIfNoTests=false")
_GRADLE_COMPILES = re.compile(r"\.(?:java|groovy|scala):\d+: error:|^e: |\[Error\] ")
_GRADLE_FAILS = re.compile(r"^\* What went wrong:|^ERROR: |JAVA_HOME")
_GRADLE_NONE = re.compile(r"> No tests found for given includes")
_MAVEN_FAILS = re.compile(r"\[ERROR\] (?!COMPILATION ERROR)\S|JAVA_HOME")
_NOT_RUN_AGAIN = re.compile(r":(?!clean|compile)(?:\w+Test|test) (?:UP-TO-DATE|FROM-CACHE)$")
_DEEPEST = 8
_BEGAN = "began"  # a file that is written when the run begins: reports of earlier runs are older


def gradle_evidence(folder: Folder) -> str:
    """The build file that speaks for Gradle."""
    names = folder.names()
    return next((name for name in GRADLE_FILES if name in names), "")


def maven_evidence(folder: Folder) -> str:
    """The build file that speaks for Maven."""
    return "pom.xml" if "pom.xml" in folder.names() else ""


async def _launch_gradle(folder: Folder, wish: Wish, why: str, bench: Bench) -> Launch | None:
    program = _program("gradlew", "gradle", folder.path, bench)
    tasks = gradle_tasks(folder, wish)
    if program is None or tasks is None:
        return None
    argv = (program[0], *_GRADLE_OPTIONS, *tasks)
    shown = shlex.join((program[1], *tasks))
    return Launch("gradle", why, argv, shown, folder.path, beside={_BEGAN: ""})


async def _launch_maven(folder: Folder, wish: Wish, why: str, bench: Bench) -> Launch | None:
    reactor = _reactor(folder)
    program = _program("mvnw", "mvn", reactor, bench)
    words = maven_words(folder, wish, reactor)
    if program is None or words is None:
        return None
    argv = (program[0], *_MAVEN_OPTIONS, *words)
    return Launch("maven", why, argv, shlex.join((program[1], "-q", "-B", *words)), reactor, beside={_BEGAN: ""})


def gradle_tasks(folder: Folder, wish: Wish) -> tuple[str, ...] | None:
    """The words after Gradle's options; None for what Gradle cannot select."""
    chosen = _chosen(folder, wish, GRADLE_FILES)
    if chosen is None or "*" in wish.name:
        return None
    # "cleanTest", so that tests whose inputs did not change run again: this run is to be evidence, not an old one.
    if not chosen:
        return ("cleanTest", "test", *(("--tests", f"*{wish.name}*") if wish.name else ()))
    top = any(name in folder.names() for name in GRADLE_FILES[2:])
    words: list[str] = []
    for module in dict.fromkeys(each.module for each in chosen):
        prefix = module.replace("/", ":") + ":" if module else ":" if top else ""
        # Of a folder with modules in it, all are meant.
        whole = [each for each in chosen if each.module == module and not (each.cls or each.package)]
        words += ["cleanTest", "test"] if whole and not module else [f"{prefix}cleanTest", f"{prefix}test"]
        patterns = [] if whole else [each for each in chosen if each.module == module]
        filters = [_gradle_filter(each, wish.name) for each in patterns] or ([f"*{wish.name}*"] if wish.name else [])
        for each in dict.fromkeys(filters):
            words += ["--tests", each]
    return tuple(words)


def maven_words(folder: Folder, wish: Wish, reactor: Path) -> tuple[str, ...] | None:
    """The words after Maven's options, for a start in `reactor`; None for what surefire cannot select."""
    chosen = _chosen(folder, wish, MAVEN_FILES)
    if chosen is None or not re.fullmatch(r"[\w$]*", wish.name):
        return None
    here = "" if folder.path == reactor else folder.path.relative_to(reactor).as_posix()
    modules = dict.fromkeys("/".join(filter(None, (here, each.module))) for each in chosen or (Selected(""),))
    chosen_modules = () if "" in modules else ("-pl", ",".join(modules), "-am")
    filters = [_surefire_filter(each, wish.name) for each in chosen]
    if not chosen and wish.name:
        filters = [f"*#*{wish.name}*"]
    if "" in filters and any(filters):
        return None  # the filter holds for all modules: a whole one beside a class of another can't be said
    if not any(filters):
        return (*chosen_modules, "test")
    return (*chosen_modules, "test", f"-Dtest={','.join(dict.fromkeys(filters))}", *_MAY_BE_NONE)


def read_gradle(ran: Ran) -> Reading:
    """From the reports of this run; where there are none, the build's first error."""
    reading = _read(ran, ran.folder.path, (_GRADLE_COMPILES, _GRADLE_FAILS))
    if ran.exit_code and not reading.cases and _says(ran.lines, _GRADLE_NONE):
        return Reading(claim="none", trouble="no test matches what was asked for")
    if ran.exit_code == 0 and not reading.cases and _says(ran.lines, _NOT_RUN_AGAIN):
        return Reading(
            broken="Gradle took its tests as up to date and ran none of them: pass command='gradle test --rerun-tasks'"
        )
    return reading


def read_maven(ran: Ran) -> Reading:
    """From surefire's reports of this run; where there are none, the build's first error."""
    return _read(ran, _reactor(ran.folder), (_MAVEN_FAILS,))


def _read(ran: Ran, folder: Path, errors: tuple[re.Pattern[str], ...]) -> Reading:
    try:
        since_ns = ran.report.with_name(_BEGAN).stat().st_mtime_ns
    except OSError:
        return Reading(whole=False, trouble="when the run began is not known")
    reports, short = fresh(folder, since_ns)
    cases, damaged = Cases(folder, within(ran.root, folder)).read(reports)
    why = next((found for each in errors if (found := first_errors(ran.lines, each))), "")
    return of_build(cases, exit_code=ran.exit_code, why=why, trouble="; ".join(filter(None, (short, damaged))))


def _chosen(folder: Folder, wish: Wish, manifests: tuple[str, ...]) -> list[Selected] | None:
    chosen: list[Selected] = []
    for target in wish.targets:
        found = select(target, folder, manifests)
        if found is None or (wish.name and any(each.method for each in found)):
            return None
        chosen += found
    return chosen


def _gradle_filter(each: Selected, name: str) -> str:
    if each.package:
        return f"{each.package}.*{name}*" if name else f"{each.package}.*"
    if each.method:
        return f"{each.cls}.{each.method}[*" if each.many else f"{each.cls}.{each.method}"
    return f"{each.cls}.*{name}*" if name else each.cls


def _surefire_filter(each: Selected, name: str) -> str:
    method = f"#*{name}*" if name else ""
    if each.method:
        method = f"#{each.method}[*]" if each.many else f"#{each.method}"
    if each.package:
        return f"{each.package.replace('.', '/')}/**{method}"
    if each.cls:
        return each.cls + method
    return f"*{method}" if method else ""


def _program(wrapper: str, program: str, folder: Path, bench: Bench) -> tuple[str, str] | None:
    """The project's own wrapper (as it is started, as it is shown), else the program on the PATH."""
    for place in _upwards(folder, bench.runner.root):
        path = place / wrapper
        if path.is_file() and os.access(path, os.X_OK):
            if not path.resolve().is_relative_to(bench.runner.root):
                break
            shown = os.path.relpath(path, folder)
            return str(path), shown if shown.startswith("../") else f"./{shown}"
    found = bench.runner.which(program)
    return (found, program) if found else None


def _reactor(folder: Folder) -> Path:
    """The topmost folder whose pom.xml names, through modules of modules, that of `folder`."""
    top, up = folder.path, ""
    for _ in range(_DEEPEST):
        up += "../"
        modules = re.findall(r"<module>\s*([^<]+?)\s*</module>", folder.text(f"{up}pom.xml"))
        parent = Path(os.path.normpath(folder.path / up))
        if top.relative_to(parent).as_posix() in (name.removeprefix("./").rstrip("/") for name in modules):
            top = parent
    return top


def _upwards(folder: Path, root: Path) -> Iterator[Path]:
    yield folder
    while folder != root and root in folder.parents:
        folder = folder.parent
        yield folder


def _says(lines: Iterable[str], pattern: re.Pattern[str]) -> bool:
    return any(pattern.search(line) for line in lines)


GRADLE = Row("gradle", "JVM", gradle_evidence, _launch_gradle, read_gradle, SUFFIXES)
MAVEN = Row("maven", "JVM", maven_evidence, _launch_maven, read_maven, SUFFIXES)
