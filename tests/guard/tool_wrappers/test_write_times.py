"""Which files of a call were written apart from all else that it did: a table of times."""

import os
from pathlib import Path

import pytest

from kimi_agent.guard.tool_wrappers.write_times import find_apart, read_write_times
from kimi_agent.workspace.checkpoint.snapshot_values import PathChange, TreeEntry

FILE = TreeEntry("file", 0o644, 1, "0" * 40)


@pytest.mark.parametrize(
    ("times", "apart"),
    [
        ({"a": 0.1, "b": 0.9}, []),  # as a script begins
        ({"a": 29.5, "b": 30.0}, []),  # as a build ends
        ({f"{at:03}": at / 10 for at in range(5, 300, 3)}, []),  # a formatter, file after file
        ({"a": 0.2, "mine": 15.0, "z": 29.9}, ["mine"]),
        ({"mine": 1.2}, ["mine"]),
        ({"a": 0.9, "b": 1.3, "mine": 1.9}, ["mine"]),
        ({"mine": 4.0, "yours": 4.1, "theirs": 20.0}, ["mine", "theirs", "yours"]),
        ({"before": -1.0, "after": 30.5, "gone": float("inf")}, ["after", "before", "gone"]),
        ({"a": -0.01, "b": 30.01}, []),
    ],
)
def test_what_was_written_apart(times: dict[str, float], apart: list[str]) -> None:
    assert list(find_apart(times, 0.0, 30.0)) == apart


def test_nothing_is_apart_in_a_call_as_short_as_its_ends() -> None:
    assert find_apart({f"{at}": at / 10 for at in range(0, 20, 7)}, 0.0, 2.0) == ()


def test_the_time_of_what_is_gone_is_that_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a").write_text("a")
    os.utime(tmp_path / "d/a", (5, 5))
    os.utime(tmp_path / "d", (7, 7))
    changes = [PathChange("d/a", None, FILE), PathChange("d/e/b", FILE, None), PathChange("d/c", None, FILE)]
    times = read_write_times(tmp_path, changes)
    assert times["d/a"] == (tmp_path / "d/a").stat().st_ctime, "and not what a program may set"
    assert (times["d/e/b"], times["d/c"]) == (7, float("inf"))
