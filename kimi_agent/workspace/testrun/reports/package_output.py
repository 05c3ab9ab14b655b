"""Package output splitter: what one command printed for many packages, told apart by package. Pure.

Read are npm 11 (`--workspaces`), pnpm 9 to 12 (`-r`), yarn 1.22 and 4.18 (`workspaces foreach -v`), turbo 2.11, nx 22
and lerna 9, as they print into a pipe. What yarn 4 prints without -v, and pnpm with `--workspace-concurrency=1`, has no
marks of packages.
"""

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from kimi_agent.workspace.testrun.reports.closing_lines import MAX_CLOSING_LINES, ClosingLines, read_closing_lines
from kimi_agent.workspace.testrun.reports.failure_excerpt import strip_escapes

_MOST_PACKAGES = 2_000
_TEST_TASK = re.compile(r"(?i)t|.*(?:test|spec|e2e|unit|check|verify).*")

# A package's lines, each with its name before it; these open it.
_TURBO_OPENS = re.compile(r"(\S+):([\w./-]+): cache (hit|miss|bypass), \w+.*")
_PNPM_OPENS = re.compile(r"(\S.*) ([\w:.-]+)\$ .*")
_PREFIXED = {
    "turbo": re.compile(r"(\S+):([\w./-]+): ?(.*)"),
    "pnpm": re.compile(r"(\S.*?) ([\w:.-]+): (.*)"),
    "yarn": re.compile(r"\[(\S+)\]: (.*)"),
}
# A package's lines behind a heading, which stands behind an empty line.
_NX_HEADING = re.compile(r"> nx run (\S+):([\w./-]+)(?:  \[(.*)\])?")
_LERNA_HEADING = re.compile(r"> (\S+):([\w./-]+)(?:  \[(.*)\])?")
_NPM_HEADING = re.compile(r"> (?:(@?[^\s@]+)(?:@\S+)? )?([\w:.-]+)")
_YARN_1_HEADING = re.compile(r"> (\S+)()")
_NX_SAYS = re.compile(r" (NX|Lerna \(powered by Nx\))   .*")
_CACHED_BY_NX = re.compile(r"local cache|remote cache|existing outputs match the cache.*")
_NO_TASKS = re.compile(
    r" ?Tasks:\s+0 successful, 0 total|.*\bNo tasks were (?:executed as part of this run|run)\.?"
    r"|No projects matched the filters(?: in .*)?|lerna success run No packages found with the lifecycle script .*"
)
_OF_THE_TOOL = re.compile(r"[$>] .*|yarn run v\S+|Done in .*|Done")
# The tool's own word for a package that failed: turbo, pnpm, npm, yarn 4, nx and lerna ("- NAME:test" in a list).
_FAILED_TASK = re.compile(
    r"Failed:    (?P<turbo>\S+)#\S+|(?P<pnpm>\S.*) [\w:.-]+: Failed|npm error workspace (?P<npm>@?[^\s@]+)(?:@\S*)?"
    r"|The command failed in workspace (?P<yarn>@?[^\s@]+)@.* with exit code \d+"
)
_FAILED_LIST, _LISTED = "Failed tasks:", re.compile(r"- (\S+):[\w./-]+")


@dataclass(frozen=True)
class PackageRun:
    """What one package's task printed at its end.

    `cached` says that it did not run, but was replayed from a cache; `is_silent` that it printed nothing of its own.
    """

    name: str
    closing: ClosingLines
    cached: bool = False
    is_silent: bool = False


@dataclass(frozen=True)
class PackageRuns:
    """The packages' test tasks in the order in which they began.

    `no_task` is the line that says that there was none; `failed_tasks` are the packages that the tool says failed.
    """

    runs: tuple[PackageRun, ...] = ()
    no_task: str = ""
    failed_tasks: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[str, ...]:
        """The packages whose runner or tool says that something failed."""
        said = [run.name for run in self.runs if run.closing.failed]
        return tuple(dict.fromkeys([*said, *self.failed_tasks]))

    @property
    def empty(self) -> tuple[str, ...]:
        """The packages whose runner says that nothing ran."""
        return tuple(run.name for run in self.runs if run.closing.nothing_ran)

    @property
    def none_ran(self) -> bool:
        """Whether some runner says that nothing ran, and nothing was printed for the other packages."""
        return bool(self.empty) and all(run.closing.nothing_ran or run.is_silent for run in self.runs)

    @property
    def cached(self) -> tuple[str, ...]:
        """The packages whose result is an earlier one, replayed."""
        return tuple(run.name for run in self.runs if run.cached)


@dataclass
class _Task:
    """A task whose lines are being read; `is_script` where npm opened it, which opens one for what runs others too."""

    package: str
    name: str
    cached: bool = False
    is_script: bool = False
    last: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_CLOSING_LINES))


def read_package_runs(lines: Iterable[str]) -> PackageRuns:
    """The runs of the packages' test tasks; no `runs` where the output has no marks of packages."""
    splitter = _Splitter()
    for line in lines:
        splitter.feed(strip_escapes(line).rstrip())
    tasks = [task for task in splitter.tasks.values() if not task.is_script]
    tasks = tasks or [task for task in splitter.tasks.values() if task.last]
    tests = [task for task in tasks if _TEST_TASK.fullmatch(task.name)] or tasks
    runs = tuple(
        PackageRun(task.package, read_closing_lines(task.last), task.cached, _is_silent(task.last)) for task in tests
    )
    return PackageRuns(runs, splitter.no_task, tuple(dict.fromkeys(splitter.failed)))


def _is_silent(lines: Iterable[str]) -> bool:
    return all(not line.strip() or _OF_THE_TOOL.fullmatch(line) for line in lines)


class _Splitter:
    def __init__(self) -> None:
        self.tasks: dict[str, _Task] = {}
        self.no_task = ""
        self.failed: list[str] = []
        self._current: _Task | None = None
        self._tool = ""
        self._before = ""
        self._script: re.Match[str] | None = None
        self._in_failed_list = False

    def feed(self, line: str) -> None:
        """One line of the output, in its order."""
        self._note_the_tools_word(line)
        prefixed = self._opens_prefixed(line) or self._is_prefixed(line)
        if not prefixed and not self._opens_section(line) and self._current is not None and line:
            self._current.last.append(line)
        self._before = line

    def _note_the_tools_word(self, line: str) -> None:
        if _NO_TASKS.fullmatch(line):
            self.no_task = line.strip()
        elif found := _FAILED_TASK.fullmatch(line):
            self.failed.append(found[found.lastgroup or 0])
        elif self._in_failed_list and (found := _LISTED.fullmatch(line)):
            self.failed.append(found[1])
        self._in_failed_list = line == _FAILED_LIST or (self._in_failed_list and (not line or line.startswith("- ")))
        if line.startswith("yarn workspaces v"):
            self._tool = "yarn"
        elif found := _NX_SAYS.fullmatch(line):
            self._tool, self._current = "nx" if found[1] == "NX" else "lerna", None

    def _open(self, package: str, name: str, *, cached: bool = False, is_script: bool = False) -> _Task | None:
        key = f"{package} {name} {len(self.tasks)}" if is_script else f"{package} {name}"
        if key not in self.tasks and len(self.tasks) < _MOST_PACKAGES:
            self.tasks[key] = _Task(package, name, cached, is_script)
        return self.tasks.get(key)

    def _opens_prefixed(self, line: str) -> bool:
        if found := _TURBO_OPENS.fullmatch(line):
            self._open(found[1], found[2], cached=found[3] == "hit")
        elif found := _PNPM_OPENS.fullmatch(line):
            self._open(found[1], found[2])
        return found is not None

    def _is_prefixed(self, line: str) -> bool:
        for tool, pattern in _PREFIXED.items():
            if found := pattern.fullmatch(line):
                task = self._open(found[1], "test") if tool == "yarn" else self.tasks.get(f"{found[1]} {found[2]}")
                if task is not None and found.lastindex:
                    task.last.append(found[found.lastindex])
                    return True
        return False

    def _opens_section(self, line: str) -> bool:
        """Whether the line belongs to a package's heading."""
        script, self._script = self._script, None
        if script is not None and line.startswith("> "):  # npm: the script's name, then its text
            self._current = self._open(script[1] or f"package {len(self.tasks) + 1}", script[2], is_script=True)
            return True
        if self._before:
            return False
        headings = {"nx": _NX_HEADING, "lerna": _LERNA_HEADING, "yarn": _YARN_1_HEADING}
        if self._tool in headings:
            if found := headings[self._tool].fullmatch(line):
                cached = self._tool != "yarn" and bool(_CACHED_BY_NX.fullmatch(found[3] or ""))
                self._current = self._open(found[1], found[2] or "test", cached=cached)
                return True
            return False
        self._script = _NPM_HEADING.fullmatch(line)
        return self._script is not None
