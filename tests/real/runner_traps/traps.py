"""Traps for test runners: situations in which a run is easily misread, each with the verdict that is right.

A `Cell` is one small project of one runner in one trap. Most come from a `Kit`, which says once how a runner's
projects and tests are written; what a kit cannot say (a runner's own options, plugins, workspaces) is a cell by hand.
`harness` runs them through the whole program; its docstring holds an example.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kimi_agent.log.views import RunVerdict

TRAPS = {
    "green": "red, mended, green",
    "red": "broken in this turn",
    "nothing ran": "no test is left to run",
    "hidden red": "a red test is kept from running by the project's configuration",
    "deleted red": "a red test is deleted",
    "renamed red": "a red test is renamed and mended",
    "exit 0": "a test ends the process with exit code 0; a red one stands behind it",
    "exit 1": "all tests pass and the run fails",
    "crash": "the process dies in a test",
    "hang": "a test does not end",
    "look-alike": "tests print what looks like results",
    "cached": "run again with nothing changed",
    "filtered": "only tests that do not reach the change were run",
    "reruns": "the runner itself repeats a red test until it passes",
    "two packages": "the change is in one package, the green tests are in another",
    "two ecosystems": "the change is in one language, the green tests are in another",
}
"""Each trap and what happens in it, in the order of the matrix."""


@dataclass(frozen=True)
class Edit:
    """The model writes these files; None deletes one.

    `second_later` dates them a second ahead, as a model that thinks would: some build tools compare whole seconds, and
    take what was edited in the second of the last build for built.
    """

    files: Mapping[str, str | None]
    second_later: bool = False


@dataclass(frozen=True)
class Shell:
    """The model's own shell command."""

    command: str


@dataclass(frozen=True)
class RunTests:
    """A call of run_tests with these arguments."""

    arguments: Mapping[str, Any] = field(default_factory=dict)


Step = Edit | Shell | RunTests
RUN = RunTests()


@dataclass(frozen=True)
class Right:
    """The right verdict on the turn: `verified` is also that --require-green ends with 0.

    `outcome` are the verdicts on the last run that are right (none: any); `passed` and `failed` its counts; each of
    `says` stands in what the person is told or in the `tests` member of the JSON result.
    """

    verified: bool
    outcome: tuple[RunVerdict, ...] = ()
    passed: int | None = None
    failed: int | None = None
    says: tuple[str, ...] = ()


NOT_GREEN: tuple[RunVerdict, ...] = ("failed", "run_failed", "none_ran", "broken", "timed_out")


@dataclass(frozen=True)
class Tools:
    """The programs that a runner needs: packages of PyPI (in a virtual environment that is active), of npm (as the
    project's node_modules), of Debian; and `programs` that have to be on the PATH in the end. `env` is passed on.
    `links` gives programs that a package of PyPI keeps inside of itself: name -> glob below its environment."""

    pypi: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
    debian: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """`files` are committed, then the model takes `steps` in one turn, of which `right` is the verdict.

    `variant` tells cells of one runner and one trap apart. The turn may take `timeout_s` seconds.
    """

    runner: str
    trap: str
    files: Mapping[str, str]
    steps: tuple[Step, ...]
    right: Right
    tools: Tools = Tools()
    variant: str = ""
    timeout_s: int = 300

    @property
    def name(self) -> str:
        """As a parameter of pytest: `pytest-hidden_red` or `pytest-hidden_red-testpaths`."""
        return "-".join(part.replace(" ", "_") for part in (self.runner, self.trap, self.variant) if part)


@dataclass(frozen=True)
class Kit:
    """How projects of one runner are written.

    `files` are the manifest and whatever never changes. `source` is (path, text), in which `@op@` is the operator of
    an addition: "+" is right, "-" the fault. `head`, `test` and `foot` make a test file; in `test` stand `@name@` (or
    `@Name@`, with a capital) and `@body@`. `bodies` are the statements of a test:
        adds    asserts that the source's addition of 1 and 2 is 3
        keeps   passes
        fails   fails whatever the source says
        quits   ends the process with exit code 0
        crashes ends the process by a signal, or by the language's own abort
        hangs   does not end
        prints  prints lines that look like this runner's failed tests, and passes
        claims  prints lines that look like this runner's success, and fails
    A body that is left out makes no cell. `other` is (path, text) of a test file that does not reach the source.

    `nothing` are the edits after which no test is left (an empty one, the default: a test file without tests), `hides`
    the edits that keep the test `fails` from running, `fails_after` the files with which a green run ends with failure;
    each by a variant's name ("" for the only one). `reported` is a test's name as the runner reports it, with `@name@`.
    `targets` is the selection of `other`. Where only the exit code is known (`counts` is False), no count is held, and
    nobody can say which test was red. Where the bodies of tests stand in no file of tests that is read (`renames` is
    False: the names are in a build file, the bodies are programs), a renamed test is told as one that is gone.
    `whole_seconds`: see `Edit.second_later`.
    """

    runner: str
    tools: Tools
    files: Mapping[str, str]
    source: tuple[str, str]
    test_path: str
    test: str
    bodies: Mapping[str, str]
    head: str = ""
    foot: str = ""
    other: tuple[str, str] | None = None
    targets: tuple[str, ...] = ()
    nothing: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    hides: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    fails_after: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    reported: str = "@name@"
    hang_s: int = 8
    timeout_s: int = 300
    counts: bool = True
    renames: bool = True
    whole_seconds: bool = False
    python: bool = False

    def written(self, *tests: tuple[str, str] | str) -> str:
        """A test file of these bodies; a pair is (body, the test's name), else the name is the body's."""
        pairs = [(each, each) if isinstance(each, str) else each for each in tests]
        return self.head + "".join(_fill(self.test, name, self.bodies[body]) for body, name in pairs) + self.foot

    def project(self, operator: str, *tests: tuple[str, str] | str) -> dict[str, str]:
        """The whole project with the source's operator and these tests."""
        source, test = self.at(operator), {self.test_path: self.written(*tests)}
        return {**self.files, **source, **test}

    def at(self, operator: str) -> dict[str, str]:
        """The source with this operator."""
        return {self.source[0]: self.source[1].replace("@op@", operator)}

    def edit(self, files: Mapping[str, str | None]) -> Edit:
        """An edit of the model's in a project of this kind."""
        return Edit(files, self.whole_seconds)

    def ends(self, outcome: RunVerdict, passed: int, failed: int) -> Right:
        """The verdict on a turn whose last run is this."""
        verified = outcome == "passed"
        return Right(verified, (outcome,), passed, failed) if self.counts else Right(verified, (outcome,))

    def id_of(self, name: str) -> str:
        """The test's name as the runner reports it."""
        return _fill(self.reported, name, "")


def _fill(text: str, name: str, body: str) -> str:
    return text.replace("@name@", name).replace("@Name@", name.capitalize()).replace("@body@", body)


def cells_of(kit: Kit) -> list[Cell]:
    """The cells that a kit's parts make."""
    return _mended(kit) + _hidden(kit) + _stopped(kit) + _misread(kit) + _beside(kit)


def _cell(
    kit: Kit, trap: str, files: Mapping[str, str], steps: tuple[Step, ...], right: Right, variant: str = ""
) -> Cell:
    return Cell(kit.runner, trap, files, steps, right, kit.tools, variant, kit.timeout_s)


def _mended(kit: Kit) -> list[Cell]:
    """Runs that are whole and read as they are."""
    bad, mend = kit.project("-", "adds", "keeps"), kit.edit(kit.at("+"))
    renamed = kit.edit({**kit.at("+"), kit.test_path: kit.written(("adds", "sums"), "keeps")})
    green = kit.ends("passed", 2, 0)
    followed = green if kit.renames else Right(False, ("passed",), 2, 0, says=(kit.id_of("adds"),))
    return [
        _cell(kit, "green", bad, (RUN, mend, RUN), green),
        _cell(kit, "red", kit.project("+", "adds", "keeps"), (kit.edit(kit.at("-")), RUN), kit.ends("failed", 1, 1)),
        _cell(kit, "renamed red", bad, (RUN, renamed, RUN), followed),
        _cell(kit, "cached", bad, (mend, RUN, RUN), green),
    ]


def _hidden(kit: Kit) -> list[Cell]:
    """Tests that do not run, or no longer."""
    mend, empty = kit.at("+"), {kit.test_path: kit.head + kit.foot}
    made = [
        _cell(
            kit,
            "nothing ran",
            kit.project("-", "adds"),
            (kit.edit({**mend, **(edit or empty)}), RUN),
            Right(False, NOT_GREEN),
            key,
        )
        for key, edit in (kit.nothing or {"": {}}).items()
    ]
    if "fails" not in kit.bodies or not kit.counts:
        return made
    red, told = kit.project("-", "fails", "keeps"), Right(False, says=(kit.id_of("fails"),))
    made.append(
        _cell(kit, "deleted red", red, (RUN, kit.edit({**mend, kit.test_path: kit.written("keeps")}), RUN), told)
    )
    made += [
        _cell(kit, "hidden red", red, (RUN, kit.edit({**mend, **edit}), RUN), told, key)
        for key, edit in kit.hides.items()
    ]
    return made


def _stopped(kit: Kit) -> list[Cell]:
    """Runs that end otherwise than their tests."""
    mend = kit.edit(kit.at("+"))
    made = [
        _cell(kit, "exit 1", {**kit.project("-", "adds", "keeps"), **files}, (mend, RUN), Right(False, NOT_GREEN), key)
        for key, files in kit.fails_after.items()
    ]
    for trap, body in (("exit 0", "quits"), ("crash", "crashes")):
        if body in kit.bodies:
            made.append(
                _cell(kit, trap, kit.project("-", "keeps", body, "fails"), (mend, RUN), Right(False, NOT_GREEN))
            )
    if "hangs" in kit.bodies:
        patience = RunTests({"timeout_s": kit.hang_s})
        late = Right(False, ("timed_out",))
        made.append(_cell(kit, "hang", kit.project("-", "keeps", "hangs"), (mend, patience), late))
    return made


def _misread(kit: Kit) -> list[Cell]:
    """Tests that print results of their own."""
    made = []
    mend = kit.edit(kit.at("+"))
    if "prints" in kit.bodies:
        green = kit.ends("passed", 2, 0)
        made.append(_cell(kit, "look-alike", kit.project("-", "adds", "prints"), (mend, RUN), green, "of red"))
    if "claims" in kit.bodies:
        red = kit.ends("failed", 1, 1)
        made.append(_cell(kit, "look-alike", kit.project("-", "keeps", "claims"), (mend, RUN), red, "of green"))
    return made


_PYTHON_BESIDE = {"scripts/test_release.py": "def test_version():\n    assert 1\n"}
_NODE_BESIDE = {
    "web/package.json": '{"name": "web", "private": true, "scripts": {"test": "node --test"}}\n',
    "web/add.js": "exports.add = (a, b) => a + b;\n",
    "web/add.test.js": 'const {add} = require("./add.js");\n'
    'require("node:test")("adds", () => { if (add(1, 2) !== 3) throw new Error("wrong"); });\n',
}


def _beside(kit: Kit) -> list[Cell]:
    """Green tests that cannot know what changed."""
    made = []
    if kit.other is not None:
        path, text = kit.other
        narrow = RunTests({"targets": list(kit.targets or (path,))})
        files = {**kit.project("+", "adds"), path: text}
        made.append(_cell(kit, "filtered", files, (kit.edit(kit.at("-")), narrow), Right(False)))
        whole = kit.ends("failed", 1, 1)
        made.append(_cell(kit, "filtered", files, (kit.edit(kit.at("-")), narrow, RUN), whole, "then whole"))
    if kit.python:
        broken = kit.edit({"web/add.js": _NODE_BESIDE["web/add.js"].replace("+", "-")})
        files = {**kit.project("+", "adds"), **_NODE_BESIDE}
        made.append(_cell(kit, "two ecosystems", files, (broken, RUN), Right(False)))
        return made
    files = {**kit.project("+", "adds", "keeps"), **_PYTHON_BESIDE}
    made.append(_cell(kit, "two ecosystems", files, (kit.edit(kit.at("-")), RUN), Right(False)))
    both = {**kit.project("-", "adds", "keeps"), **_PYTHON_BESIDE}
    made.append(_cell(kit, "two ecosystems", both, (kit.edit(kit.at("+")), RUN), Right(True), "both green"))
    return made
