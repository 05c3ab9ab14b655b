"""Questions on a terminal beside the pipes: what is shown, and what each line means."""

import asyncio
import os
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from kimi_agent.faces.headless.tty_approvals import TtyApprovals
from kimi_agent.guard.tool_wrappers.approval import refuse_all
from kimi_agent.log.questions import Decision, Question
from kimi_agent.log.views import OutputView

LOOP = Question("loop", "The same \x1b[2Jcall.", why="It was said.", choices=("go on", "wrap up", "stop"))
MAKE = Question("shell", "shell make", OutputView("make"), rule="make")


@pytest.fixture
def ends() -> Iterator[tuple[int, Path]]:
    """Our end of a terminal, and the path of the other one."""
    near, far = os.openpty()
    modes = termios.tcgetattr(far)
    modes[3] &= ~termios.ECHO
    termios.tcsetattr(far, termios.TCSANOW, modes)
    yield near, Path(os.ttyname(far))
    os.close(near)
    os.close(far)


async def answered(question: Question, line: str, ends: tuple[int, Path]) -> tuple[str, Decision]:
    """What was shown, and what was made of `line`, typed once the question stood there."""
    near, path = ends
    asking = asyncio.ensure_future(TtyApprovals(path)(question))
    shown = b""
    while not shown.endswith(b": "):
        shown += await asyncio.to_thread(os.read, near, 4096)
    os.write(near, f"{line}\n".encode())
    return shown.decode().replace("\r", ""), await asking


@pytest.mark.parametrize(
    ("line", "decision"),
    [
        ("1", Decision(True, choice=0)),
        ("2", Decision(False, choice=1)),
        ("3", Decision(False, choice=2)),
        ("", Decision(False, choice=2)),
        ("y", Decision(False, choice=2)),
        ("0", Decision(False, choice=2)),
    ],
)
async def test_a_choice_is_taken_by_its_number_and_anything_else_is_the_last(
    line: str, decision: Decision, ends: tuple[int, Path]
) -> None:
    shown, taken = await answered(LOOP, line, ends)
    assert "The same ␛[2Jcall." in shown
    assert shown.endswith("[3] stop: ")
    assert taken == decision


@pytest.mark.parametrize(
    ("line", "decision"),
    [
        ("y", Decision(True)),
        ("a", Decision(True, always=True)),
        ("n", Decision(False)),
        ("list it first", Decision(False, message="list it first")),
    ],
)
async def test_without_choices_it_is_yes_always_or_no(line: str, decision: Decision, ends: tuple[int, Path]) -> None:
    shown, taken = await answered(MAKE, line, ends)
    assert shown.endswith(
        "$ make\nAllow? [y] yes  [a] yes, and don't ask again for make  [n] no, or say what to do instead: "
    )
    assert taken == decision


@pytest.mark.parametrize("question", [LOOP, MAKE])
async def test_a_terminal_that_is_gone_meanwhile_is_nobody(question: Question, tmp_path: Path) -> None:
    gone = Decision(allowed=False, message="the terminal is gone", by="policy")
    assert await TtyApprovals(tmp_path / "none")(question) == gone
    (tmp_path / "file").touch()
    assert await TtyApprovals(tmp_path / "file")(question) == gone


async def test_where_nobody_watches_nobody_chooses() -> None:
    assert await refuse_all("nobody is there")(LOOP) == Decision(False, False, "nobody is there", "policy", -1)
