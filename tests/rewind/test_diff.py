"""What changed over a turn, a session, or since the tests were green, on real snapshots."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kimi_agent.errors import UserError
from kimi_agent.log.events import Checkpoint, Event, Returned, Said, Stamped, TurnEnded
from kimi_agent.log.messages import user_message
from kimi_agent.log.views import Result, TestReport
from kimi_agent.rewind.session_diff import DiffScope, draw_changes, parse_diff_scope
from kimi_agent.workspace.checkpoint import Checkpoints
from tests.golden_texts import Golden


class Story:
    """A log that grows while files change."""

    def __init__(self, workspace: Path, store: Path) -> None:
        self.workspace = workspace
        self.checkpoints = Checkpoints(workspace, store, environ=os.environ)
        self.events: list[Event] = []

    def turn(self, *calls: Callable[[], object], report: TestReport | None = None) -> None:
        self.events.append(Said(user_message("go")))
        answer = len(self.events)
        for index, call in enumerate(calls):
            self.events.append(Checkpoint(self.checkpoints.take().tree, "before", answer, index))
            call()
            self.events.append(Checkpoint(self.checkpoints.take().tree, "after", answer, index))
            self.events.append(Returned(answer, index, Result("ok", report)))
        self.events.append(TurnEnded("done", 1))

    def write(self, path: str, text: str) -> Callable[[], object]:
        return lambda: (self.workspace / path).write_text(text)

    def of(self, scope: str) -> dict[str, str]:
        log = [Stamped("main", seq, 0.0, event) for seq, event in enumerate(self.events, 1)]
        found = draw_changes(log, self.checkpoints, parse_diff_scope(scope))
        return {file.path: f"{file.change}+{file.added}-{file.removed}" for file in found}


@pytest.fixture
def story(workspace: Path, tmp_path: Path) -> Iterator[Story]:
    made = Story(workspace, tmp_path / "kept")
    yield made
    made.checkpoints.close()


def test_a_turn_a_session_and_since_green(story: Story) -> None:
    (story.workspace / "old").write_text("1\n")
    story.turn(story.write("a", "1\n"), story.write("a", "2\n"))
    (story.workspace / "mine").write_text("by hand\n")
    story.turn(story.write("old", "2\n"), report=TestReport("passed", "pytest", "", "pytest", 0, 0.1))
    story.turn(story.write("b", "1\n"), lambda: (story.workspace / "a").unlink())
    (story.workspace / "old").write_text("2\n3\n")
    assert story.of("turn 1") == {"a": "A+1-0"}
    assert story.of("2") == {"old": "M+1-1"}
    assert story.of("turn") == {"a": "D+0-1", "b": "A+1-0"}
    assert story.of("session") == {"b": "A+1-0", "old": "M+2-1"}
    assert story.of("since-green") == {"a": "D+0-1", "b": "A+1-0", "old": "M+1-0"}


def test_what_is_not_there_is_said(story: Story, golden: Golden) -> None:
    said = []
    with pytest.raises(UserError) as caught:
        story.of("turn")
    said.append(str(caught.value))
    story.turn()
    for scope in ("turn 2", "since-green"):
        with pytest.raises(UserError) as caught:
            story.of(scope)
        said.append(str(caught.value))
    assert story.of("turn 1") == story.of("") == {}
    golden(*said)


def test_a_big_or_binary_file_is_named(story: Story) -> None:
    story.turn(
        lambda: (story.workspace / "big").write_bytes(b"x\n" * 1_500_000),
        lambda: (story.workspace / "bin").write_bytes(b"\0\1\2"),
    )
    assert story.of("session") == {"big": "A+0-0", "bin": "A+0-0"}


def test_a_scope_is_read(golden: Golden) -> None:
    assert [parse_diff_scope(text) for text in ("", "session", " turn  3", "12", "turn", "since-green")] == [
        *[DiffScope("session")] * 2,
        *(DiffScope("turn", 3), DiffScope("turn", 12), DiffScope("turn"), DiffScope("since-green")),
    ]  # fmt: skip
    with pytest.raises(UserError) as caught:
        parse_diff_scope("yesterday")
    golden(str(caught.value))


def test_what_no_line_tells_is_told_in_words(story: Story, golden: Golden) -> None:
    (story.workspace / "run.sh").write_text("true\n")
    (story.workspace / "run.sh").chmod(0o644)
    (story.workspace / "data").write_bytes(b"\0\1")
    story.turn(
        lambda: (story.workspace / "run.sh").chmod(0o755),
        lambda: (story.workspace / "data").write_bytes(b"\0\1\2"),
        lambda: (story.workspace / "nothing").touch(),
    )
    log = [Stamped("main", seq, 0.0, event) for seq, event in enumerate(story.events, 1)]
    found = {file.path: file.diff for file in draw_changes(log, story.checkpoints, DiffScope("turn"))}
    golden(*(f"{path}: {diff}" for path, diff in sorted(found.items())))


def test_a_session_shows_what_somebody_else_did_to_the_same_files_between_and_after_our_calls(story: Story) -> None:
    story.turn(story.write("ours", "1\n"), story.write("gone", "1\n"))
    (story.workspace / "ours").write_text("1\n2\n")
    story.turn(story.write("other", "1\n"))
    (story.workspace / "gone").unlink()
    (story.workspace / "mine").write_text("by hand\n")
    assert story.of("session") == {"other": "A+1-0", "ours": "A+2-0"}
