#!/bin/sh
# What Vitest and Jest write for programs is not what their exit codes say.
#
# Seen with node 20.20 and later, vitest 4.1.12 and jest 30.5.2:
#   - an unhandled rejection during a run makes vitest exit with 1, while its JSON report says "success": true and its
#     JUnit report has no failure and no error: nothing in either file tells that the run failed;
#   - jest with `bail` in its configuration that stops before the last test file exits with 1 and writes no JSON report
#     (--outputFile stays absent), so a missing file is no sign that jest did not run.
# Why it matters: a program that judges a run by the report alone calls the first green and the second broken; the exit
# code has to be held against the report, and the runner's text is needed for the second.
#
# Prints "as seen", and ends with 1 where a version behaves differently.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
printf '{"name": "seen", "private": true}' > package.json
npm install --silent --no-audit --no-fund vitest@4.1.12 jest@30.5.2
cat > late.test.mjs <<'JS'
import { test } from "vitest";
test("ok", () => { setTimeout(() => { Promise.reject(new Error("late")); }, 5); });
test("waits", async () => { await new Promise((done) => setTimeout(done, 50)); });
JS
code=0
npx vitest run late.test.mjs --reporter=json --outputFile.json=v.json --reporter=junit --outputFile.junit=v.xml \
  > /dev/null 2>&1 || code=$?
[ "$code" = 1 ] || { echo "vitest ends with $code"; exit 1; }
grep -q '"success":true' v.json || { echo "vitest's JSON says something else"; exit 1; }
grep -q 'tests="2" failures="0" errors="0"' v.xml || { echo "vitest's JUnit report says something else"; exit 1; }
rm late.test.mjs
mkdir bailing
printf 'module.exports = { bail: 1 };' > bailing/jest.config.js
for name in a b c; do
  printf 'test("red", () => { throw new Error("no"); });' > "bailing/$name.test.js"
done
code=0
(cd bailing && npx jest --json --outputFile=report.json > /dev/null 2>&1) || code=$?
[ "$code" = 1 ] || { echo "jest ends with $code"; exit 1; }
[ ! -e bailing/report.json ] || { echo "jest writes its report with bail too"; exit 1; }
echo "as seen"
