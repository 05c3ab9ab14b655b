"""/undo, /redo, /rewind and /diff on a real pty."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from kimi_agent.errors import UserError
from kimi_agent.faces.repl.rewind_commands import RewindRequest, parse_rewind_request, run_rewind_command
from kimi_agent.log.questions import Decision, Question
from kimi_agent.log.views import DiffView, FileDiff
from kimi_agent.rewind.rewind_plan import ConflictChoice, RewindOutcome, RewindPlan, RewindScope, RewindTurn
from tests.faces.terminal_driver import Terminal
from tests.golden_texts import Golden

Start = Callable[..., Terminal]


def did(screen: Terminal, what: str) -> list[str]:
    return [text.strip() for each, text in screen.log() if each == what]


def test_undo_shows_the_diff_asks_and_gives_the_prompt_back(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("/undo\r")
    screen.until("Take back 4 messages and 1 file?", "old = 2", "new = 2", "1 yes (y)", "3 no (n)")
    assert "what to do instead" not in screen.shown()
    screen.press("y")
    screen.until("1 file restored. /redo takes this back.", "› and the tests?")
    assert did(screen, "went") == ["9 both refuse"]


@pytest.mark.parametrize(
    "key",
    ["n", *(pytest.param(key, marks=pytest.mark.long, id=name) for key, name in (("3", "3"), ("\r", "enter")))],
)
def test_a_no_changes_nothing(terminal: Start, key: str) -> None:
    screen = terminal()
    screen.ready()
    screen.press("/undo\r")
    screen.until("1 yes (y)")
    screen.press(key)
    screen.ready("Nothing was changed.")
    assert did(screen, "went") == []


@pytest.mark.parametrize(
    ("key", "yours", "said"), [("y", "overwrite", "restored"), ("n", "keep", "left as they are: src/mine.py")]
)
def test_files_that_somebody_else_changed_are_a_question_of_their_own(
    terminal: Start, key: str, yours: str, said: str
) -> None:
    screen = terminal(columns=120)
    screen.ready()
    screen.press("/rewind 1 code\r")
    screen.until("Take back 1 file?", "src/mine.py; you are asked about that next", "1 yes (y)")
    screen.press("y")
    screen.until("Overwrite src/mine.py too?", "1 yes (y)")
    screen.press(key)
    screen.ready(said)
    assert did(screen, "went") == [f"2 code {yours}"]


def test_rewind_lists_the_turns_and_so_does_escape_twice(terminal: Start) -> None:
    screen = terminal(columns=100)
    screen.ready()
    screen.press("/rewind\r")
    screen.ready("  2   1 min ago  no files  and the tests?", "  1     2 h ago    1 file  make it ␛[31mred")
    screen.press("\x1b")
    screen.press("\x1b")
    while screen.shown().count("› /rewind") < 2:
        assert screen.read()
    assert did(screen, "plan") == []


def test_what_cannot_be_is_one_sentence(terminal: Start) -> None:
    screen = terminal(columns=120)
    screen.ready()
    for typed, said in (
        ("/redo", "There is nothing to bring back."),
        ("/rewind 7", "There is no turn 7 to go back to; /rewind lists them."),
        ("/rewind x", "Say which turn: /rewind N"),
        ("/diff turn 9", "There is no turn 9: this session has 2."),
        ("/diff turn 1", "Nothing was changed."),
    ):
        screen.press(f"{typed}\r")
        screen.ready(said)
    screen.press("still here\r")
    screen.ready("You said: here")


def test_a_diff_is_drawn(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("/diff\r")
    screen.ready("1 file changed:", "src/a.py", "old = 2", "new = 2")


def test_while_a_turn_runs_nothing_goes_back(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("forever\r")
    screen.until("esc to interrupt")
    screen.press("/undo\r")
    screen.until("A turn is running: press Esc first, then /undo.")
    screen.press("\x1b")
    screen.ready("Interrupted")
    assert did(screen, "plan") == []


def test_a_wish_is_a_turn_what_of_it_and_files() -> None:
    assert parse_rewind_request("3") == RewindRequest(3)
    assert parse_rewind_request("3 chat") == RewindRequest(3, "chat")
    assert parse_rewind_request("3 code a b") == RewindRequest(3, "code", ("a", "b"))
    assert parse_rewind_request("3 a.py") == RewindRequest(3, "code", ("a.py",))
    for text in ("", "x", "-1", "3 chat a.py"):
        with pytest.raises(UserError):
            parse_rewind_request(text)


@dataclass
class Planned:
    """Goes back as it was asked to."""

    what: RewindPlan
    done: RewindOutcome

    def turns(self) -> list[RewindTurn]:
        return [RewindTurn(1, 2, "go", 0.0, ())]

    async def plan(self, to: int, what: RewindScope = "both", *, paths: Sequence[str] = ()) -> RewindPlan:
        return self.what

    async def plan_undo(self) -> RewindPlan:
        return self.what

    async def plan_redo(self) -> RewindPlan:
        return self.what

    async def carry_out(
        self, plan: RewindPlan, *, yours: ConflictChoice = "refuse", unsure: bool = False
    ) -> RewindOutcome:
        return self.done


async def test_thousands_of_files_are_counted_and_names_stay_as_they_are(golden: Golden) -> None:
    files = tuple(FileDiff(f"{number}.txt", "M", 0, 0, "") for number in range(5_000))
    asked: list[Question] = []

    async def yes(question: Question) -> Decision:
        asked.append(question)
        return Decision(allowed=True)

    gone = await run_rewind_command(
        "undo", "", Planned(RewindPlan(2, "code", files, ("README.md",)), RewindOutcome(4_999, ("README.md",))), yes
    )
    assert isinstance(asked[0].view, DiffView)
    assert len(asked[0].view.files) == 50
    golden(asked[0].title, asked[0].why, asked[1].title, gone.text)


async def test_a_file_that_is_as_it_was_is_no_question() -> None:
    async def nobody(question: Question) -> Decision:
        raise AssertionError(question)

    gone = await run_rewind_command(
        "rewind", "1 nofile.py", Planned(RewindPlan(2, "code", paths=("nofile.py",)), RewindOutcome(0)), nobody
    )
    assert gone.text == "Nothing was changed: no file is different from then."


async def test_files_that_a_command_or_the_person_wrote_are_asked_about_by_themselves() -> None:
    asked: list[str] = []
    given: list[bool] = []

    class Unsure(Planned):
        async def carry_out(
            self, plan: RewindPlan, *, yours: ConflictChoice = "refuse", unsure: bool = False
        ) -> RewindOutcome:
            given.append(unsure)
            return self.done

    for answer in (True, False):

        async def answers(question: Question, answer: bool = answer) -> Decision:
            asked.append(question.title)
            return Decision(allowed=answer or not question.title.startswith("Also"))

        plan = RewindPlan(2, "code", (FileDiff("out.c", "M", 0, 0, ""),), unsure=("out.c",))
        await run_rewind_command("rewind", "1 code", Unsure(plan, RewindOutcome(1)), answers)
    assert asked == 2 * ["Take back 1 file?", "Also take back out.c?"]
    assert given == [True, False]
