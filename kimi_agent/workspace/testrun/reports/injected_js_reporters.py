"""JavaScript reporters for node and mocha: a JSON line as each test begins and ends.

So a killed run reports too. The runners' own reports come at the end only, and neither node's nor mocha's
name the files that ids are made of.
"""

import json
from collections.abc import Mapping
from pathlib import Path

NODE_REPORTER_FILE, MOCHA_REPORTER_FILE = "reporter.mjs", "reporter.cjs"

_NODE = """\
import path from "node:path";

const say = (line) => JSON.stringify(line) + "\\n";
const text = (value) => (typeof value === "string" ? value : String(value ?? "")).slice(0, 20000);

export default async function* (source) {
  const titles = [];
  const printed = new Map();
  for await (const { type, data } of source) {
    if (type === "test:dequeue") yield say({ kind: "begin", file: data.file, titles: [data.name] });
    if (type === "test:complete") yield say({ kind: "over", file: data.file, titles: [data.name] });
    if (type === "test:stderr") printed.set(data.file, ((printed.get(data.file) ?? "") + data.message).slice(-8000));
    if (type === "test:start") {
      titles.length = data.nesting;
      titles[data.nesting] = data.name;
    }
    if (type !== "test:pass" && type !== "test:fail") continue;
    const error = data.details?.error;
    const whole = data.nesting === 0 && data.file && path.resolve(data.name) === data.file;
    if (error?.failureType === "subtestsFailed" || ((whole || data.details?.type === "suite") && type === "test:pass"))
      continue;
    let outcome = error?.failureType === "testCodeFailure" && !whole ? "failed" : "error";
    if (type === "test:pass") outcome = "passed";
    if ((data.skip ?? data.todo) !== undefined) outcome = "skipped";
    const cause = error?.cause ?? error;
    const reason = data.skip ?? data.todo;
    yield say({
      kind: "end",
      file: data.file,
      line: data.line,
      titles: whole ? [] : [...titles.slice(0, data.nesting), data.name],
      outcome,
      message: text(outcome === "skipped" ? (reason === true ? "" : reason) : cause?.message ?? cause),
      stack: text(whole ? printed.get(data.file) : cause?.stack),
    });
  }
  yield say({ kind: "done" });
}
"""

_MOCHA = """\
"use strict";
const fs = require("fs");

const REPORT = %s;
const text = (value) => (typeof value === "string" ? value : String(value ?? "")).slice(0, 20000);

module.exports = function Reporter(runner) {
  const out = fs.openSync(REPORT, "w");
  const say = (line) => fs.writeSync(out, JSON.stringify(line) + "\\n");
  const titles = (test) => {
    // In parallel mode a test is a copy without its parents, but with its titles.
    if (typeof test.titlePath === "function") return test.titlePath();
    const found = [];
    for (let each = test; each; each = each.parent) if (each.title) found.unshift(each.title);
    return found;
  };
  const file = (test) => {
    for (let each = test; each; each = each.parent) if (each.file) return each.file;
  };
  const end = (test, outcome, error) => {
    // A hook's failure is told of its suite, whose tests did not run: that name is there again when all is well.
    const hook = test.type === "hook";
    say({
      kind: "end",
      file: file(test),
      titles: hook ? titles(test).slice(0, -1) : titles(test),
      outcome: hook ? "error" : outcome,
      message: text(error && (error.message ?? error)),
      stack: (hook ? `${test.title}: ` : "") + text(error && (error.stack ?? error)),
    });
    const mark = { passed: "ok", skipped: "skipped" }[outcome] ?? "FAILED";
    console.log(`${mark}  ${titles(test).join(" > ")}`);
    if (error) console.log(text(error.stack ?? error).replace(/^/gm, "    "));
  };
  runner.on("test", (test) => say({ kind: "begin", file: file(test), titles: titles(test) }));
  runner.on("pass", (test) => end(test, "passed"));
  runner.on("pending", (test) => end(test, "skipped"));
  runner.on("fail", (test, error) => end(test, "failed", error));
  runner.on("end", () => say({ kind: "done" }));
};
"""


def node_reporter() -> Mapping[str, str]:
    """The file for `--test-reporter`; it writes to the destination of its own option."""
    return {NODE_REPORTER_FILE: _NODE}


def mocha_reporter(report: Path) -> Mapping[str, str]:
    """The file for mocha's `--reporter`; it writes to `report`."""
    return {MOCHA_REPORTER_FILE: _MOCHA % json.dumps(str(report))}
