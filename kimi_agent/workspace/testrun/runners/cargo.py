"""cargo runner (Rust): `cargo test`, parsed from the text of unit, integration and documentation tests alike.

Not nextest where it is installed: it runs no documentation tests, and reports only where a project set it up to.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kimi_agent.log.views import TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand, TestOutcome, TestSelection
from kimi_agent.workspace.testrun.formats.compiled.cargo_output import CargoBinary, CargoTest, parse_cargo_output
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder, walk_up
from kimi_agent.workspace.testrun.reports.cases import (
    excerpt_innermost_first,
    list_subfolders,
    merge_cases,
    path_argument,
)
from kimi_agent.workspace.testrun.reports.failure_excerpt import (
    MAX_EXCERPT_LINES,
    first_nonblank_line,
    make_path_mapper,
)
from kimi_agent.workspace.testrun.runner import LaunchRequest, RunResult, TestRunner, first_file

CARGO_TOML = "Cargo.toml"
CARGO_ENV = {"CARGO_TERM_COLOR": "never", "CARGO_TERM_PROGRESS_WHEN": "never"}
_PANICKED = re.compile(
    r"(?:panicked|did not panic as expected) at (?:'.*', )?(?P<path>[^\s:]+\.rs):(?P<line>\d+)(?::\d+)?:?$"
)
_LINE = re.compile(r"\(line (\d+)\)$")
_NOISE = re.compile(r"^(?:note: (?:run with|Some details)|stack backtrace:|\s*\d+: |\s+at /rustc/)")
_DOC = re.compile(r"^(?P<path>\S+\.(?:rs|md)) - (?P<rest>.*)$")
_ROOTS = ("lib", "main", "mod")
_MOST_PACKAGES, _DEEPEST = 200, 4


def cargo_arguments(selection: TestSelection, folder: ProjectFolder) -> tuple[str, ...]:
    """The words after `cargo test --no-fail-fast`.

    Where targets of several kinds are chosen together, or a name beside them, more tests may run than were asked for.
    """
    manifest = _manifest(folder, "")
    places = [_locate_target(target.path, target.node, folder) for target in selection.targets]
    elsewhere = any(place.package != "." for place in places)
    kinds = {place.kind for place in places}
    chosen: tuple[str, ...] = ()
    if elsewhere or (_needs_workspace_flag(manifest) and kinds <= {"whole"}):
        chosen = ("--workspace",)
    elif kinds == {"doc"}:
        chosen = ("--doc",)
    elif kinds == {"src"}:
        chosen = ("--lib", "--bins") if _has_library(folder, manifest) else ("--bins",)
    elif kinds == {"tests"}:
        chosen = tuple(dict.fromkeys(f"--test={place.binary}" for place in places))
    wanted = [place.filter for place in places]
    # A target that is all of a crate leaves nothing to filter by; all filters are alternatives.
    names = [] if not all(wanted) else list(dict.fromkeys(wanted))
    names = [selection.name] if selection.name else names
    exact = not selection.name and len(kinds) == 1 and all(place.exact for place in places)
    if not names:
        return chosen
    # The second "--" ends the options of the test program itself.
    ends = ("--",) if any(name.startswith("-") for name in names) else ()
    return (*chosen, "--", *(("--exact",) if exact else ()), *ends, *names)


def read_cargo_output(ran: RunResult) -> ParsedReport:
    """The text of `cargo test`. Exit code 0 means that all was built, whatever the tests print."""
    text = parse_cargo_output(ran.lines)
    names = CargoIdMaker(ran)
    cases = merge_cases(names.case(found) for found in text.tests if found.outcome is not None)
    running = ", ".join([names.id(found) for found in text.tests if found.outcome is None][:5])
    if text.errors and ran.exit_code != 0:
        return ParsedReport(cases, fatal_error="\n".join(text.errors), running=running)
    own = [names.id(found) for found in text.tests if not found.name]
    notes = [
        f"the tests of {text.died} broke off before their end" if text.died and ran.exit_code is not None else "",
        *text.failed_late,
        f"judged by exit code, as the harness is its own: {', '.join(own)}" if own else "",
        "the names of some tests were not printed: they are numbered"
        if any(each.number for each in text.tests)
        else "",
    ]
    trouble = "; ".join(filter(None, notes))
    return ParsedReport(
        cases,
        running=running,
        trouble=trouble,
        is_complete=not text.died,
        announced=text.announced + len(own),
        ended=text.ended + len(own),
    )


async def _launch(request: LaunchRequest) -> TestCommand | None:
    cargo, words = request.which("cargo"), cargo_arguments(request.selection, request.folder)
    if cargo is None:
        return None
    rest = ("test", "--no-fail-fast", *words)
    return request.command("cargo test", (cargo, *rest), ("cargo", *rest), CARGO_ENV)


@dataclass(frozen=True)
class _TargetLocation:
    """Where a target's tests are compiled, in `package` (relative to the folder): src, tests, doc, or the whole of it.

    `filter` is what their names contain ("" where it is all of them), or are, if `exact`.
    """

    package: str
    kind: str
    filter: str = ""
    exact: bool = False
    binary: str = ""


def _locate_target(path: Path, node: str, folder: ProjectFolder) -> _TargetLocation:
    package = _package_of(path, folder)
    parts = PurePosixPath(path_argument(path, folder.path / package)).parts
    if node.startswith("doc "):
        # rustdoc splits its filters at blanks; the line is the last word of a name.
        return _TargetLocation(package, "doc", node.split()[-1])
    if parts[:1] == ("src",):
        names = (*_modules(parts), *([node] if node else []))
        return _TargetLocation(package, "src", "::".join(names), bool(node))
    if parts[:1] == ("tests",) and len(parts) > 1:
        return _TargetLocation(package, "tests", node, bool(node), parts[1].removesuffix(".rs"))
    return _TargetLocation(package, "whole", node, bool(node))


def _package_of(path: Path, folder: ProjectFolder) -> str:
    for place in (path, *path.parents):
        if place == folder.path or not place.is_relative_to(folder.path):
            break
        if (place / CARGO_TOML).is_file():
            return place.relative_to(folder.path).as_posix()
    return "."


def _modules(parts: tuple[str, ...]) -> tuple[str, ...]:
    """The modules that a path below src holds: `src/a/b.rs` and `src/a/b/mod.rs` are a::b."""
    if not parts[-1].endswith(".rs"):
        return parts[1:]
    inner = (*parts[1:-1], parts[-1].removesuffix(".rs"))
    if inner[0] == "bin":
        return inner[2:]
    return inner[:-1] if inner[-1] in _ROOTS else inner


def _manifest(folder: ProjectFolder, below: str) -> Mapping[str, object]:
    try:
        return tomllib.loads(folder.text(f"{below}/{CARGO_TOML}" if below else CARGO_TOML))
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def _needs_workspace_flag(manifest: Mapping[str, object]) -> bool:
    """Whether cargo would pass over the workspace's other packages here, though no setting says so."""
    workspace = manifest.get("workspace")
    return isinstance(workspace, dict) and "package" in manifest and "default-members" not in workspace


def _has_library(folder: ProjectFolder, manifest: Mapping[str, object]) -> bool:
    return "lib" in manifest or "lib.rs" in folder.names("src")


class CargoIdMaker:
    """Spells the tests of a run as ids that name files: "src/a.rs::tests::b", "src/lib.rs::doc add (line 7)"."""

    def __init__(self, ran: RunResult) -> None:
        self._ran = ran
        self._spelled = make_path_mapper(ran.root, ran.folder.path)
        self._top = _workspace_root(ran.folder)
        self._sources: dict[CargoBinary, tuple[Path, str]] = {}

    def id(self, found: CargoTest) -> str:
        documented = _DOC.match(found.name)
        if not found.binary.source and documented:
            return f"{self._place(documented['path'])}::doc {documented['rest']}"
        base, source = self._source(found.binary)
        if not source:
            return f"{self._spelled(CARGO_TOML)}::{found.name}"
        if not found.name:
            return self._spelled(str(base / source)) or source
        parts = found.name.split("::")
        directory = (base / source).parent
        for length in range(len(parts) - 1, 0, -1):
            module = directory.joinpath(*parts[:length])
            for path in (module.with_suffix(".rs"), module / "mod.rs"):
                if path.is_file():
                    return "::".join([self._spelled(str(path)) or str(path), *parts[length:]])
        return "::".join([self._spelled(str(base / source)) or source, *parts])

    def case(self, found: CargoTest) -> TestCase:
        outcome: TestOutcome = found.outcome or "error"
        if outcome != "failed":
            return TestCase(self.id(found), outcome, message=first_nonblank_line(found.why))
        if not found.name:
            last = found.block[-MAX_EXCERPT_LINES:]
            message = f"{first_nonblank_line((last or [''])[-1]) or 'it failed'} ({found.why or 'exit code 101'})"
            return TestCase(self.id(found), outcome, message=message, detail="\n".join(last))
        lines = [line.removeprefix("note: ") for line in found.block if line.strip() and not _NOISE.match(line)]
        place, message = "", ""
        for number, line in enumerate(lines):
            if panicked := _PANICKED.search(line):
                place = self._at(panicked["path"], panicked["line"])
                message = lines[number + 1] if line.endswith(":") and number + 1 < len(lines) else line
                break
        if documented := _DOC.match(found.name):
            # There the lines are those of a program made from the example.
            line_of = _LINE.search(documented["rest"])
            place = self._at(documented["path"], line_of[1]) if line_of else ""
        cut = excerpt_innermost_first("\n".join(lines), lambda line: None)
        return TestCase(self.id(found), outcome, place, first_nonblank_line(message or cut.detail), cut.detail)

    def _at(self, path: str, line: str) -> str:
        spelled = self._place(path)
        return f"{spelled}:{line}" if spelled else ""

    def _place(self, path: str) -> str:
        """A path as rustc prints it: relative to the workspace of packages, which may lie above the folder."""
        for base in (self._top, self._ran.folder.path):
            if (base / path).is_file():
                return self._spelled(str(base / path))
        return ""

    def _source(self, binary: CargoBinary) -> tuple[Path, str]:
        """The package's folder and the file in it that a binary is compiled from."""
        if binary not in self._sources:
            self._sources[binary] = (self._package(binary), binary.source)
        return self._sources[binary]

    def _package(self, binary: CargoBinary) -> Path:
        here = self._ran.folder.path
        holding = [place for place in self._all_packages() if (place / binary.source).is_file()]
        named = [place for place in holding if (binary.after or binary.crate) in self._crates(place, binary.source)]
        return (named or [place for place in holding if place == here] or holding or [here])[0]

    def _crates(self, package: Path, source: str) -> set[str]:
        """The names that a package's binaries may have, as they are spelled in files."""
        manifest = _manifest(self._ran.folder, os.path.relpath(package, self._ran.folder.path))
        tables = [manifest.get("package"), manifest.get("lib")]
        for key in ("bin", "test"):
            listed = manifest.get(key)
            tables += listed if isinstance(listed, list) else []
        names = [table.get("name") for table in tables if isinstance(table, dict)]
        return {str(name).replace("-", "_") for name in (*names, PurePosixPath(source).stem) if name}

    def _all_packages(self) -> list[Path]:
        found: list[Path] = []
        waiting = [(self._ran.folder.path, 0)]
        while waiting and len(found) < _MOST_PACKAGES:
            place, depth = waiting.pop(0)
            if (place / CARGO_TOML).is_file():
                found.append(place)
            if depth < _DEEPEST:
                below = (name for name in list_subfolders(place) if not name.startswith("."))
                waiting += [(place / name, depth + 1) for name in below if name not in ("target", "src")]
        return found


def _workspace_root(folder: ProjectFolder) -> Path:
    """The folder of the workspace of packages that the folder is in; rustc's paths begin there."""
    for place in walk_up(folder.path, folder.root):
        if "workspace" in _manifest(folder, os.path.relpath(place, folder.path)):
            return place
    return folder.path


def _covers(folder: ProjectFolder, below: str) -> bool:
    """Whether a run here runs the tests of a package below: a member that `cargo test` takes without being asked."""
    workspace = _manifest(folder, "").get("workspace")
    if not isinstance(workspace, dict) or _matches(workspace.get("exclude"), below):
        return False
    taken = workspace.get("default-members", workspace.get("members"))
    return _matches(taken, below) and _matches(workspace.get("members"), below)


def _matches(globs: object, below: str) -> bool:
    return isinstance(globs, list) and any(
        isinstance(glob, str) and PurePosixPath(below).match(glob) and below.count("/") == glob.strip("/").count("/")
        for glob in globs
    )


CARGO = TestRunner(
    *("cargo test", "Rust", first_file(CARGO_TOML), _launch, read_cargo_output, (".rs",)),
    adopt=lambda given: given.run_as("cargo test", env=CARGO_ENV) if given.starts("cargo", "test") else None,
    manifests=(r"Cargo\.toml",),
    order=31,
    covers=_covers,
)
