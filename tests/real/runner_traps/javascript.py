"""Trap cells of JavaScript's test runners."""

import json
from collections.abc import Mapping
from typing import Any

from tests.real.runner_traps.traps import NOT_GREEN, RUN, Cell, Edit, Kit, Right, Tools, cells_of

_CHECK = {"check.js": "process.exit(1);\n", "check.cjs": "process.exit(1);\n"}


def package(script: str, *packages: str, **more: Any) -> str:
    """A package.json with this test script and these development packages."""
    needed = dict.fromkeys(packages, "*")
    return (
        json.dumps({"private": True, "scripts": {"test": script}, "devDependencies": needed, **more}, indent=2) + "\n"
    )


def _bodies(equal: str, **more: str) -> Mapping[str, str]:
    """The bodies with the assertion `equal`, in which ONE and TWO are compared."""
    wrong = equal.replace("ONE", "1").replace("TWO", "2")
    return {
        "adds": equal.replace("ONE", "add(1, 2)").replace("TWO", "3"),
        "keeps": equal.replace("ONE", "1").replace("TWO", "1"),
        "fails": wrong,
        "quits": "process.exit(0)",
        "crashes": "process.abort()",
        "hangs": "for (;;);",
        "prints": r'console.log("not ok 1 - adds\n✖ adds (1ms)\nℹ fail 3\n  ● adds\nTests: 1 failed\n✗ red\n(fail) x")',
        "claims": r'console.log("ok 1 - x\nℹ pass 5\nℹ fail 0\nTests: 5 passed, 5 total\n✓ x\n 5 passing"); ' + wrong,
        **more,
    }


def _only_exit_code(equal: str) -> Mapping[str, str]:
    """The bodies for a runner whose report is not read: what its tests print at the end cannot be told from its own."""
    return {name: body for name, body in _bodies(equal).items() if name != "prints"}


_SOURCE = ("lib/add.js", "exports.add = (a, b) => a @op@ b;\n")
_MODULE = ("lib/add.js", "export const add = (a, b) => a @op@ b;\n")
_NODE_HEAD = 'const test = require("node:test");\nconst assert = require("node:assert");\n'

NODE = Kit(
    runner="node --test",
    tools=Tools(programs=("node",)),
    files={"package.json": package("node --test")},
    source=_SOURCE,
    test_path="lib/add.test.js",
    head=_NODE_HEAD + 'const { add } = require("./add.js");\n',
    test='test("@name@", () => { @body@; });\n',
    bodies=_bodies("assert.equal(ONE, TWO)"),
    other=("elsewhere/other.test.js", _NODE_HEAD + 'test("other", () => { assert.ok(true); });\n'),
    nothing={
        "no file": {"lib/add.test.js": None},
        "all skipped": {"lib/add.test.js": _NODE_HEAD + 'test("adds", { skip: true }, () => {});\n'},
    },
    hides={"pattern": {"package.json": package("node --test --test-name-pattern keeps")}},
    fails_after={"script": {"package.json": package("node --test && node check.js"), **_CHECK}},
)

VITEST = Kit(
    runner="vitest",
    tools=Tools(npm=("vitest@4",), programs=("node",)),
    files={"package.json": package("vitest run", "vitest", type="module")},
    source=_MODULE,
    test_path="lib/add.test.js",
    head='import { test, expect } from "vitest";\nimport { add } from "./add.js";\n',
    test='test("@name@", async () => { @body@; });\n',
    bodies=_bodies("expect(ONE).toBe(TWO)"),
    other=(
        "elsewhere/other.test.js",
        'import { test, expect } from "vitest";\ntest("other", () => { expect(1).toBe(1); });\n',
    ),
    nothing={
        "no tests": {"lib/add.test.js": "export {};\n"},
        "allowed": {
            "lib/add.test.js": None,
            "package.json": package("vitest run --passWithNoTests", "vitest", type="module"),
        },
    },
    hides={
        "pattern": {"package.json": package("vitest run -t keeps", "vitest", type="module")},
        "config": {"vitest.config.js": 'export default { test: { testNamePattern: "keeps" } };\n'},
    },
    fails_after={
        "script": {"package.json": package("vitest run && node check.cjs", "vitest", type="module"), **_CHECK},
        "rejection": {
            "lib/late.test.js": 'import { test } from "vitest";\n'
            'test("late", async () => { setTimeout(() => { Promise.reject(new Error("late")); }, 5);\n'
            "  await new Promise((done) => setTimeout(done, 50)); });\n"
        },
    },
    hang_s=10,
)

JEST = Kit(
    runner="jest",
    tools=Tools(npm=("jest@30",), programs=("node",)),
    files={"package.json": package("jest", "jest")},
    source=_SOURCE,
    test_path="lib/add.test.js",
    head='const { add } = require("./add.js");\n',
    test='test("@name@", () => { @body@; });\n',
    bodies=_bodies("expect(ONE).toBe(TWO)"),
    other=("elsewhere/other.test.js", 'test("other", () => { expect(1).toBe(1); });\n'),
    nothing={
        "no tests": {},
        "allowed": {"lib/add.test.js": None, "package.json": package("jest --passWithNoTests", "jest")},
        "all skipped": {"lib/add.test.js": 'test.skip("adds", () => {});\n'},
    },
    hides={"pattern": {"package.json": package("jest -t keeps", "jest")}},
    fails_after={
        "script": {"package.json": package("jest && node check.js", "jest"), **_CHECK},
        "coverage": {
            "package.json": package(
                "jest --coverage", "jest", jest={"coverageThreshold": {"global": {"lines": 100}}}
            ),
            "lib/more.js": "exports.more = (a) => {\n  if (a) {\n    return 1;\n  }\n  return 2;\n};\n",
            "lib/more.test.js": 'require("./more.js");\ntest("more", () => {});\n',
        },
        "teardown": {
            "package.json": package("jest", "jest", jest={"globalTeardown": "./teardown.js"}),
            "teardown.js": 'module.exports = async () => { throw new Error("teardown"); };\n',
        },
    },
    hang_s=10,
)  # fmt: skip

MOCHA = Kit(
    runner="mocha",
    tools=Tools(npm=("mocha@11",), programs=("node",)),
    files={"package.json": package("mocha --recursive", "mocha")},
    source=_SOURCE,
    test_path="test/add.spec.js",
    head='const assert = require("node:assert");\nconst { add } = require("../lib/add.js");\n',
    test='it("@name@", () => { @body@; });\n',
    bodies=_bodies("assert.equal(ONE, TWO)"),
    other=("test/elsewhere/other.spec.js", 'it("other", () => {});\n'),
    nothing={
        "no tests": {},
        "all skipped": {"test/add.spec.js": 'it.skip("adds", () => {});\n'},
    },
    hides={
        "grep": {".mocharc.json": '{"grep": "keeps"}\n'},
        "script": {"package.json": package("mocha -g keeps", "mocha")},
    },
    fails_after={
        "script": {"package.json": package("mocha && node check.js", "mocha"), **_CHECK},
        "hook": {
            ".mocharc.json": '{"require": ["./hooks.js"]}\n',
            "hooks.js": 'exports.mochaHooks = { afterAll() { throw new Error("hook"); } };\n',
        },
    },
)

AVA = Kit(
    runner="ava",
    tools=Tools(npm=("ava@6",), programs=("node",)),
    files={"package.json": package("ava", "ava", type="module")},
    source=_MODULE,
    test_path="test/add.js",
    head='import test from "ava";\nimport { add } from "../lib/add.js";\n',
    test='test("@name@", (t) => { @body@; });\n',
    bodies=_only_exit_code("t.is(ONE, TWO)"),
    nothing={
        "no tests": {},
        "all skipped": {"test/add.js": 'import test from "ava";\ntest.skip("a", (t) => t.pass());\n'},
    },
    fails_after={"script": {"package.json": package("ava && node check.cjs", "ava", type="module"), **_CHECK}},
    hang_s=6,
    counts=False,
)

TAP = Kit(
    runner="tap",
    tools=Tools(npm=("tap@21",), programs=("node",)),
    files={"package.json": package("tap --disable-coverage", "tap", type="module")},
    source=_MODULE,
    test_path="test/add.js",
    head='import t from "tap";\nimport { add } from "../lib/add.js";\n',
    test='t.test("@name@", async (t) => { @body@; });\n',
    bodies=_only_exit_code("t.equal(ONE, TWO)"),
    nothing={"no file": {"test/add.js": None}},
    fails_after={
        "script": {"package.json": package("tap --disable-coverage && node check.cjs", "tap", type="module"), **_CHECK}
    },
    hang_s=15,
    counts=False,
)

UVU = Kit(
    runner="uvu",
    tools=Tools(npm=("uvu@0.5",), programs=("node",)),
    files={"package.json": package("uvu tests", "uvu")},
    source=_SOURCE,
    test_path="tests/add.js",
    head='const { test } = require("uvu");\nconst assert = require("uvu/assert");\n'
    'const { add } = require("../lib/add.js");\n',
    test='test("@name@", () => { @body@; });\n',
    foot="test.run();\n",
    bodies=_only_exit_code("assert.is(ONE, TWO)"),
    nothing={
        "no tests": {},
        "run forgotten": {
            "tests/add.js": 'const { test } = require("uvu");\ntest("adds", () => { throw new Error("red"); });\n'
        },
    },
    fails_after={"script": {"package.json": package("uvu tests && node check.js", "uvu"), **_CHECK}},
    counts=False,
)

BUN = Kit(
    runner="bun",
    tools=Tools(npm=("bun@1",), programs=("bun",)),
    files={
        "package.json": package("bun test"),
        "bun.lock": '{"lockfileVersion": 1, "workspaces": {"": {"name": ""}}}\n',
    },
    source=_MODULE,
    test_path="lib/add.test.js",
    head='import { test, expect } from "bun:test";\nimport { add } from "./add.js";\n',
    test='test("@name@", () => { @body@; });\n',
    bodies=_bodies("expect(ONE).toBe(TWO)"),
    other=(
        "elsewhere/other.test.js",
        'import { test, expect } from "bun:test";\ntest("other", () => { expect(1).toBe(1); });\n',
    ),
    nothing={
        "no file": {"lib/add.test.js": None},
        "all skipped": {"lib/add.test.js": 'import { test } from "bun:test";\ntest.skip("adds", () => {});\n'},
    },
    hides={"pattern": {"package.json": package("bun test -t keeps")}},
    fails_after={"script": {"package.json": package("bun test && bun check.cjs"), **_CHECK}},
)

DENO = Kit(
    runner="deno",
    tools=Tools(npm=("deno@2",), programs=("deno",)),
    files={"deno.json": "{}\n"},
    source=_MODULE,
    test_path="lib/add_test.js",
    head='import { add } from "./add.js";\nfunction same(a, b) { if (a !== b) throw new Error(`${a} is not ${b}`); }\n',
    test='Deno.test("@name@", () => { @body@; });\n',
    bodies=_bodies("same(ONE, TWO)", quits="Deno.exit(0)", crashes='Deno.kill(Deno.pid, "SIGKILL")'),
    other=("elsewhere/other_test.js", 'Deno.test("other", () => {});\n'),
    nothing={
        "no file": {"lib/add_test.js": None},
        "all ignored": {"lib/add_test.js": 'Deno.test.ignore("adds", () => {});\n'},
    },
    hides={"exclude": {"deno.json": '{"test": {"exclude": ["lib/red_test.js"]}}\n'}},
)

PLAYWRIGHT = Kit(
    runner="playwright",
    tools=Tools(npm=("@playwright/test@1",), programs=("node",)),
    files={
        "package.json": package("playwright test", "@playwright/test"),
        "playwright.config.js": "module.exports = {};\n",
    },
    source=_SOURCE,
    test_path="tests/add.spec.js",
    head='const { test, expect } = require("@playwright/test");\nconst { add } = require("../lib/add.js");\n',
    test='test("@name@", () => { @body@; });\n',
    bodies=_bodies("expect(ONE).toBe(TWO)"),
    nothing={"no tests": {}},
    hides={"grep": {"playwright.config.js": "module.exports = { grep: /keeps/ };\n"}},
    fails_after={
        "script": {"package.json": package("playwright test && node check.js", "@playwright/test"), **_CHECK},
        "teardown": {
            "playwright.config.js": 'module.exports = { globalTeardown: "./teardown.js" };\n',
            "teardown.js": 'module.exports = async () => { throw new Error("teardown"); };\n',
        },
    },
    hang_s=12,
)

_ONCE = """let runs = 0;
{test}("flaky", () => {{ runs += 1; if (runs < 2) throw new Error("flaky"); }});
"""


def _reruns(kit: Kit, files: Mapping[str, str], more: str) -> Cell:
    """A test that fails the first time, in a project that repeats what fails."""
    text = kit.written("adds") + more
    project = {**kit.project("-"), **files, kit.test_path: text}
    right = Right(True, ("passed",), 2, 0, says=("flaky",))
    return Cell(kit.runner, "reruns", project, (Edit(kit.at("+")), RUN), right, kit.tools)


def _scripts(kit: Kit, script: str, *packages: str, **more: Any) -> Cell:
    """A chain of the project's own of which the first part fails (S3)."""
    files = {**kit.project("-", "adds"), "package.json": package(script, *packages, **more), **_CHECK}
    return Cell(kit.runner, "exit 1", files, (Edit(kit.at("+")), RUN), Right(False, NOT_GREEN), kit.tools, "chain")


# The worker of a test that failed is started anew, so that the count of its runs has to be asked for.
_ONCE_RETRIED = 'test("flaky", ({}, info) => { expect(info.retry).toBe(1); });\n'
_SNAPSHOT = 'test("snap", () => { expect({ a: 1 }).toMatchSnapshot(); });\n'
_SUITE_HOOK = (
    'import { test, afterAll } from "vitest";\nafterAll(() => { throw new Error("hook"); });\ntest("a", () => {});\n'
)


def _extra(kit: Kit, trap: str, variant: str, files: Mapping[str, str], *, passed: int) -> Cell:
    """A project that is green with these files too."""
    project = {**kit.project("-", "adds"), **files}
    return Cell(
        kit.runner, trap, project, (Edit(kit.at("+")), RUN), Right(True, ("passed",), passed), kit.tools, variant
    )


def _red(kit: Kit, variant: str, files: Mapping[str, str]) -> Cell:
    """A project that these files make red, whatever its tests say."""
    project = {**kit.project("-", "adds", "fails"), **files}
    return Cell(kit.runner, "red", project, (Edit(kit.at("+")), RUN), Right(False, NOT_GREEN), kit.tools, variant)


KITS = (NODE, VITEST, JEST, MOCHA, AVA, TAP, UVU, BUN, DENO, PLAYWRIGHT)
CELLS = [
    *(cell for kit in KITS for cell in cells_of(kit)),
    _reruns(VITEST, {"vitest.config.js": "export default { test: { retry: 2 } };\n"}, _ONCE.format(test="test")),
    _reruns(JEST, {}, "jest.retryTimes(2);\n" + _ONCE.format(test="test")),
    _reruns(MOCHA, {".mocharc.json": '{"retries": 2}\n'}, _ONCE.format(test="it")),
    _scripts(NODE, "node check.js && node --test"),
    _scripts(JEST, "node check.js && jest", "jest"),
    _scripts(MOCHA, "mocha && node check.js && mocha", "mocha"),
    Cell(
        NODE.runner,
        "exit 0",
        {**NODE.project("-", "quits", "fails"), "lib/b.test.js": _NODE_HEAD + 'test("b", () => {});\n'},
        (Edit(NODE.at("+")), RUN),
        Right(False, NOT_GREEN),
        NODE.tools,
        "beside a green file",
    ),
    _reruns(PLAYWRIGHT, {"playwright.config.js": "module.exports = { retries: 2 };\n"}, _ONCE_RETRIED),
    _extra(NODE, "green", "assertions alone", {"lib/plain.test.js": "require('node:assert').equal(1, 1);\n"}, passed=2),
    _extra(JEST, "green", "new snapshot", {"lib/snap.test.js": _SNAPSHOT}, passed=2),
    _extra(BUN, "green", "only failures shown", {"bunfig.toml": "[test]\nonlyFailures = true\n"}, passed=1),
    _red(JEST, "bail", {"package.json": package("jest", "jest", jest={"bail": True})}),
    _red(VITEST, "suite hook", {"lib/hook.test.js": _SUITE_HOOK}),
    _red(DENO, "only", {"lib/only_test.js": 'Deno.test.only("only", () => {});\n'}),
]
