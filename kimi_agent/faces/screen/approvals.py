"""Approvals in the REPL: an open question, its choices, the rows that show it, and the keys that answer.

What is asked about is shown whole; what does not show by itself is escaped and counted. A key that was pressed
before the choices were on the screen is no answer, and neither is pasted text.
"""

import asyncio
from dataclasses import dataclass, field

from kimi_agent.faces.render.view_rows import full_view_rows, is_diff_cut
from kimi_agent.faces.sanitize import collapse_blanks, count_escaped, sanitize, sanitize_line, wrap_line
from kimi_agent.faces.theme import Theme
from kimi_agent.log.questions import Ask, Decision, Question
from kimi_agent.log.views import DiffView, OutputView, TextView, View


class AskProxy:
    """Proxy for the `Ask` of a screen that is not there yet: an agent is opened with it, `bind` names who answers.

    Questions come one after another: parallel calls may ask at the same time. Nobody bound means no.
    """

    def __init__(self) -> None:
        self._answer: Ask | None = None
        self._lock = asyncio.Lock()

    def bind(self, answer: Ask) -> None:
        """From now on `answer` answers."""
        self._answer = answer

    async def __call__(self, question: Question) -> Decision:
        """What the person decides."""
        async with self._lock:
            if self._answer is None:
                return Decision(allowed=False, message="nobody is there to be asked", by="policy")
            return await self._answer(question)


@dataclass(frozen=True)
class AnswerChoice:
    """One answer: the keys that give it (`key` may be ""), its words, and what is decided by it.

    Where that is None, the person is first asked what to do instead.
    """

    number: str
    key: str
    text: str
    decision: Decision | None

    def __str__(self) -> str:
        return f"{self.number} {self.text} ({self.key})" if self.key else f"{self.number} {self.text}"


def answer_choices(question: Question) -> tuple[AnswerChoice, ...]:
    """The answers to a question, the safest last: its own where it has some, else yes, always and no.

    "Always" is there only with a rule, and only if nothing of the question is cut. A question of the program itself,
    which no tool asks, has no "do this instead".
    """
    if question.choices:
        return tuple(
            AnswerChoice(str(at + 1), "", sanitize_line(text), Decision(allowed=at == 0, choice=at))
            for at, text in enumerate(question.choices)
        )
    offered = [AnswerChoice("1", "y", "yes", Decision(allowed=True))]
    if not question.tool:
        return (*offered, AnswerChoice("3", "n", "no", Decision(allowed=False)))
    if question.rule and not is_diff_cut(question.view):
        always = Decision(allowed=True, always=True)
        offered.append(AnswerChoice("2", "a", f"yes, and don't ask again for {sanitize_line(question.rule)}", always))
    return (*offered, AnswerChoice("3", "n", "no, and say what to do instead", None))


@dataclass
class OpenQuestion:
    """An open question. The choice that Enter takes is the last one until the person moves it."""

    question: Question
    done: asyncio.Future[Decision]
    armed: bool = False
    typing_reason: bool = False
    selected: int = field(init=False)
    choices: tuple[AnswerChoice, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.choices = answer_choices(self.question)
        self.selected = len(self.choices) - 1

    def move(self, by: int) -> None:
        """Move the chosen answer."""
        self.selected = (self.selected + by) % len(self.choices)

    def press(self, key: str) -> None:
        """Take the answer that `key` ("y", "2", "enter", "escape") gives, if it gives one."""
        if key == "escape":
            self.decide(self.choices[-1].decision or Decision(allowed=False))
            return
        chosen = self.choices[self.selected] if key == "enter" else None
        chosen = chosen or next((each for each in self.choices if key in (each.number, each.key)), None)
        if chosen is None:
            return
        if chosen.decision is None:
            self.typing_reason = True
        else:
            self.decide(chosen.decision)

    def decide(self, decision: Decision) -> None:
        """The answer is given."""
        if not self.done.done():
            self.done.set_result(decision)


def question_rows(question: Question, theme: Theme, width: int) -> list[str]:
    """The whole question: what is to be done, the command or diff itself, why it is asked, what is hidden in it."""
    bar = theme("yellow", theme.glyphs.bar)
    title = collapse_blanks(sanitize_line(question.title))  # of a call not a blank may be left out
    rows = [theme("bold", row) for row in wrap_line(title, width - 4, words=bool(question.choices))]
    rows += full_view_rows(question.view, theme, width - 4)
    if question.why:
        rows += [theme("dim", row) for line in sanitize(question.why).split("\n") for row in wrap_line(line, width - 4)]
    hidden = count_escaped(question.title + _raw(question.view))
    if hidden:
        rows.append(theme("strong", f"{hidden} control or invisible characters in it are shown as escapes."))
    if is_diff_cut(question.view):
        rows.append(theme("strong", "It is too long to be shown whole."))
    return [f"{bar} {row}" for row in rows]


def _raw(view: View | None) -> str:
    match view:
        case DiffView(files):
            return "".join(file.path + file.old_path + file.diff for file in files)
        case OutputView(command, text):
            return command + text
        case TextView(text):
            return text
        case _:
            return ""
