"""Runner file reader: a TOML file that describes a test runner, with one of the report formats to choose from.

    name = "bats"                      # as reports name it; a later layer's file of the same name replaces it
    ecosystem = "Shell"                # what its files are; a run proves changes to files of its ecosystem
    files = ['test/.*\\.bats']          # it is taken where one of these is: regular expressions for names, best first,
                                       #   a folder's own name before the last "/"
    programs = ["bats"]                # the first that is installed is started; one with "/" is the project's own
    report = "tap"                     # exit-code (default), junit, tap, json-lines, go-test-json or trx

Optional keys:

    contains = 'regex'                 # the first of the files must hold it
    evidence = "{file} is there"       # the reason that is reported; {file} by default
    suffixes = [".bats"]               # ends of the names of files that are its ecosystem's own
    order = 50                         # the lowest of the runners that fit is taken: 80 by default with exit-code, as a
                                       #   task of the project's own that may test anything; else 50
    arguments = ["-r"]                 # what a person types behind the program
    report_options = ["--tap"]         # what makes it report. Put behind `arguments`, and at the end of a command that
                                       #   somebody wrote, if that starts the program with the same `arguments`.
                                       #   {report} is a free path for a report, {report_folder} the folder of it
    env = {REPORT = "{report}"}        # variables for it
    report_files = ["out/*.xml"]       # where it writes its reports without being asked: globs below the project;
                                       #   older files are left out
    targets = ["test"]                 # what is run where nothing is chosen; chosen paths take its place. Without this
                                       #   key it runs everything or nothing
    name_options = ["-f", "{name_regex}"]   # how the tests with a name are chosen: {name}, or {name_regex} for runners
                                       #   that take a regular expression
    summary = '(?P<total>\\d+) tests, (?P<failed>\\d+) failures'   # its closing line, whole, with the groups total,
                                       #   passed, failed, skipped: held against the report. A run that ends with exit
                                       #   code 0 and did not print it is broken. Of several lines the
                                       #   last counts, or all together (one for each project)
    nothing_ran = 'no tests found'     # its closing line, whole, where no test ran
    covers = true                      # a run in a folder runs the tests of the projects below it too

TAP, JSON lines (`formats/json_lines.py` has the records) and go-test JSON are read from the output, unless {report} or
`report_files` is used; JUnit and TRX reports are files (all that are in {report_folder}).
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath
from typing import Annotated

import msgspec

from kimi_agent.errors import UserError
from kimi_agent.workspace.testrun.commands_and_reports import TestCommand, TestSelection
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.report_readers import (
    RUN_BEGAN_FILE,
    SUMMARY_GROUPS,
    DeclaredReport,
    ReportFormat,
)
from kimi_agent.workspace.testrun.reports.cases import path_argument
from kimi_agent.workspace.testrun.runner import FIRST_TASK, GivenCommand, LaunchRequest, TestRunner

_Some = Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
_REPORTING_ORDER = 50
_REPORT, _REPORT_FOLDER, _NAME, _NAME_REGEX = "{report}", "{report_folder}", "{name}", "{name_regex}"


class _RunnerFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of a runner file: see the module's text."""

    name: str
    ecosystem: str
    files: _Some
    programs: _Some
    contains: str = ""
    evidence: str = "{file}"
    suffixes: tuple[str, ...] = ()
    order: int | None = None
    arguments: tuple[str, ...] = ()
    report: ReportFormat = "exit-code"
    report_options: tuple[str, ...] = ()
    report_files: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    targets: tuple[str, ...] | None = None
    name_options: tuple[str, ...] = ()
    summary: str = ""
    nothing_ran: str = ""
    covers: bool = False

    @property
    def is_task(self) -> bool:
        """Whether it is a task of the project's own."""
        return self.rank >= FIRST_TASK

    @property
    def rank(self) -> int:
        """Its order among the runners."""
        if self.order is not None:
            return self.order
        return FIRST_TASK if self.report == "exit-code" else _REPORTING_ORDER

    @property
    def declared_report(self) -> DeclaredReport:
        """Where its report is found, and how it is read."""
        written = any(mark in word for word in self._words_of_report() for mark in (_REPORT, _REPORT_FOLDER))
        printed = not (written or self.report_files)
        return DeclaredReport(self.report, printed, self.report_files, self.summary, self.nothing_ran)

    def find_evidence(self, folder: ProjectFolder) -> str:
        """The reason to use it in a folder, "" for none."""
        for pattern in self.files:
            below, _, name_pattern = pattern.rpartition("/")
            for name in folder.names(below):
                if re.fullmatch(name_pattern, name):
                    file = f"{below}/{name}" if below else name
                    holds = not self.contains or re.search(self.contains, folder.text(file), re.MULTILINE)
                    return self.evidence.replace("{file}", file) if holds else ""
        return ""

    async def launch(self, request: LaunchRequest) -> TestCommand | None:
        """The command; None where it is not installed or cannot run what is selected."""
        chosen = self._words_of_selection(request.selection, request.folder.path)
        if chosen is None:
            return None
        for name in self.programs:
            if path := _find_program(name, request):
                shown = (name, *self.arguments, *chosen)
                argv = (path, *self.arguments, *self._filled(self.report_options, request.report_path), *chosen)
                command = request.command(self.name, argv, shown, self._environment(request.report_path))
                return replace(command, extra_files=self._extra_files())
        return None

    def adopt(self, given: GivenCommand) -> TestCommand | None:
        """A command of this runner with the options that make it report, None for what is not plainly its own."""
        if self.is_task or given.program not in {PurePath(each).name for each in self.programs}:
            return None
        own = {word.partition("=")[0] for word in self.report_options if word.startswith("-")}
        theirs = {word.partition("=")[0] for word in given.words}
        if given.words[1 : len(self.arguments) + 1] != self.arguments or own & theirs:
            return None
        options = self._filled(self.report_options, given.report_path)
        env = self._environment(given.report_path)
        return given.run_as(self.name, *options, env=env, extra_files=self._extra_files())

    def find_mistake(self) -> str:
        """What the keys contradict, "" for nothing. Raises re.error for what is no regular expression."""
        for pattern in (*(each.rpartition("/")[2] for each in self.files), self.contains, self.nothing_ran):
            re.compile(pattern)
        groups = re.compile(self.summary).groupindex
        report = self.declared_report
        if self.summary and (not groups or set(groups) - set(SUMMARY_GROUPS)):
            return f"`summary` needs groups named {', '.join(SUMMARY_GROUPS)}, and no others"
        if report.format in ("junit", "trx") and report.printed:
            return f"report = {report.format!r} needs {_REPORT} in `report_options` or `env`, or `report_files`"
        if report.format == "exit-code" and not report.printed:
            return "report = 'exit-code' (the default) reads no report"
        if any(PurePosixPath(each).is_absolute() or ".." in PurePosixPath(each).parts for each in self.report_files):
            return "`report_files` are below the project"
        if self.name_options and not any(mark in word for word in self.name_options for mark in (_NAME, _NAME_REGEX)):
            return f"`name_options` need {_NAME} or {_NAME_REGEX}"
        return ""

    def _words_of_selection(self, selection: TestSelection, folder: Path) -> tuple[str, ...] | None:
        """The words that choose the tests; None for what it cannot choose."""
        if selection.targets and self.targets is None:
            return None
        names = [target.node.rpartition("::")[2] for target in selection.targets if target.node]
        if names and (selection.name or len(names) < len(selection.targets)):
            return None
        names = [selection.name] if selection.name else names
        takes_several = any(_NAME_REGEX in word for word in self.name_options)
        if names and (not self.name_options or (len(names) > 1 and not takes_several)):
            return None
        regex = "|".join(re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", name) for name in names)
        filters = [
            word.replace(_NAME_REGEX, regex).replace(_NAME, names[0]) for word in (self.name_options if names else ())
        ]
        paths = tuple(dict.fromkeys(path_argument(target.path, folder) for target in selection.targets))
        return (*filters, *(paths or self.targets or ()))

    def _words_of_report(self) -> tuple[str, ...]:
        return (*self.report_options, *self.env.values())

    def _filled(self, words: tuple[str, ...], report: Path) -> tuple[str, ...]:
        return tuple(word.replace(_REPORT, str(report)).replace(_REPORT_FOLDER, str(report.parent)) for word in words)

    def _environment(self, report: Path) -> dict[str, str]:
        return dict(zip(self.env, self._filled(tuple(self.env.values()), report), strict=True))

    def _extra_files(self) -> dict[str, str]:
        return {RUN_BEGAN_FILE: ""} if self.report_files else {}


def read_runner_file(text: str) -> TestRunner:
    """The runner that a TOML text describes. Raises UserError for a text that describes none."""
    try:
        found = msgspec.convert(tomllib.loads(text), _RunnerFile)
        mistake = found.find_mistake()
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, re.error) as error:
        raise UserError(f"it describes no test runner: {error}") from error
    if mistake:
        raise UserError(f"it describes no test runner: {mistake}")
    return TestRunner(
        *(found.name, found.ecosystem, found.find_evidence, found.launch, found.declared_report.read, found.suffixes),
        adopt=found.adopt,
        manifests=tuple(each for each in found.files if "/" not in each),
        order=found.rank,
        covers=lambda folder, below: found.covers,
    )


def _find_program(name: str, request: LaunchRequest) -> str | None:
    """The path of a program, None where it is missing or not the project's own."""
    if "/" not in name:
        return request.which(name)
    path = Path(os.path.realpath(request.folder.path / name))
    return str(path) if os.access(path, os.X_OK) and path.is_relative_to(request.folder.root) else None
