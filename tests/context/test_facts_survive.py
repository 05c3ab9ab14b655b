"""The promise: after three compactions everything that was fixed early can be answered from the request alone."""

from pathlib import Path

from kimi_agent.log.events import Answered, Committed, Compacted, Judged, Said, Seen, Shortened
from kimi_agent.log.messages import Assistant
from kimi_agent.log.questions import Decision, Question
from kimi_agent.log.views import (
    DiffView,
    Evidence,
    FileDiff,
    OutputView,
    PlanItem,
    PlanView,
    Result,
    TestCase,
    TestReport,
)
from kimi_agent.model.protocol import Request
from tests.context.windowed_session import SYSTEM, Done, Play, Windowed, assert_valid, content, long_text, read
from tests.golden_texts import Golden

CONSTRAINT = "Fix the flaky pool.\nConstraint: the public API of `pool.py` stays as it is, byte for byte — wirklich.\n"
RED = TestCase("tests/test_pool.py::test_drain", "failed", "tests/test_pool.py:41", "assert 3 == 4")
GREEN = TestCase("tests/test_pool.py::test_fill", "passed")


def report(*cases: TestCase) -> Done:
    verdict = "failed" if any(case.outcome == "failed" for case in cases) else "passed"
    view = TestReport("failed" if verdict == "failed" else "passed", "pytest", "e", "pytest -q tests", 1, 1.0, cases)
    return ("run_tests", {}, Result(f"{verdict}\n" + long_text("trace", 900), view), "execute")


def shell(command: str, exit_code: int, text: str) -> Done:
    return ("shell", {"command": command}, Result(text, OutputView(command, text[-300:], exit_code)), "execute")


def edit(path: str) -> Done:
    return ("edit_file", {"path": path}, Result("edited", DiffView((FileDiff(path, "M", 1, 1, ""),))), "write")


def plan(*items: PlanItem) -> Done:
    return ("update_plan", {"n": len(items)}, Result("Plan kept", PlanView(items)), "read")


async def early_work(play: Play) -> None:
    """What is asked about later."""
    play.prompt(CONSTRAINT)
    await play.step(
        plan(
            PlanItem("reproduce it", "done"),
            PlanItem("lock the queue", "in_progress"),
            PlanItem("add a test", "pending"),
        )
    )
    early = Seen("pool.py", "5eed" + "a" * 60, ((1, 240),), whole=True)
    await play.step(read("pool.py", long_text("pool", 3_000)), inside=[early])
    await play.step(shell("make lint", 2, "pool.py:9: unused import\n2 problems\n"))
    await play.step(report(RED, GREEN))
    question = Question("shell", "shell pip install pytest-rerun")
    play.session.emit(Answered(question, Decision(allowed=False, message="no new dependencies, ever")))
    written = Seen("pool.py", "beef" + "b" * 60, (), whole=True, by="write")
    await play.step(edit("pool.py"), inside=[written])
    play.session.emit(Committed("0123456789abcdef", "fix-pool", ("pool.py",)))
    play.session.emit(Judged(Evidence("not_verified", still_red=(RED.id,), changed_since=("pool.py",))))


async def until_compacted(play: Play, times: int) -> Request:
    """Words and calls, until there were so many compactions; the last request."""
    number = 0
    while len(play.said_by(Compacted)) < times:
        number += 1
        assert number < 400
        request = await play.asked()
        assert_valid(request.messages)
        play.session.emit(Said(Assistant("I think: " + "because " * 200)))
        await play.step(shell(f"grep -n 'x{number}' pool.py", 0, long_text("hit", 900)))
    return play.model.requests[-1]


def rows(shown: str) -> list[str]:
    """What stands in lists, but for the commands that only made the session long."""
    return [line for line in shown.splitlines() if line.startswith("- ") and "`grep" not in line]


async def test_after_three_compactions_everything_early_is_in_the_request(tmp_path: Path, golden: Golden) -> None:
    stories: list[str] = []

    def story(request: Request) -> str:
        stories.append(f"Decision {len(stories)}: lock around the queue, because of the race in drain().")
        return " ".join(stories)

    play = Play(tmp_path / "s", Windowed(24_000, rate=1.2, story=story))
    await early_work(play)
    request = await until_compacted(play, 3)
    shown = content(request)
    assert request.system == SYSTEM  # with AGENTS.md in it
    assert CONSTRAINT in shown
    assert stories[2].partition(",")[0] in shown
    assert len(stories) == 3
    assert play.model.count(request) < 24_000
    golden(*rows(shown))


async def test_what_came_later_takes_the_place_of_what_was_early(tmp_path: Path, golden: Golden) -> None:
    play = Play(tmp_path / "s", Windowed(24_000))
    await early_work(play)
    await until_compacted(play, 1)
    await play.step(report(TestCase(RED.id, "passed"), GREEN))
    await play.step(plan(PlanItem("lock the queue", "done"), PlanItem("add a test", "in_progress")))
    await play.step(shell("make lint", 0, "clean\n"))
    play.prompt("And mind the docs.")
    shown = content(await until_compacted(play, 3))
    assert "## Tests that fail" not in shown
    assert CONSTRAINT in shown
    said, *after = shown[shown.index("And mind the docs.") :].splitlines()[:3]
    golden(*rows(shown), said, *after)


async def test_a_resumed_session_pins_the_very_same(tmp_path: Path) -> None:
    play = Play(tmp_path / "s", Windowed(24_000))
    await early_work(play)
    await until_compacted(play, 2)
    here = play.room.preview(play.model, play.request()).text
    again = Play(tmp_path / "again", play.model, session=play.session)
    assert again.room.preview(play.model, again.request()).text == here
    assert play.said_by(Shortened) or play.said_by(Compacted)
