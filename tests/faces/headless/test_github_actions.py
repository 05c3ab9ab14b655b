"""GitHub Actions: annotations that nothing in a test's name can break out of, and a summary that is only appended."""

import os
from pathlib import Path

import pytest

from kimi_agent.faces.headless.github_actions import (
    MAX_SUMMARY_BYTES,
    annotation_lines,
    append_step_summary,
    is_github_actions,
)
from kimi_agent.log.views import Evidence, TestCase, TestReport, Weakened
from tests.golden_texts import Golden


def evidence(*cases: TestCase, weakened: tuple[Weakened, ...] = ()) -> Evidence:
    report = TestReport("failed" if cases else "passed", "pytest", "", "pytest", 1, 1.0, cases)
    return Evidence("not_verified" if cases else "verified", last=report, failed=len(cases), weakened=weakened)


def test_a_failing_test_is_an_error_at_its_line(golden: Golden) -> None:
    case = TestCase("tests/test_a.py::test_x", "failed", "tests/test_a.py:12", "assert 1 == 2", "E 50%\nE done")
    skipped = TestCase("tests/test_a.py::test_s", "skipped", "tests/test_a.py:3")
    golden(*annotation_lines(evidence(case, skipped), folder="sub dir"))


def test_nothing_breaks_out_of_a_command() -> None:
    evil = "a,b:c\r\n::add-mask::x\x1b[31m%0A::error::y\u2028\ud800"
    found = annotation_lines(evidence(TestCase(evil, "error", evil, evil), weakened=(Weakened(evil, evil, "deleted"),)))
    assert len(found) == 3
    for command in found:
        assert command.splitlines() == [command]
        assert "\x1b" not in command
        command.encode()
        properties = command.partition(" ")[2].partition("::")[0]
        assert [part.partition("=")[0] for part in properties.split(",")] in (["file", "title"], ["title"])
        assert "%250A" in command


def test_ten_of_each_at_most(golden: Golden) -> None:
    cases = [TestCase(f"t{number}", "failed", f"t.py:{number}") for number in range(25)]
    weakened = tuple(Weakened("t.py", f"w{number}", "skipped") for number in range(12))
    found = annotation_lines(evidence(*cases, weakened=weakened))
    assert [each.split(" ")[0] for each in found] == ["::error"] * 10 + ["::warning"] * 10
    golden(found[9], found[-1])


def test_what_is_verified_needs_no_words_and_no_tests_is_a_warning(golden: Golden) -> None:
    assert annotation_lines(evidence()) == []
    assert annotation_lines(Evidence("none_needed")) == []
    golden(*annotation_lines(Evidence("no_tests")))
    long = annotation_lines(evidence(TestCase("t", "failed", "", "m" * 100_000)))
    assert len(long[0]) < 5_000


@pytest.mark.parametrize(
    ("environ", "is_active"),
    [
        ({"CI": "true", "GITHUB_ACTIONS": "true"}, True),
        ({"CI": "true"}, False),
        ({"GITHUB_ACTIONS": "true"}, False),
        ({"CI": "false", "GITHUB_ACTIONS": "true"}, False),
    ],
)
def test_only_a_job_of_github_actions_counts(environ: dict[str, str], is_active: bool) -> None:
    assert is_github_actions(environ) is is_active


def test_a_summary_is_appended(tmp_path: Path, golden: Golden) -> None:
    path = tmp_path / "summary.md"
    path.write_text("# before\n")
    assert append_step_summary(str(path), "### Evidence\x1b\n") == ""
    assert path.read_text() == "# before\n\n### Evidence␛\n"
    assert append_step_summary(str(path), "é" * MAX_SUMMARY_BYTES) == ""
    assert path.stat().st_size <= MAX_SUMMARY_BYTES
    golden(path.read_text()[-50:].lstrip("é").strip(), append_step_summary(str(path), "more"))


def test_a_summary_that_is_no_file_is_refused(tmp_path: Path, golden: Golden) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    golden(append_step_summary(os.devnull, "x"))
    for name in ("fifo", "link", "", "missing/file", "a\0b"):
        refusal = append_step_summary(str(tmp_path / name) if name else "", "x")
        assert refusal.startswith("The step's summary ")
        assert refusal.endswith(".")
    assert not (tmp_path / "target").exists()
