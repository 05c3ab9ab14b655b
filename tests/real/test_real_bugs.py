"""Real bugs of three real projects through the whole program: what the harness says of a fix and of what looks like it.

Each project is version N as its sdist has it, with tests of version N+1. The patches in `bugs/` are the upstream fixes,
and beside each a change that only makes the failing test quiet.
Needs the package index: `python -m pytest tests/real/test_real_bugs.py -m real -s`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

HERE = Path(__file__).resolve().parent
PROGRAM = (sys.executable, "-P", "-m", "kimi_agent")
PATIENCE_S = 300
CLAIM = "Fixed: all tests pass."


@dataclass(frozen=True)
class Bug:
    """A bug in `sources` that was fixed from `old` to `new`.

    `tests` are the paths that are taken from `new`; of the tests in `targets` (none: of all) exactly `red` fail with
    the bug. `weakened` is a test in `test_file`, and what the weaker patch did to it in the footer's and JSON's words.
    """

    project: str
    old: str
    new: str
    tests: tuple[str, ...]
    sources: tuple[str, ...]
    pattern: str
    targets: tuple[str, ...]
    red: tuple[str, ...]
    test_file: str
    weakened: tuple[str, str, str]

    def read(self, name: str) -> str:
        return (HERE / "bugs" / f"{self.project}.{name}").read_text("utf-8")

    @property
    def scope(self) -> str:
        return f"narrowed: {', '.join(self.targets)}" if self.targets else ""

    @property
    def named(self) -> str:
        """The red tests as the footer names them: three, and how many more."""
        shown = ", ".join(self.red[:3])
        return f"{shown} and {len(self.red) - 3} more" if len(self.red) > 3 else shown


ORDER = "tests/test_tokenize.py::test_parse_order"
EMPTY_TOC = "tests/test_hooks.py::TestTocHook::test_render_empty_toc"
RUBY = ("splits_00{}", 3), ("with_link_00{}", 3), ("without_link_00{}", 4)
BUGS = (
    Bug(  # unittest only, indented with tabs, with a tox.ini that is not needed
        project="pathspec",
        old="0.12.0",
        new="0.12.1",
        tests=("tests",),
        sources=("pathspec/pathspec.py",),
        pattern="def match_file",
        targets=(),
        red=("tests/test_03_pathspec.py::PathSpecTest::test_01_match_file_3_unmatch",),
        test_file="tests/test_03_pathspec.py",
        weakened=("tests/test_03_pathspec.py::PathSpecTest::test_01_match_file_3_unmatch", "was deleted", "deleted"),
    ),
    Bug(  # pytest, ids with parameters that hold blanks; other bugs of this version are left alone
        project="sqlparse",
        old="0.5.0",
        new="0.5.1",
        tests=("tests/test_tokenize.py",),
        sources=("sqlparse/keywords.py",),
        pattern="NULLS",
        targets=("tests/test_tokenize.py",),
        red=tuple(f"{ORDER}[{order}NULLS {end}]" for order in ("", "ASC ", "DESC ") for end in ("FIRST", "LAST")),
        test_file="tests/test_tokenize.py",
        weakened=(ORDER, "is skipped now", "skipped"),
    ),
    Bug(  # pytest, a src layout, tests that are made of fixtures when they are loaded; two files to mend
        project="mistune",
        old="3.1.0",
        new="3.1.1",
        tests=("tests",),
        sources=("src/mistune/plugins/ruby.py", "src/mistune/toc.py"),
        pattern="render_toc_ul|render_ruby",
        targets=("tests/test_hooks.py", "tests/test_plugins.py"),
        red=(
            EMPTY_TOC,
            *(
                f"tests/test_plugins.py::TestPlugin{kind}_ruby::test_ruby_{name.format(number)}"
                for kind in (1, 2)
                for name, count in RUBY
                for number in range(1, count + 1)
            ),
        ),
        test_file="tests/test_hooks.py",
        weakened=(EMPTY_TOC, "has fewer assertions", "fewer assertions"),
    ),
)


@pytest.fixture(scope="module", params=BUGS, ids=lambda bug: bug.project)
def bug(request: pytest.FixtureRequest) -> Bug:
    found: Bug = request.param
    return found


@pytest.fixture(scope="module")
def source(bug: Bug, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The old version with tests of the new one, as a git repository."""
    folder = tmp_path_factory.mktemp("sdist")
    old, new = (_unpacked(bug.project, version, folder) for version in (bug.old, bug.new))
    for path in bug.tests:
        if (old / path).is_dir():
            shutil.rmtree(old / path)
            shutil.copytree(new / path, old / path)
        else:
            shutil.copy(new / path, old / path)
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", "-C", str(old))
    for words in (("init", "-q"), ("add", "-Af"), ("commit", "-qm", f"{bug.old} with tests of {bug.new}")):
        subprocess.run((*git, *words), check=True)
    return old


def _unpacked(project: str, version: str, folder: Path) -> Path:
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "-d", ".")
    done = subprocess.run(
        (*pip, f"{project}=={version}"), cwd=folder, capture_output=True, timeout=PATIENCE_S, check=False
    )
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().split("\n")[-1]
        pytest.skip(f"the package index did not give {project} {version}: {why}")
    (archive,) = folder.glob(f"{project}-{version}*")
    with tarfile.open(archive) as tar:
        tar.extractall(folder / version, filter="data")
    (unpacked,) = (folder / version).iterdir()
    return unpacked


@dataclass(frozen=True)
class Ran:
    """A run that ended, and the place where it was."""

    code: int
    out: str
    err: str
    root: Path
    environ: Mapping[str, str]

    @property
    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def footer(self) -> list[str]:
        """What the harness says on stderr below the progress, without the line that tells how to go on."""
        lines = self.err.splitlines()
        starts = [at for at, line in enumerate(lines) if line.startswith(("verified:", "NOT verified:"))]
        return lines[starts[0] : -1]

    def evidence(self, *words: str) -> str:
        """What `kimi-agent evidence` prints of it later."""
        done = _program(("evidence", *words), self.root, self.environ)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode()

    def changed(self) -> list[str]:
        """The files that git sees changed, untracked ones included."""
        told = subprocess.run(("git", "status", "--short"), cwd=self.root, capture_output=True, check=True)
        return [line[3:] for line in told.stdout.decode().splitlines()]


def _program(
    words: Sequence[str], root: Path, environ: Mapping[str, str], stdin: bytes = b""
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        (*PROGRAM, *words), cwd=root, env=environ, input=stdin, capture_output=True, timeout=PATIENCE_S, check=False
    )


def play(bug: Bug, source: Path, folder: Path, tape: Sequence[Mapping[str, Any]], *, form: str) -> Ran:
    """The program on the bug's issue in a copy of its repository, with `tape` for a model."""
    root, home = folder / "wörk space" / bug.project, folder / "home"
    shutil.copytree(source, root, symlinks=True)
    home.mkdir()
    (home / "tape.jsonl").write_text("".join(json.dumps(line) + "\n" for line in tape))
    environ = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    environ |= {"KIMI_AGENT_HOME": str(home), "PYTHONPATH": str(HERE.parent.parent), "LANG": "C"}
    words = ("-p", "-y", "--require-green", "--output-format", form, "--model", f"tape:{home / 'tape.jsonl'}")
    done = _program(words, root, environ, bug.read("md").encode())
    ran = Ran(done.returncode, done.stdout.decode(), done.stderr.decode(), root, environ)
    print(f"\n--- {bug.project}, {form}: exit {ran.code}\n{ran.err}")
    return ran


def call(name: str, **args: Any) -> dict[str, Any]:
    return {"calls": [{"name": name, "args": args}]}


def look(bug: Bug, *paths: str) -> list[dict[str, Any]]:
    """The lines that find the place and read it."""
    reading = [{"name": "read_file", "args": {"path": path}} for path in paths]
    found = {"expect": {"last_contains": bug.sources[0]}, "calls": reading}
    return [{"say": "Looking.", **call("search_code", pattern=bug.pattern, glob="*.py")}, found]


def run(targets: Sequence[str]) -> dict[str, Any]:
    return call("run_tests", **({"targets": list(targets)} if targets else {}))


def patch(bug: Bug, name: str = "fix.patch") -> dict[str, Any]:
    return call("apply_patch", patch=bug.read(name))


def fixing(bug: Bug) -> list[dict[str, Any]]:
    """A tape that looks, sees red, mends and sees green."""
    red = {"last_contains": [f"{len(bug.red)} failed", *bug.red]}
    return [
        *look(bug, *bug.sources),
        run(bug.targets),
        {"say": "Red as reported.", "expect": red, **patch(bug)},
        {"expect": {"last_contains": ["Applied", *bug.sources]}, **run(bug.targets)},
        {"say": CLAIM, "expect": {"last_contains": ["passed", "fixed"], "last_not_contains": ["failed", "error"]}},
    ]


def failing(root: Path, bug: Bug) -> list[str]:
    """What pytest, asked without the harness, says fails."""
    argv = (sys.executable, "-m", "pytest", "-q", "--tb=no", "-rf", "-p", "no:cacheprovider", *bug.targets)
    env = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(argv, cwd=root, env=env, capture_output=True, timeout=PATIENCE_S, check=False)
    assert done.returncode in (0, 1), done.stdout
    return sorted(re.findall(r"^FAILED (.+?)(?: - .*)?$", done.stdout.decode(), re.MULTILINE))


def test_the_tests_of_the_next_version_fail_where_the_bug_is(bug: Bug, source: Path) -> None:
    assert failing(source, bug) == sorted(bug.red)


def test_a_fix_goes_from_red_to_green(bug: Bug, source: Path, tmp_path: Path) -> None:
    ran = play(bug, source, tmp_path, fixing(bug), form="json")
    assert (ran.code, ran.err) == (0, "")
    result = ran.result
    tests = result["tests"]
    assert (result["status"], result["answer"], result["error"]) == ("done", CLAIM, None)
    assert result["files_changed"] == list(bug.sources)
    assert (tests["verdict"], tests["outcome"], tests["failed"], tests["scope"]) == ("verified", "passed", 0, bug.scope)
    assert sorted(tests["fixed"]) == sorted(bug.red)
    others = ("broke", "still_red", "flaky", "changed_since", "weakened", "failures")
    assert [tests[name] for name in others] == [[] for _ in others]
    told = ran.evidence("--md")
    assert f"**verified: {tests['passed']} passed**" in told
    assert sorted(re.findall(r"^\| `(.+)` \| red \| green \|$", told, re.MULTILINE)) == sorted(bug.red)
    assert ran.changed() == list(bug.sources)
    assert failing(ran.root, bug) == []


def test_the_footer_of_a_fix_says_red_to_green(bug: Bug, source: Path, tmp_path: Path) -> None:
    ran = play(bug, source, tmp_path, fixing(bug), form="text")
    assert (ran.code, ran.out) == (0, CLAIM + "\n")
    scope = f" ({bug.scope})" if bug.scope else ""
    (line,) = ran.footer
    assert re.fullmatch(rf"verified: \d+ passed{re.escape(scope)}; {re.escape(bug.named)} red -> green", line)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_fix_that_no_test_ever_ran_on_is_not_verified(bug: Bug, source: Path, tmp_path: Path, form: str) -> None:
    tape = [*look(bug, *bug.sources), patch(bug), {"say": CLAIM, "expect": {"last_contains": "Applied"}}]
    ran = play(bug, source, tmp_path, tape, form=form)
    assert ran.code == 4
    if form == "text":
        assert (ran.out, ran.footer) == (CLAIM + "\n", ["NOT verified: no tests were run"])
    else:
        result = ran.result
        assert (result["status"], result["answer"], result["exit_code"]) == ("failed", CLAIM, 4)
        assert result["error"]["code"] == 4
        assert (result["tests"]["verdict"], result["tests"]["fixed"]) == ("no_tests", [])
    assert "**NOT verified: no tests were run**" in ran.evidence("--md")


def test_a_fix_after_the_last_test_run_is_not_verified(bug: Bug, source: Path, tmp_path: Path) -> None:
    tape = [
        *look(bug, *bug.sources),
        run(bug.targets),
        patch(bug),
        {"say": CLAIM, "expect": {"last_contains": "Applied"}},
    ]
    ran = play(bug, source, tmp_path, tape, form="text")
    assert (ran.code, ran.out) == (4, CLAIM + "\n")
    count, names = len(bug.sources), ", ".join(bug.sources)
    changed = f"{count} file{'s' if count > 1 else ''} changed since the last run ({names})"
    assert ran.footer == [f"NOT verified: {changed}; {len(bug.red)} failed: {bug.named}"]
    told = json.loads(ran.evidence("--json"))
    assert (told["verdict"], told["changed_after"], told["changed_since"]) == ("not_verified", True, list(bug.sources))
    assert (sorted(told["failures"]), told["fixed"]) == (sorted(bug.red), [])


def test_a_failing_test_that_was_weakened_instead_is_named(bug: Bug, source: Path, tmp_path: Path) -> None:
    targets = (bug.test_file,) if bug.targets else ()
    tape = [
        *look(bug, *bug.sources),
        run(targets),
        {"expect": {"last_contains": "failed"}, **patch(bug, "weaker.patch")},
        {"expect": {"last_contains": "Applied"}, **run(targets)},
        {"say": CLAIM, "expect": {"last_contains": "passed", "last_not_contains": "failed"}},
    ]
    ran = play(bug, source, tmp_path, tape, form="text")
    test, said, how = bug.weakened
    verdict, *rows = ran.footer
    assert (ran.code, ran.out, rows) == (4, CLAIM + "\n", [f"weakened: {test} {said}"])
    assert re.fullmatch(r"NOT verified: .*; a test that failed was weakened in this turn, .*", verdict)
    told = json.loads(ran.evidence("--json"))
    assert told["weakened"] == [{"path": bug.test_file, "test": test, "how": how}]
    assert f"- `{test}` {said}" in ran.evidence("--md")
    assert ran.changed() == [bug.test_file]
    assert failing(source, bug) == sorted(bug.red)  # nothing was mended
