"""JavaScript reporters for node, mocha and Playwright Test: a JSON line as each test begins and ends.

So a killed run reports too. The runners' own reports come at the end only, and not all of them
name the files that ids are made of.
"""

import json
from collections.abc import Mapping
from pathlib import Path

NODE_REPORTER_FILE = "reporter.mjs"

_NODE = """\
import path from "node:path";

const say = (line) => JSON.stringify(line) + "\\n";
const text = (value) => (typeof value === "string" ? value : String(value ?? "")).slice(0, 20000);
const FILTER = /^--test-(?:only|name-pattern|skip-pattern|shard)/;

export default async function* (source) {
  const titles = [];
  const printed = new Map();
  const notes = new Map(); // errors outside of tests; before node 22 they name no file
  const note = (file, line) => notes.set(file, [...(notes.get(file) ?? []), line]);
  const absolute = (file) => (file === undefined ? undefined : path.resolve(file));
  let announced, summed = false, ended = 0;
  for await (const { type, data } of source) {
    const file = absolute(data.file);
    const whole = data.nesting === 0 && file !== undefined && path.resolve(data.name ?? "") === file;
    const named = { file, titles: whole ? [] : [data.name] };
    if (type === "test:enqueue") yield say({ kind: "queued", ...named });
    if (type === "test:dequeue") yield say({ kind: "begin", ...named });
    if (type === "test:complete") yield say({ kind: "over", ...named });
    if (type === "test:stderr") printed.set(file, ((printed.get(file) ?? "") + data.message).slice(-8000));
    if (type === "test:diagnostic" && data.nesting === 0) {
      const count = /^tests (\\d+)$/.exec(data.message);
      if (count) announced = Number(count[1]);
      if (data.level === "error" || /^Error: /.test(data.message)) note(file, data.message);
    }
    if (type === "test:summary" && file === undefined) summed = true;
    if (type === "test:summary" && file !== undefined) yield say({ kind: "summary", file });
    if (type === "test:start") {
      titles.length = data.nesting;
      titles[data.nesting] = data.name;
    }
    if (type !== "test:pass" && type !== "test:fail") continue;
    const suite = data.details?.type === "suite";
    if (!suite) ended += 1;
    const error = data.details?.error;
    if (error?.failureType === "subtestsFailed" || (suite && type === "test:pass")) continue;
    let outcome = error?.failureType === "testCodeFailure" && !whole ? "failed" : "error";
    if (type === "test:pass") outcome = "passed";
    if ((data.skip ?? data.todo) !== undefined) outcome = "skipped";
    const cause = error?.cause ?? error;
    const reason = data.skip ?? data.todo;
    const about = (notes.get(file) ?? notes.get(undefined) ?? []).join("\\n");
    yield say({
      kind: "end",
      file,
      line: data.line,
      titles: whole ? [] : [...titles.slice(0, data.nesting), data.name],
      outcome,
      message: text(outcome === "skipped" ? (reason === true ? "" : reason) : cause?.message ?? cause),
      stack: text(whole ? printed.get(file) || about : cause?.stack),
    });
  }
  const given = [...process.execArgv, ...(process.env.NODE_OPTIONS ?? "").split(" ")];
  const filtered = given.some((each) => FILTER.test(each));
  yield say({ kind: "done", announced, ended, summed, filtered, errors: [...notes.values()].flat() });
}
"""

_MOCHA = """\
"use strict";
const fs = require("fs");

const REPORT = %s;
const text = (value) => (typeof value === "string" ? value : String(value ?? "")).slice(0, 20000);

module.exports = function Reporter(runner, options) {
  const out = fs.openSync(REPORT, "w");
  const say = (line) => fs.writeSync(out, JSON.stringify(line) + "\\n");
  let announced, ended = 0;
  const titles = (test) => {
    // In parallel mode a test is a copy without its parents, but with its titles.
    if (typeof test.titlePath === "function") return test.titlePath();
    const found = [];
    for (let each = test; each; each = each.parent) if (each.title) found.unshift(each.title);
    return found;
  };
  const file = (test) => {
    for (let each = test; each; each = each.parent) if (each.file) return each.file;
    return test.ctx?.currentTest?.file; // of a root hook, which has no file: that of the test it ran for
  };
  const end = (test, outcome, error) => {
    // A hook's failure is told of its suite, whose tests did not run: that name is there again when all is well.
    const hook = test.type === "hook";
    if (!hook) ended += 1;
    say({
      kind: "end",
      file: file(test),
      titles: hook ? titles(test).slice(0, -1) : titles(test),
      outcome: hook ? "error" : outcome,
      failures: typeof test.currentRetry === "function" ? test.currentRetry() : 0,
      message: text(error && (error.message ?? error)),
      stack: (hook ? `${test.title}: ` : "") + text(error && (error.stack ?? error)),
    });
    const mark = { passed: "ok", skipped: "skipped" }[outcome] ?? "FAILED";
    console.log(`${mark}  ${titles(test).join(" > ")}`);
    if (error) console.log(text(error.stack ?? error).replace(/^/gm, "    "));
  };
  runner.on("retry", (test) => say({ kind: "retry", file: file(test), titles: titles(test) }));
  runner.on("start", () => (announced = runner.total));
  runner.on("test", (test) => say({ kind: "begin", file: file(test), titles: titles(test) }));
  runner.on("pass", (test) => end(test, options?.dryRun ? "skipped" : "passed"));
  runner.on("pending", (test) => end(test, "skipped"));
  runner.on("fail", (test, error) => end(test, "failed", error));
  runner.on("end", () => say({ kind: "done", announced, ended }));
};
"""


_PLAYWRIGHT = """\
"use strict";
const fs = require("fs");

const REPORT = %s;
const text = (value) => (typeof value === "string" ? value : String(value ?? "")).slice(0, 20000);

module.exports = class Reporter {
  printsToStdio() {
    return false; // or the one that prints by default would not
  }
  onBegin(config, suite) {
    this.out = fs.openSync(REPORT, "w");
    this.tests = suite.allTests();
    this.errors = [];
  }
  say(line) {
    if (this.out !== undefined) fs.writeSync(this.out, JSON.stringify(line) + "\\n");
  }
  titles(test) {
    const [, project, , ...titles] = test.titlePath();
    return project ? [...titles.slice(0, -1), `${titles.at(-1)} [${project}]`] : titles;
  }
  onTestBegin(test) {
    this.began = true;
    this.say({ kind: "begin", file: test.location.file, titles: this.titles(test) });
  }
  onTestEnd(test, result) {
    this.say({ kind: "over", file: test.location.file, titles: this.titles(test) });
  }
  onError(error) {
    if (this.out === undefined) this.onBegin({}, { allTests: () => [] });
    const file = this.began ? undefined : error.location?.file; // before the first test it could not be loaded
    const [message, stack] = [text(error.message), text(error.stack ?? error.message)];
    if (file) this.say({ kind: "end", file, titles: [], outcome: "error", message, stack });
    else this.errors.push(message || text(error.value));
  }
  onEnd(result) {
    const ended = this.tests.filter((test) => test.results.some((each) => each.status !== "interrupted"));
    for (const test of ended) {
      // Did it end as its marks (fixme, fail, skip) say it should? "flaky": on a retry it did.
      const bad = test.results.flatMap((each) => (each.status === test.expectedStatus ? [] : each.errors));
      const outcome = { expected: "passed", flaky: "passed", skipped: "skipped" }[test.outcome()] ?? "failed";
      this.say({
        kind: "end",
        file: test.location.file,
        line: test.location.line,
        titles: this.titles(test),
        outcome,
        failures: outcome === "passed" ? test.results.length - 1 : 0,
        message: text(bad[0]?.message),
        stack: text(bad[0]?.stack ?? bad[0]?.message ?? `expected to be ${test.expectedStatus}`),
      });
    }
    this.say({ kind: "done", announced: this.tests.length, ended: ended.length, errors: this.errors });
  }
};
"""


def node_reporter() -> Mapping[str, str]:
    """The file for `--test-reporter`; it writes to the destination of its own option."""
    return {NODE_REPORTER_FILE: _NODE}


def mocha_reporter(report: Path) -> Mapping[str, str]:
    """The file for mocha's `--reporter`; it writes to `report`, and stands beside it."""
    return {mocha_reporter_file(report): _MOCHA % json.dumps(str(report))}


def mocha_reporter_file(report: Path) -> str:
    """The name of the reporter's file: each run of mocha in one script has its own."""
    return f"{report.stem}.cjs"


def playwright_reporter(report: Path) -> Mapping[str, str]:
    """The file for PW_TEST_REPORTER of Playwright Test; it writes to `report`, and stands beside it."""
    return {f"{report.stem}-playwright.cjs": _PLAYWRIGHT % json.dumps(str(report))}
