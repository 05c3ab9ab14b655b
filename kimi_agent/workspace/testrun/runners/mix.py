"""The row of Elixir: `mix test`, read from the text that it traces."""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

from kimi_agent.log.views import TestCase
from kimi_agent.workspace.testrun.projects.project_folder import Folder
from kimi_agent.workspace.testrun.reports.cases import (
    BAD,
    MOST_CASES,
    cut_innermost_first,
    first_errors,
    merged,
    name_of,
    one_kind,
    relative,
    subfolders,
)
from kimi_agent.workspace.testrun.reports.failure_excerpt import clean, first_line, within
from kimi_agent.workspace.testrun.runner import Bench, Ran, Row
from kimi_agent.workspace.testrun.values import Launch, Outcome, Reading, Wish

_MODULE = re.compile(r"^(?P<module>\S+) \[(?P<path>.+)\]$")
_PROJECT = re.compile(r"^==> (\w+)$")
_TEST = re.compile(r"^  \* (?P<name>.+?)(?: \((?P<how>[\d.]+m?s|skipped|excluded)\))? \[L#(?P<line>\d+)\]")
_BLOCK = re.compile(r"^ {1,4}\d+\) (?P<name>.+) \((?P<module>[\w.]+)\)$")
_ALL = re.compile(r"^ {1,4}\d+\) (?P<module>[\w.]+): failure on setup_all callback")
_SUMMARY = re.compile(r"^(?:\d+ \w+, )*(?P<ran>\d+) tests?, (?P<bad>\d+) failures?(?:, .*)?$")
_FRAME = re.compile(r"\s*(?:\([\w.]+ \S+\) )?(?P<path>[^\s:()]+\.exs?):(?P<line>\d+): .*")
_FAILS = re.compile(r"^== Compilation error|\*\* \(|^\s*error:|Could not|could not")
_NONE = "There are no tests to run"
_MOST_BLOCK = 200


def mix_evidence(folder: Folder) -> str:
    """The project of mix."""
    return "mix.exs" if "mix.exs" in folder.names() else ""


async def _launch(folder: Folder, wish: Wish, why: str, bench: Bench) -> Launch | None:
    mix = bench.runner.which("mix")
    words = mix_words(folder, wish)
    if mix is None or words is None:
        return None
    # Without the trace only failing tests have names.
    argv = (mix, "test", "--trace", "--no-color", *words)
    return Launch("mix", why, argv, shlex.join(("mix", "test", *words)), folder.path, {"LC_ALL": "C.UTF-8"})


def mix_words(folder: Folder, wish: Wish) -> tuple[str, ...] | None:
    """The files and names; None for what mix cannot select: a part of a name, or names of some of the files only."""
    targets = one_kind(wish)
    if targets is None or wish.name or any(not target.path.is_relative_to(folder.path) for target in targets):
        return None
    if any(not (target.path.is_dir() or target.path.suffix == ".exs") for target in targets):
        return None
    files = dict.fromkeys(relative(each.path, folder.path) for each in targets if each.path != folder.path)
    only = [word for each in targets if each.node for word in ("--only", f"test:{each.node}")]
    return (*files, *only)


def _read(ran: Ran) -> Reading:
    text = _Text(frozenset(subfolders(ran.folder.path / "apps")))
    for line in ran.lines:
        text.take(clean(line.rpartition("\r")[2] or line).rstrip())
    spelled = within(ran.root, ran.folder.path)
    cases = merged(_case(found, spelled) for found in text.found.values() if found.outcome is not None)
    if text.ran is None and any(line.strip() == _NONE for line in ran.lines):
        return Reading(claim="none")
    if text.ran is None:
        why = first_errors(ran.lines, _FAILS) if ran.exit_code and not text.found else ""
        running = [_id(found, spelled) for found in text.found.values() if found.outcome is None and not found.excluded]
        return Reading(cases, why, ", ".join(running[:5]), whole=False)
    trouble = ""
    if text.ran > len(text.found):
        trouble = f"the runner counts {text.ran} tests, of which {len(text.found)} could be read from its output"
    bad = sum(case.outcome in BAD for case in cases)
    if not text.bad and not cases:
        return Reading(claim="none", trouble=trouble)
    return Reading(cases, claim="failed" if text.bad and not bad else "", trouble=trouble)


@dataclass
class _Found:
    module: str
    path: str
    name: str
    line: str
    outcome: Outcome | None = None
    excluded: bool = False
    block: list[str] = field(default_factory=list)


class _Text:
    """The traced output, taken line by line. `apps` are the projects of an umbrella, whose paths start there."""

    def __init__(self, apps: frozenset[str]) -> None:
        self._apps = apps
        self._below = ""
        self.found: dict[tuple[str, str], _Found] = {}
        self.ran: int | None = None
        self.bad = 0
        self._module = self._path = ""
        self._block: list[str] | None = None

    def take(self, line: str) -> None:
        if test := _TEST.match(line):
            self._block = None
            self._test(test)
        elif module := _MODULE.match(line):
            self._block = None
            self._module, self._path = module["module"], self._below + module["path"]
        elif project := _PROJECT.match(line):
            self._below = f"apps/{project[1]}/" if project[1] in self._apps else ""
        elif summary := _SUMMARY.match(line):
            self._block = None
            self.ran = int(summary["ran"]) + (self.ran or 0)  # an umbrella has several
            self.bad += int(summary["bad"])
        elif invalid := _ALL.match(line):
            self._open([found for found in self.found.values() if found.module == invalid["module"]], "error")
        elif block := _BLOCK.match(line):
            found = self.found.get((block["module"], name_of(block["name"])))
            self._open([found] if found else [], "failed")
        elif self._block is not None and len(self._block) < _MOST_BLOCK:
            self._block.append(line)

    def _test(self, test: re.Match[str]) -> None:
        key = (self._module, name_of(test["name"]))
        if key not in self.found and len(self.found) >= MOST_CASES:
            return
        found = self.found.setdefault(key, _Found(self._module, self._path, key[1], test["line"]))
        if test["how"] == "excluded":
            found.excluded = True
        elif test["how"] and found.outcome is None:
            found.outcome = "skipped" if test["how"] == "skipped" else "passed"

    def _open(self, found: list[_Found], outcome: Outcome) -> None:
        self._block = []
        for each in found:
            each.outcome, each.block = outcome, self._block


def _id(found: _Found, spelled: Callable[[str], str]) -> str:
    return f"{spelled(found.path) or found.path}::{found.name}"


def _case(found: _Found, spelled: Callable[[str], str]) -> TestCase:
    node_id = _id(found, spelled)
    if found.outcome not in BAD:
        return TestCase(node_id, found.outcome or "passed")

    def frame(line: str) -> str | None:
        at = _FRAME.fullmatch(line)
        if at is None:
            return "" if line.strip() == "stacktrace:" else None
        place = spelled(at["path"])
        return f"{place}:{at['line']}" if place and not place.startswith("deps/") else ""

    file = spelled(found.path)
    # The first line says again where the test stands.
    body = [line[5:] if line.startswith("     ") else line for line in found.block]
    body = body[1:] if body and re.fullmatch(r"\S+:\d+", body[0]) else body
    shortened = cut_innermost_first("\n".join(body), frame, file)
    message = next((line for line in body if line.strip()), "")
    # An exception is shown with its name in brackets; an assertion is not.
    outcome: Outcome = "error" if message.startswith("** (") or found.outcome == "error" else "failed"
    place = shortened.place or (f"{file}:{found.line}" if file else "")
    return TestCase(node_id, outcome, place, first_line(message), shortened.detail)


MIX = Row("mix", "Elixir", mix_evidence, _launch, _read, (".ex", ".exs"))
