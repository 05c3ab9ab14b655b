"""Random sessions in small windows: whatever happens, every request is valid, within the window, and holds the pins."""

import random
from pathlib import Path

import pytest

from kimi_agent.errors import ModelError, Refused, Stopped, TooLong, Unavailable
from kimi_agent.log.events import Compacted, Rewound, Said, Seen, Shortened
from kimi_agent.log.messages import Assistant
from kimi_agent.log.views import OutputView, PlanItem, PlanView, Result, TestCase, TestReport
from kimi_agent.model.protocol import Request
from tests.context.windowed_session import Done, Play, Windowed, assert_valid, content, long_text, read


class Life:
    """A random session, and by its side what must be found in every request."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        window = self.dice.choice((12_000, 20_000, 40_000, 80_000))
        real = self.dice.choice((window, window, window * 3 // 4))
        rate = self.dice.choice((0.8, 1.0, 1.3))
        self.play = Play(folder, Windowed(window, real=real, rate=rate, story=self._story))
        self.words: list[str] = []
        self.plan: tuple[str, ...] = ()
        self.failing = ""
        self.last_turn = 0
        self.number = 0

    def _story(self, request: Request) -> str | ModelError:
        return self.dice.choice(
            (
                "It went on.",
                "Long. " * 5_000,
                "",
                Unavailable("down"),
                Refused("no", 400),
                Stopped("over budget", "budget", 54),
                TooLong("over"),
            )
        )

    def say(self) -> None:
        self.number += 1
        self.words.append(f"Constraint {self.number}: keep it so.")
        self.last_turn = self.play.prompt(self.words[-1])

    def done(self) -> Done:
        """One call with its result, of any kind and size."""
        self.number += 1
        size = self.dice.choice((10, 300, 2_000, 8_000, 60_000))
        text = long_text(f"{self.number}" + self.dice.choice(("", "ä", "中文")), size)
        match self.dice.randrange(6):
            case 0:
                self.plan = tuple(f"step {self.number} {part}" for part in "ab")
                view = PlanView(tuple(PlanItem(step, "pending") for step in self.plan))
                return ("update_plan", {"n": self.number}, Result("\n".join(self.plan), view), "read")
            case 1:
                self.failing = f"t.py::test_{self.number}"
                report = TestReport(
                    "failed", "pytest", "e", "pytest", 1, 1.0, (TestCase(self.failing, "failed"),), whole=True
                )
                return ("run_tests", {"n": self.number}, Result(f"{self.failing}\n{text}", report), "execute")
            case 2:
                return read(f"{self.dice.randrange(5)}.py", text, offset=self.dice.randrange(1, 4))
            case _:
                command = f"echo {self.number}"
                return ("shell", {"command": command}, Result(text, OutputView(command, text[-200:], 0)), "execute")

    async def step(self) -> None:
        request = await self.play.asked()
        self.check(request)
        match self.dice.randrange(12):
            case 0:
                self.play.says("done " + "w" * self.dice.choice((5, 4_000)))
                self.play.end()
                self.say()
            case 1 if len(self.words) > 1:
                self.play.session.emit(Rewound(self.last_turn, "chat"))
                self.words.pop()
                self.last_turn = 0
                self.plan, self.failing = (), ""  # they may be gone too
                self.say()
            case 2:
                self.play.session.emit(Said(Assistant("I think " + "so " * 900)))
            case _:
                many = self.dice.choice((1, 1, 1, 2, 24))
                seen = Seen(f"{self.number}.py", "f" * 64, ((1, 9),))
                self.play.calls(*(self.done() for _ in range(many)), inside=[seen])

    def check(self, request: Request) -> None:
        play, shown = self.play, content(request)
        assert_valid(request.messages)
        assert play.model.count(request) < play.model.real
        made = len(play.said_by(Compacted)) + len(play.said_by(Shortened))
        back = sum(isinstance(event, Rewound) for event in play.heard)
        assert play.keeps_prefix(request) or made + back > self._made
        self._made = made + back
        assert self.words[0] in shown
        assert self.words[-1] in shown
        assert all(word in shown for word in self.words) or "more messages of the" in shown
        assert all(step in shown for step in self.plan)
        assert self.failing in shown

    _made = 0


async def live(folder: Path, seed: int, steps: int) -> Life:
    life = Life(folder, seed)
    life.say()
    for _ in range(steps):
        try:
            await life.step()
        except Stopped:
            life.say()  # a circle: the person says what to do next
    return life


@pytest.mark.parametrize("seed", range(8))
async def test_every_request_of_a_random_session_holds(tmp_path: Path, seed: int) -> None:
    life = await live(tmp_path / "s", seed, 40)
    life.play.session.close()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 130))
async def test_every_request_of_many_random_sessions_holds(tmp_path: Path, seed: int) -> None:
    life = await live(tmp_path / "s", seed, 120)
    assert life.play.said_by(Compacted) or life.play.said_by(Shortened)
    life.play.session.close()
