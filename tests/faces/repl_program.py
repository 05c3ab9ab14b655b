"""A program for the pty tests: the real REPL on a scripted agent. Usage: repl_program.py STATE [KEY=VALUE ...]"""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kimi_agent.cli.signals import SignalWatchdog
from kimi_agent.errors import UserError
from kimi_agent.faces.repl.compact_command import CompactionActions
from kimi_agent.faces.repl.repl import run_repl
from kimi_agent.faces.repl.repl_session import ReplSession, SavedSession
from kimi_agent.faces.screen.approvals import AskProxy
from kimi_agent.log.events import (
    Answered,
    CallDelta,
    CallStarted,
    Event,
    Listener,
    Notice,
    Partial,
    Progress,
    Queued,
    ReasoningDelta,
    Retrying,
    Returned,
    Said,
    Spent,
    Stamped,
    TextDelta,
    TurnEnded,
)
from kimi_agent.log.messages import Assistant, Call, Message, Usage, User, user_message
from kimi_agent.log.questions import Question
from kimi_agent.log.views import (
    DiffView,
    FileDiff,
    OutputView,
    PlanItem,
    PlanView,
    Result,
    TestCase,
    TestReport,
    TextView,
)

if TYPE_CHECKING:
    from kimi_agent.context.context_window import CompactionPreview
    from kimi_agent.rewind.rewind_plan import RewindOutcome, RewindPlan, RewindScope, RewindTurn

HEAVY = ("rich", "openai", "git", "typer", "markdown_it", "pygments", "httpx2", "pydantic", "difflib")
DIFF = """--- a/src/a.py
+++ b/src/a.py
@@ -10,3 +10,3 @@ def f():
     before = 1
-    old = 2
+    new = 2
     after = 3
"""


class Conversation:
    def __init__(self) -> None:
        self.kept: list[Message] = []

    def messages(self) -> Sequence[Message]:
        return self.kept


class FakeSession:
    def __init__(self, name: str) -> None:
        self.id = name
        self.conversation = Conversation()
        self._listeners: list[Listener] = []
        self._seq = itertools.count(1)

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def emit(self, event: Event) -> Stamped:
        stamped = Stamped("main", next(self._seq), time.time(), event)
        if isinstance(event, Said):
            self.conversation.kept.append(event.message)
        for listener in self._listeners:
            listener(stamped)
        return stamped


class ScriptedAgent:
    """Does what the prompt's first word names; the rest of the prompt is that script's argument."""

    def __init__(self, name: str, asker: AskProxy, log: Path) -> None:
        self.session = FakeSession(name)
        self.inbox: list[Stamped] = []
        self._asker = asker
        self._log = log
        self._scripts: dict[str, Callable[[str], Awaitable[None]]] = {
            "burst": self._burst,
            "slow": self._slow,
            "stream": self._stream,
            "shell": self._shell,
            "held": self._held,
            "edit": self._edit,
            "work": self._work,
            "forever": self._forever,
            "retry": self._retry,
            "wait": self._wait,
            "choose": self._choose,
            "hostile": self._hostile,
            "crash": self._crash,
        }

    def queue(self, message: User) -> None:
        self.inbox.append(self.session.emit(Queued(message)))

    async def run_turn(self, prompt: User) -> TurnEnded:
        self.session.emit(Said(prompt))
        self.note("turn", prompt.text)
        word, _, rest = prompt.text.partition(" ")
        try:
            await self._scripts.get(word, self._echo)(rest or word)
            while self.inbox:
                stamped = self.inbox.pop(0)
                assert isinstance(stamped.event, Queued)
                self.session.emit(Said(stamped.event.message, queued=stamped.seq))
                await self._echo(f"also {stamped.event.message.text}")
        except asyncio.CancelledError:
            self.session.emit(TurnEnded("interrupted", 1, "", 130))
            self.note("interrupted", "")
            raise
        ended = TurnEnded("done", 2)
        self.session.emit(ended)
        return ended

    def note(self, what: str, text: str) -> None:
        with self._log.open("a") as file:
            file.write(json.dumps([what, text]) + "\n")

    def _say(self, text: str, *calls: Call, reasoning: str | None = None) -> int:
        usage = Usage(1200, 340, 900)
        self.session.emit(Spent("kimi", usage))
        return self.session.emit(Said(Assistant(text, reasoning, calls), usage, "stop")).seq

    def _stream_now(self, text: str, size: int = 16) -> None:
        for at in range(0, len(text), size):
            self.session.emit(TextDelta(text[at : at + size]))
        self._say(text)

    async def _echo(self, rest: str) -> None:
        self._stream_now(f"You said: **{rest}**\n")

    async def _burst(self, rest: str) -> None:
        self._stream_now(Path(rest).read_text(encoding="utf-8"))

    async def _slow(self, rest: str) -> None:
        for word in rest.split(" "):
            self.session.emit(TextDelta(word + " "))
            await asyncio.sleep(0.02)
        self._say("".join(word + " " for word in rest.split(" ")))

    async def _stream(self, rest: str) -> None:
        path, _, rate = rest.partition(" ")
        text = Path(path).read_text(encoding="utf-8")
        for at in range(0, len(text), 4):
            self.session.emit(TextDelta(text[at : at + 4]))
            await asyncio.sleep(1 / float(rate or 50))
        self._say(text)

    async def _call(self, name: str, arguments: dict[str, object], result: Result, before: str = "") -> None:
        raw = json.dumps(arguments)
        if before:
            self.session.emit(TextDelta(before))
        self.session.emit(CallDelta(0, "c0", name, raw))
        answer = self._say(before, Call("c0", name, raw))
        self.session.emit(CallStarted(answer, 0, name, "execute"))
        self.session.emit(Progress(answer, 0, "working on it"))
        await asyncio.sleep(0.05)
        self.session.emit(Returned(answer, 0, result, 0.1))

    async def _shell(self, rest: str) -> None:
        command = rest.encode().decode("unicode_escape")
        rule = "git log" if "always" in rest else ""
        question = Question("shell", f"shell {command[:60]}", OutputView(command), "", rule)
        decision = await self._asker(question)
        self.session.emit(Answered(question, decision))
        self.note("decision", f"{decision.allowed} {decision.always} {decision.message}")
        text = (
            "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight"
            if decision.allowed
            else "Error [denied]: the user refused."
        )
        result = Result(
            text, OutputView(command, text, 0, 1.2) if decision.allowed else None, failed=not decision.allowed
        )
        await self._call("shell", {"command": command}, result)

    async def _held(self, rest: str) -> None:
        """Keep the loop from reading keys until the test has typed some, then ask."""
        self.note("held", "")
        while not (self._log.parent / "typed").exists():
            time.sleep(0.01)
        await self._shell(rest)

    async def _edit(self, rest: str) -> None:
        view = DiffView(
            (FileDiff("src/a.py", "M", 1, 1, DIFF), FileDiff("src/日本.py", "A", 1, 0, "@@ -0,0 +1 @@\n+x = 'ไทย'\n"))
        )
        question = Question("edit_file", "edit_file src/a.py", view)
        decision = await self._asker(question)
        self.session.emit(Answered(question, decision))
        self.note("decision", f"{decision.allowed} {decision.always} {decision.message}")
        await self._call("edit_file", {"path": "src/a.py"}, Result("edited", view))

    async def _work(self, rest: str) -> None:
        self.session.emit(ReasoningDelta("Let me look at the file first.\nIt may be in "))
        self.session.emit(ReasoningDelta("src.\n"))
        await self._call(
            "read_file", {"path": "src/a.py"}, Result("text", TextView("text", "120 lines")), "I will read it."
        )
        plan = PlanView((PlanItem("read", "done"), PlanItem("fix it", "in_progress"), PlanItem("test", "pending")))
        await self._call("update_plan", {"items": []}, Result("ok", plan))
        report = TestReport(
            "failed",
            "pytest",
            "pyproject.toml",
            "pytest -q",
            1,
            3.21,
            (
                TestCase("tests/test_a.py::test_x", "failed", "tests/test_a.py:3", "assert 1 == 2"),
                TestCase("t", "passed"),
            ),
        )
        await self._call("run_tests", {"targets": []}, Result("1 failed", report))
        await self._call(
            "read_file",
            {"path": "no.py"},
            Result("Error [not_found]: there is no file no.py\nNext: list_files", None, failed=True, code="not_found"),
        )
        self.session.emit(Notice("The disk is full."))
        self._stream_now("# Done\n\nAll **good**:\n\n- one\n- two\n\n```python\ndef f():\n    return 1\n```\n")

    async def _forever(self, rest: str) -> None:
        raw = json.dumps({"command": "sleep 1000"})
        answer = self._say("", Call("c0", "shell", raw))
        self.session.emit(CallStarted(answer, 0, "shell", "execute"))
        await asyncio.get_running_loop().create_future()

    async def _retry(self, rest: str) -> None:
        self.session.emit(TextDelta("Half an ans"))
        self.session.emit(Retrying("the connection broke", 0.1, 1))
        self._stream_now("The whole answer.")

    async def _wait(self, rest: str) -> None:
        self.session.emit(TextDelta("Half an ans"))
        self.session.emit(Retrying("the server is busy", float(rest), 2, kept=True))
        await asyncio.sleep(float(rest))
        self.session.emit(TextDelta("wer and the rest."))
        self._say("Half an answer and the rest.")

    async def _choose(self, rest: str) -> None:
        question = Question("loop", "The model made the same call 8 times.", choices=tuple(rest.split(",")))
        decision = await self._asker(question)
        self.session.emit(Answered(question, decision))
        self.note("decision", f"{decision.allowed} {decision.choice}")

    async def _hostile(self, rest: str) -> None:
        bad = "\x1b]52;c;QUJD\x07\x1b[2J\x9b2J\x08\r\u202e\U000e0041\x1bP+q\x1b\\[/b]"
        self.session.emit(ReasoningDelta(f"think {bad}\n"))
        self.session.emit(TextDelta("split \x1b"))
        self.session.emit(TextDelta("[6n "))
        self.session.emit(
            TextDelta(f"text {bad} end [https://github.com/ok](http://sink/?q=CANARY)\n\n&#x202e;x `a{bad}`\n")
        )
        self.session.emit(Partial("", "", "x"))
        view = DiffView((FileDiff(f"n{bad}", "M", 1, 1, f"--- a/{bad}\n+++ b/{bad}\n@@ -1 +1 @@\n-{bad}\n+{bad}\n"),))
        await self._call(f"tool{bad}", {"path": bad}, Result(bad, view))
        await self._call("shell", {"command": bad}, Result(bad, OutputView(bad, f"{bad}\n{bad}", 1, 0.1), failed=True))
        self.session.emit(Notice(f"name {bad}"))
        self.session.emit(Retrying(f"server said {bad}", 0.0, 1))
        question = Question(f"t{bad}", f"title {bad}", OutputView(bad), bad, bad)
        decision = await self._asker(question)
        self.note("decision", f"{decision.allowed} {decision.always} {decision.message}")

    async def compact(self, focus: str) -> None:
        """Make room, until somebody stops it."""
        self.session.emit(Notice("Making room."))
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.note("stopped", focus)

    async def _crash(self, rest: str) -> None:
        raise ZeroDivisionError("a bug")


class FakeRewinding:
    """Two turns to go back to; what is carried out is noted."""

    def __init__(self, note: Callable[[str, str], None]) -> None:
        self._note = note

    def turns(self) -> "list[RewindTurn]":
        from kimi_agent.rewind.rewind_plan import RewindTurn

        return [
            RewindTurn(1, 2, "make it \x1b[31mred", time.time() - 7300, ("src/a.py",)),
            RewindTurn(2, 9, "and the tests?", time.time() - 90, ()),
        ]

    async def plan(self, to: int, what: "RewindScope" = "both", *, paths: Sequence[str] = ()) -> "RewindPlan":
        from kimi_agent.rewind.rewind_plan import RewindPlan

        self._note("plan", f"{to} {what} {' '.join(paths)}")
        files = () if what == "chat" else (FileDiff("src/a.py", "M", 1, 1, DIFF),)
        return RewindPlan(to, what, files, ("src/mine.py",) if to == 2 else (), 4)

    async def plan_undo(self) -> "RewindPlan":
        return await self.plan(9)

    async def plan_redo(self) -> "RewindPlan":
        raise UserError("There is nothing to bring back.")

    async def carry_out(self, plan: "RewindPlan", *, yours: str = "refuse", unsure: bool = False) -> "RewindOutcome":
        from kimi_agent.rewind.rewind_plan import RewindOutcome

        self._note("went", f"{plan.to} {plan.what} {yours}")
        kept = plan.yours if yours == "keep" else ()
        return RewindOutcome(len(plan.diff), kept, "and the tests?" if plan.to == 9 else "")


def job_shell(argv: list[str]) -> int:
    """What a shell does with a job: when it stops, say how the terminal was left; on a line, let it go on."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    job = subprocess.Popen([sys.executable, *argv], process_group=0)
    os.tcsetpgrp(0, job.pid)
    while True:
        _, status = os.waitpid(job.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return os.waitstatus_to_exitcode(status)
        os.tcsetpgrp(0, os.getpgrp())
        echo = "on" if termios.tcgetattr(0)[3] & termios.ECHO else "off"
        print(f"[suspended, echo {echo}]", flush=True)
        sys.stdin.readline()
        os.tcsetpgrp(0, job.pid)
        os.killpg(job.pid, signal.SIGCONT)


def main() -> int:
    os.close(os.open(os.ttyname(0), os.O_RDWR))  # a session leader that opens a terminal has it as its own
    state = Path(sys.argv[1])
    given = dict(each.split("=", 1) for each in sys.argv[2:])
    if given.get("shell"):
        return job_shell([each for each in sys.argv if not each.startswith("shell=")])
    asker = AskProxy()
    mode = [given.get("mode", "ask")]
    numbers = itertools.count(1)

    def set_mode(name: str) -> None:
        if name not in ("ask", "accept-edits", "plan", "yolo"):
            raise UserError(f"There is no mode {name}; modes are ask, accept-edits, plan and yolo.")
        mode[0] = name

    def home(name: str, model: str) -> ReplSession:
        async def fresh() -> ReplSession:
            return home(f"session-{next(numbers)}", model)

        async def resume(wanted: str) -> ReplSession:
            if wanted not in ("old-1", "old-2"):
                raise UserError(f"There is no session {wanted}; /resume lists them.")
            opened = home(wanted, model)
            assert isinstance(opened.agent, ScriptedAgent)
            opened.agent.session.emit(Said(user_message("the old question")))
            opened.agent.session.emit(Said(Assistant("the **old** answer")))
            return opened

        async def with_model(wanted: str) -> ReplSession:
            return replace(home(f"session-{next(numbers)}", wanted), notices=())

        async def aclose() -> None:
            agent.note("closed", name)

        agent = ScriptedAgent(name, asker, state / "log.jsonl")
        return ReplSession(
            agent=agent,
            asker=asker,
            model_name=model,
            workspace=Path(given.get("workspace", "/srv/project")),
            branch=given.get("branch", "main"),
            mode=lambda: mode[0],
            set_mode=set_mode,
            sessions=lambda: [
                SavedSession("old-1", "fix the parser", time.time() - 7300),
                SavedSession("old-2", "", 0.0),
            ],
            new_session=fresh,
            resume=resume,
            with_model=with_model,
            aclose=aclose,
            history_file=state / "history.jsonl",
            environ=dict(os.environ),
            notices=[given["notice"]] if "notice" in given else [],
            commands={"review": "# Review the change\n\nLook at $ARGUMENTS closely."},
            first_message=given.get("first", ""),
            rewinder=FakeRewinding(agent.note),
            compaction=CompactionActions(agent.compact, preview, lambda: None),
            diff=differing,
        )

    start = home("session-0", given.get("model", "kimi-k2.6"))
    signals = SignalWatchdog()
    signals.start()
    signals.leave_interrupt()
    first = replace(start, open_real=lambda: opened(start)) if "hall" in given else start
    return run_repl(first, lambda leave: signals.hear(leave, lambda number: 128 + number))


async def opened(home: ReplSession) -> ReplSession:
    """The house behind the hall: what had to be loaded to show the hall is noted."""
    await asyncio.sleep(0)
    assert isinstance(home.agent, ScriptedAgent)
    home.agent.note("loaded", " ".join(each for each in HEAVY if each in sys.modules))
    return replace(home, open_real=None)


def preview() -> "CompactionPreview":
    from kimi_agent.context.context_window import CompactionPreview

    words = (
        "Written by the harness from its log; it is exact. What stands in `backticks` comes from files and commands."
    )
    return CompactionPreview(1, 3_900, 3_400, f"{words}\n\n## Files")


async def differing(scope: str) -> Sequence[FileDiff]:
    if scope == "turn 9":
        raise UserError("There is no turn 9: this session has 2.")
    return [FileDiff("src/a.py", "M", 1, 1, DIFF)] if scope != "turn 1" else []


if __name__ == "__main__":
    sys.exit(main())
