"""JavaScript and TypeScript: vitest, jest, mocha, node --test, bun test, else the package's own test script."""

import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from kimi_agent.workspace.testrun.projects.node_project import (
    Project,
    bins,
    files_below,
    installed,
    project,
    script_text,
)
from kimi_agent.workspace.testrun.projects.project_folder import Folder
from kimi_agent.workspace.testrun.reports.bun_output import read_bun
from kimi_agent.workspace.testrun.reports.cases import relative
from kimi_agent.workspace.testrun.reports.node_reporters import MOCHA_FILE, NODE_FILE, mocha_reporter, node_reporter
from kimi_agent.workspace.testrun.reports.node_reports import JOINT, read_json, read_lines
from kimi_agent.workspace.testrun.runner import Bench, Read, Row, read_exit
from kimi_agent.workspace.testrun.values import Launch, Target, Wish

SUFFIXES = (".js", ".cjs", ".mjs", ".jsx", ".ts", ".cts", ".mts", ".tsx", ".vue", ".svelte")
# npx would install what is missing, corepack's pnpm and yarn would download themselves: no run of tests does that.
_ENV = {"npm_config_yes": "false", "COREPACK_ENABLE_NETWORK": "0", "npm_config_update_notifier": "false"}
_PROGRAMS = {"vitest": "vitest run", "jest": "jest", "mocha": "mocha", "node": "node --test", "bun": "bun test"}
_OWN_REPORTERS = re.compile(r"\s--test-reporter(?:-destination)?(?:=\S+|\s+\S+)")
_SPECIAL = re.compile(r"([\\^$.*+?()\[\]{}|/])")
_MOST_PATTERN = 60_000  # the kernel takes 128 kB in one argument


def reporting(runner: str, report: Path) -> tuple[str, ...]:
    """The options that make a runner tell what it did in `report`; those of `beside` stand next to it."""
    match runner:
        case "vitest":
            # The lines of the verbose one tell of a run that was killed.
            return ("--reporter=verbose", "--reporter=json", f"--outputFile.json={report}")
        case "jest":
            return ("--ci", "--json", f"--outputFile={report}")
        case "mocha":
            return ("--reporter", str(report.parent / MOCHA_FILE))
        case "node":
            ours, spec = str(report.parent / NODE_FILE), "--test-reporter=spec"
            to = "--test-reporter-destination"
            return (f"--test-reporter={ours}", f"{to}={report}", spec, f"{to}=stdout")
        case _:
            return ()


def beside(runner: str, report: Path) -> Mapping[str, str]:
    """The files that `reporting` names."""
    match runner:
        case "mocha":
            return mocha_reporter(report)
        case "node":
            return node_reporter()
        case _:
            return {}


def reported(runner: str, text: str, report: Path) -> str:
    """The command `text` of a known runner with its reporting put in."""
    words = shlex.join(reporting(runner, report))
    if runner == "node":
        # Of what comes after the first file, node takes nothing for itself.
        return re.sub(r"(\s--test)(?=\s|$)", lambda found: f"{found[1]} {words}", _OWN_REPORTERS.sub("", text), count=1)
    return f"{text} {words}".rstrip()


def _evidence(runner: str) -> Callable[[Folder], str]:
    def evidence(folder: Folder) -> str:
        found = project(folder)
        return found.why if found.runner == runner else ""

    return evidence


async def _launch(folder: Folder, wish: Wish, why: str, bench: Bench) -> Launch | None:
    found = project(folder)
    runner = found.runner
    program = _PROGRAMS[runner].partition(" ")[0]
    missing = ""
    if runner in ("node", "bun"):
        if bench.runner.which(program) is None and not installed(program, folder):
            return None
    elif not installed(program, folder):
        missing = f"; {program} is not in node_modules/.bin: install the dependencies first"
    chosen = _selection(runner, folder, wish)
    before, base, in_place = _base(found, wish)
    if chosen is None or (wish.targets and re.search(r"\bcd\s", before)):
        return None
    named, paths = chosen
    options = [*reporting(runner, bench.report), *named]
    if runner == "node":
        text = re.sub(r"(\s--test)(?=\s|$)", lambda hit: f"{hit[1]} {shlex.join(options)}", base, count=1)
        text = " ".join(filter(None, (text, shlex.join(paths))))
    else:
        text = f"{base} {shlex.join([*options, *paths])}"
    shown = " ".join(filter(None, (before + in_place, shlex.join([*named, *paths]))))
    argv = ("/bin/sh", "-c", _with_bins(folder) + before + text)
    return Launch(runner, why + missing, argv, shown, folder.path, _ENV, beside(runner, bench.report))


async def _launch_script(folder: Folder, wish: Wish, why: str, bench: Bench) -> Launch | None:
    if wish.targets or wish.name:
        return None
    manager = project(folder).manager
    found = bench.runner.which(manager)
    if found:
        return Launch(f"{manager} test", why, (found, "test"), f"{manager} test", folder.path, _ENV)
    text = script_text(folder)
    argv = ("/bin/sh", "-c", _with_bins(folder) + text)
    return Launch("test script", f"{why}; there is no {manager} here", argv, text, folder.path, _ENV)


def _base(found: Project, wish: Wish) -> tuple[str, str, str]:
    """What comes before the runner's command, the command without its selection, and that as it is shown."""
    if found.script is None:
        return "", _PROGRAMS[found.runner], _PROGRAMS[found.runner]
    script = found.script
    text = " ".join(_quoted(word) for word in (*script.program, *script.options)) if wish.targets else script.text
    base = _OWN_REPORTERS.sub("", text) if found.runner == "node" else text
    return script.before, base, text


def _selection(runner: str, folder: Folder, wish: Wish) -> tuple[list[str], list[str]] | None:
    """The options for names and the paths that make `runner` run what is wished; None where that cannot be said."""
    paths = list(dict.fromkeys(relative(target.path, folder.path) for target in wish.targets))
    pattern = _pattern(wish)
    match runner:
        case "jest":
            if paths and all(target.path.is_file() for target in wish.targets):
                paths = ["--runTestsByPath", *paths]
            else:
                # Regular expressions, of which none may be read as an option.
                paths = [re.sub(r"^-", "[-]", _SPECIAL.sub(r"\\\1", path.removeprefix("./"))) for path in paths]
            return ([f"--testNamePattern={pattern}"] if pattern else []), paths
        case "vitest":
            return ([f"--testNamePattern={pattern}"] if pattern else []), paths
        case "mocha":
            return ([f"--grep={pattern}"] if pattern else []), paths
        case "bun":
            spelled = [path if path.startswith("./") else f"./{path}" for path in paths]
            return ([f"--test-name-pattern={pattern}"] if pattern else []), spelled
        case _:
            return _select_node(folder, wish, pattern)


def _select_node(folder: Folder, wish: Wish, pattern: str) -> tuple[list[str], list[str]] | None:
    # Node takes no folders (20 does, later ones take globs), and before 22 it compares a title alone, not the whole
    # name; a test inside another test runs only if the outer one's title is wanted too.
    paths: list[str] = []
    for target in wish.targets:
        below = relative(target.path, folder.path)
        if target.path.is_dir():
            paths += files_below(folder, "" if below == "." else below)
        else:
            paths.append(below)
    if wish.targets and not paths:
        return None
    titles = [title for target in wish.targets for title in target.node.split(JOINT)]
    if pattern and not wish.name and all(titles):
        alternatives = "|".join(_SPECIAL.sub(r"\\\1", title) for title in dict.fromkeys(titles))
        pattern = f"^(?:{alternatives})$|{pattern}" if len(alternatives) < _MOST_PATTERN else ""
    return ([f"--test-name-pattern={pattern}"] if pattern else []), list(dict.fromkeys(paths))


def _pattern(wish: Wish) -> str:
    """A regular expression on a test's full name, which is its titles joined by blanks; "" for every test.

    A node may be a suite, so more may follow. Where one target is a whole file, all tests of all of them run.
    """
    nodes = _regexes(wish.targets) if wish.targets and all(target.node for target in wish.targets) else ""
    name = _SPECIAL.sub(r"\\\1", wish.name)
    if nodes and name:
        return f"^(?=.*{name}) ?(?:{nodes})(?: |$)"
    return f"^ ?(?:{nodes})(?: |$)" if nodes else name


def _regexes(targets: Iterable[Target]) -> str:
    nodes = dict.fromkeys(_SPECIAL.sub(r"\\\1", target.node).replace(JOINT, " (?:> )?") for target in targets)
    whole = "|".join(nodes)
    return whole if len(whole) < _MOST_PATTERN else ""


def _with_bins(folder: Folder) -> str:
    """As npm does it: the installed programs come first on the PATH of a script."""
    places = [os.path.relpath(place, folder.path) for place in bins(folder)]
    return "".join(f'PATH="$PWD/{place}:$PATH"; ' for place in reversed(places))


def _quoted(word: str) -> str:
    name, assigned, value = word.partition("=")
    return f"{name}={shlex.quote(value)}" if assigned and re.fullmatch(r"\w+", name) else shlex.quote(word)


def _row(runner: str, read: Read) -> Row:
    shown = "node --test" if runner == "node" else "bun test" if runner == "bun" else runner
    return Row(shown, "Node", _evidence(runner), _launch, read, SUFFIXES)


VITEST = _row("vitest", read_json)
JEST = _row("jest", read_json)
MOCHA = _row("mocha", read_lines)
NODE = _row("node", read_lines)
BUN = _row("bun", read_bun)
SCRIPT = Row("npm test", "Node", _evidence("script"), _launch_script, read_exit, SUFFIXES)
