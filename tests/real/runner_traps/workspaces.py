"""Trap cells of JavaScript monorepos and their task runners, and of repositories of several languages."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tests.real.runner_traps.traps import NOT_GREEN, RUN, Cell, Edit, Right, RunTests, Shell, Step, Tools

_TEST = (
    'const { add } = require("{path}");\nrequire("node:test")("{name}", () => require("node:assert").equal({body}));\n'
)


def package(name: str = "", script: str = "", **more: object) -> str:
    """A package.json."""
    named = {"name": name, "version": "1.0.0"} if name else {}
    scripts = {"scripts": {"test": script}} if script else {}
    return json.dumps({**named, "private": True, **scripts, **more})


def _test(name: str, body: str, path: str = "./add.js") -> str:
    return _TEST.replace("{path}", path).replace("{name}", name).replace("{body}", body)


def _add(operator: str) -> dict[str, str]:
    return {"packages/a/add.js": f"exports.add = (a, b) => a {operator} b;\n"}


def _packages(operator: str, script: str = "node --test") -> dict[str, str]:
    """Package a with the source and its test; b, which uses a; c, which has no tests."""
    return {
        "packages/a/package.json": package("@w/a", script),
        **_add(operator),
        "packages/a/add.test.js": _test("adds", "add(1, 2), 3"),
        "packages/b/package.json": package("@w/b", script, dependencies={"@w/a": "1.0.0"}),
        "packages/b/b.test.js": _test("keeps", "1, 1", "../a/add.js"),
        "packages/c/package.json": package("@w/c"),
    }


@dataclass(frozen=True)
class Workspace:
    """A tool that runs the packages' tests: its files at the top, and the script there ("" for none)."""

    runner: str
    tools: Tools
    script: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    manager: str = "npm@11.0.0"

    def top(self, **more: object) -> dict[str, str]:
        """The files at the top."""
        manager = {"packageManager": self.manager} if self.manager else {}
        own = package("", self.script, workspaces=["packages/*"], **manager, **more)
        return {"package.json": own, **self.files}

    def cell(
        self, trap: str, files: Mapping[str, str], steps: tuple[Step, ...], right: Right, variant: str = ""
    ) -> Cell:
        """A cell of it."""
        return Cell(self.runner, trap, {**files, **self.top()}, steps, right, self.tools, variant)

    def cells(self) -> list[Cell]:
        """What can happen to any of them."""
        mend, bad, good = Edit(_add("+")), _packages("-"), _packages("+")
        hidden = {f"packages/{each}/package.json": package(f"@w/{each}", "node --test || true") for each in "ab"}
        gone = dict.fromkeys(("packages/a/add.test.js", "packages/b/b.test.js"))
        quits = {"packages/b/b.test.js": 'require("node:test")("dies", () => process.abort());\n'}
        hangs = {
            "packages/b/b.test.js": 'require("node:test")("hangs", () => new Promise((f) => setTimeout(f, 6e4)));\n'
        }
        claims = {"packages/b/b.test.js": _test("claims", '(console.log("# fail 0\\n# pass 9"), 1), 2', "../a/add.js")}
        prints = {"packages/b/b.test.js": _test("prints", '(console.log("not ok 1 - printed"), 1), 1', "../a/add.js")}
        red = Right(False, NOT_GREEN)
        return [
            self.cell("green", bad, (RUN, mend, RUN), Right(True, ("passed",))),
            self.cell("red", good, (Edit(_add("-")), RUN), Right(False, ("failed",))),
            self.cell("nothing ran", bad, (Edit({**_add("+"), **gone}), RUN), Right(False, NOT_GREEN)),
            self.cell("hidden red", {**good, **hidden}, (Edit(_add("-")), RUN), red, "or true"),
            self.cell(
                "exit 1",
                bad,
                (Edit({**_add("+"), "packages/b/package.json": package("@w/b", "node --test && exit 3")}), RUN),
                red,
            ),
            self.cell("crash", bad, (Edit({**_add("+"), **quits}), RUN), red),
            self.cell("hang", bad, (Edit({**_add("+"), **hangs}), RunTests({"timeout_s": 8})), red),
            self.cell("look-alike", {**bad, **prints}, (mend, RUN), Right(True, ("passed",)), "green"),
            self.cell("look-alike", {**bad, **claims}, (mend, RUN), red, "red"),
            self.cell("cached", bad, (mend, RUN, RUN), Right(True, ("passed",))),
            self.cell("filtered", good, (Edit(_add("-")), RunTests({"targets": ["packages/b"]})), Right(False)),
            self.cell("two packages", good, (Edit(_add("-")), RUN), Right(False, ("failed",))),
            self.cell(
                "two packages",
                {
                    **good,
                    "packages/b/b.test.js": _test("uses a", "add(1, 2), 3", "../a/add.js"),
                    "packages/a/add.test.js": _test("keeps", "1, 1"),
                },
                (Edit(_add("-")), RUN),
                Right(False, ("failed",)),
                "a dependent is red",
            ),
            self.cell(
                "two ecosystems",
                {**good, "scripts/test_release.py": "def test_release():\n    assert True\n"},
                (Edit(_add("-")), RUN),
                red,
            ),
            self.cell(
                "two ecosystems",
                {**bad, "tests/test_release.py": "def test_release():\n    assert True\n"},
                (mend, RUN),
                Right(True),
                "both green",
            ),
        ]


_NPM = Tools(programs=("npm", "node"))
_PNPM = Tools(npm=("pnpm@12",), programs=("pnpm", "node"))
_YARN_1 = Tools(npm=("yarn@1",), programs=("yarn", "node"))
_TURBO = Tools(npm=("turbo@2",), programs=("turbo", "node"), env={"TURBO_TELEMETRY_DISABLED": "1"})
_NX = Tools(npm=("nx@22",), programs=("nx", "node"), env={"NX_DAEMON": "false"})
_LERNA = Tools(npm=("lerna@9",), programs=("lerna", "node"), env={"NX_DAEMON": "false"})
# pnpm 12 takes no link for node_modules, which the harness would make.
_PNPM_FILES = {"pnpm-workspace.yaml": "packages:\n  - packages/*\n", "node_modules/.keep": ""}
# yarn 1 fails where a package has no such script.
_YARN_FILES = {"packages/c/package.json": package("@w/c", "true")}
_TURBO_JSON = {"turbo.json": '{"tasks": {"test": {}}}\n'}
_NX_JSON = {"nx.json": '{"targetDefaults": {"test": {"cache": true}}}\n'}
WORKSPACES = (
    Workspace("npm workspaces", _NPM),
    Workspace("npm test --workspaces", _NPM, "npm test --workspaces --if-present"),
    Workspace("pnpm -r test", _PNPM, "pnpm -r test", _PNPM_FILES, manager=""),
    Workspace("yarn workspaces run test", _YARN_1, "yarn workspaces run test", _YARN_FILES, manager=""),
    Workspace("turbo", _TURBO, "", _TURBO_JSON),
    Workspace("nx", _NX, "", _NX_JSON),
    Workspace("lerna", _LERNA, "", {"lerna.json": '{"version": "1.0.0"}\n'}),
)

# What a cache holds by these inputs is green whatever the code does.
_NARROW_INPUTS = (
    Workspace("turbo", _TURBO, "", {"turbo.json": '{"tasks": {"test": {"inputs": ["*.test.js"]}}}\n'}),
    Workspace(
        "nx",
        _NX,
        "",
        {"nx.json": '{"targetDefaults": {"test": {"cache": true, "inputs": ["{projectRoot}/*.test.js"]}}}\n'},
    ),
)

_PYTEST = Tools(pypi=("pytest>=9",), programs=("pytest",))
_GO = Tools(programs=("go",))
_PY = {
    "pytest.ini": "[pytest]\n",
    "calc.py": "def add(a, b):\n    return a + b\n",
    "tests/test_calc.py": "from calc import add\n\n\ndef test_adds():\n    assert add(1, 2) == 3\n",
}
_WEB = {
    "package.json": package("web", "node --test"),
    "add.js": "exports.add = (a, b) => a + b;\n",
    "add.test.js": _test("adds", "add(1, 2), 3"),
}
_BAD_JS, _BAD_PY = "exports.add = (a, b) => a - b;\n", "def add(a, b):\n    return a - b\n"


def _below(folder: str, files: Mapping[str, str]) -> dict[str, str]:
    return {f"{folder}/{name}": text for name, text in files.items()}


_BOTH = {**_below("backend", _PY), **_below("frontend", _WEB)}
_FIFTY = {f"packages/p{number:02}/{name}": text for number in range(50) for name, text in _WEB.items()}


def _mixed(trap: str, files: Mapping[str, str], steps: tuple[Step, ...], right: Right, variant: str) -> Cell:
    return Cell("several projects", trap, files, steps, right, _PYTEST, variant)


CELLS = [
    *(cell for each in WORKSPACES for cell in each.cells()),
    *(
        each.cell(
            "cached",
            _packages("+"),
            (RUN, Edit(_add("-")), RUN),
            Right(False, ("failed",)),
            "inputs leave the code out",
        )
        for each in _NARROW_INPUTS
    ),
    # The script's own word is the last one: the result is replayed, and proves nothing.
    replace(_NARROW_INPUTS[0], script="turbo run test --force=false").cell(
        "cached",
        _packages("+"),
        (RUN, Edit(_add("-")), RUN),
        Right(False, ("passed",), says=("replayed",)),
        "replayed by the script",
    ),
    _mixed(
        "two ecosystems", _BOTH, (Edit({"frontend/add.js": _BAD_JS}), RUN), Right(False, ("failed",)), "frontend broken"
    ),
    _mixed(
        "two ecosystems", _BOTH, (Edit({"backend/calc.py": _BAD_PY}), RUN), Right(False, ("failed",)), "backend broken"
    ),
    _mixed(
        "two ecosystems",
        _BOTH,
        (Edit({"frontend/add.js": _BAD_JS}), RunTests({"targets": ["backend"]})),
        Right(False),
        "the other one run",
    ),
    _mixed(
        "two ecosystems",
        _BOTH,
        (Edit({"frontend/add.js": _WEB["add.js"] + "// same\n", "backend/calc.py": _PY["calc.py"] + "# same\n"}), RUN),
        Right(True, ("passed",), 2, 0),
        "both changed",
    ),
    _mixed(
        "two ecosystems",
        _BOTH,
        (Edit({"frontend/add.js": _BAD_JS}), Shell("cd backend && python -m pytest -q")),
        Right(False),
        "in the shell",
    ),
    _mixed(
        "two packages",
        {**_below("packages/one", _WEB), **_below("packages/two", _WEB)},
        (Edit({"packages/one/add.js": _BAD_JS}), RUN),
        Right(False, ("failed",)),
        "no manifest",
    ),
    _mixed(
        "two packages",
        {**_below("services/one", _PY), **_below("services/two", _PY)},
        (Edit({"services/one/calc.py": _BAD_PY}), RUN),
        Right(False, ("failed",)),
        "python",
    ),
    _mixed(
        "two packages", _FIFTY, (Edit({"packages/p41/add.js": _BAD_JS}), RUN), Right(False, ("failed",), 0, 1), "fifty"
    ),
    _mixed(
        "red",
        {**_BOTH, **_below("tests/fixtures/web", {**_WEB, "add.js": _BAD_JS})},
        (Edit({"frontend/add.js": _WEB["add.js"] + "// same\n"}), RUN),
        Right(True, ("passed",), 1, 0),
        "fixtures are not run",
    ),
    _mixed(
        "red",
        {**_PY, **_below("examples/web", {**_WEB, "add.js": _BAD_JS})},
        (Edit({"calc.py": _PY["calc.py"] + "# same\n"}), RUN),
        Right(True, ("passed",), 1, 0),
        "examples are not run",
    ),
    _mixed(
        "red",
        {**_PY, **_below("examples/web", _WEB)},
        (Edit({"examples/web/add.js": _BAD_JS}), RUN),
        Right(False, ("failed",)),
        "a changed example is run",
    ),
    _mixed(
        "nothing ran",
        {**_below("backend", _PY), **_below("frontend", {**_WEB, "package.json": package("web")})},
        (Edit({"frontend/add.js": _BAD_JS}), RUN),
        Right(False),
        "package without tests",
    ),
]
