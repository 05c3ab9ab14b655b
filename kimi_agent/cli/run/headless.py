"""Headless run (no REPL): read the prompt, take the turn, print its result, exit with its code."""

import asyncio
import concurrent.futures
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

from kimi_agent.app.bootstrap import Setup
from kimi_agent.app.open_agent import OpenAgent, open_agent
from kimi_agent.cli.report_error import report_error
from kimi_agent.cli.run.options import RunOptions
from kimi_agent.cli.run.result import ResultWriter
from kimi_agent.cli.run.setup import open_workspace, session_opener
from kimi_agent.cli.signals import SignalWatchdog
from kimi_agent.errors import UserError
from kimi_agent.faces.headless import stdin
from kimi_agent.faces.headless.jsonl import JsonLinesWriter, read_json_messages
from kimi_agent.faces.headless.text_output import NoticePrinter, TextPrinter
from kimi_agent.faces.headless.tty_approvals import TtyApprovals
from kimi_agent.guard.tool_wrappers.approval import refuse_all
from kimi_agent.log.events import Listener, Notice, Progress, Stamped
from kimi_agent.log.messages import user_message
from kimi_agent.log.questions import Ask, Decision, Question

_T = TypeVar("_T")
_SILENCE_S = 2.0
NO_TERMINAL_REASON = "there is no terminal to ask on; the user can run again with -y, or with --permission-mode"
ALWAYS_ASKED_REASON = (
    "this is asked about in every mode, -y too, and there is no terminal to ask on; the user can run it by hand"
)


def run_once(options: RunOptions, signals: SignalWatchdog) -> int:
    """The whole run. Whatever happens, with a JSON format the result object is written, last."""
    # Results are for programs to read: what a tool prints must not come between.
    stdout, sys.stdout = sys.stdout, sys.stderr
    result = ResultWriter(options, signals, stdout, sys.stderr)
    try:
        signals.raise_from_here()
        code = _HeadlessRun(options, signals, result).go()
    except KeyboardInterrupt:
        code = signals.exit_code
    except Exception as error:  # the top of the program: the result is written all the same
        code = report_error(error, debug=options.debug, say=result.say_trouble)
    signals.stop_raising()
    return result.close(code)


class _HeadlessRun:
    """One run, from its settings to the exit code that its turns came to."""

    def __init__(self, options: RunOptions, signals: SignalWatchdog, result: ResultWriter) -> None:
        self._options = options
        self._signals = signals
        self._result = result

    def go(self) -> int:
        """Open the workspace and run in an event loop. Raises UserError, and KeyboardInterrupt before there is one."""
        setup = open_workspace(self._options, trust=self._options.trust)
        self._result.model = setup.config.text("model")
        self._result.timeout_s = float(setup.config.number("timeout"))
        self._result.outcome.require_green = setup.config.on("require_green")
        return asyncio.run(self._guarded(setup))

    async def _guarded(self, setup: Setup) -> int:
        """The run as a task that the first signal cancels."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._run(setup))
        self._signals.hear(lambda _: loop.call_soon_threadsafe(task.cancel), self._result.say_last_words)
        try:
            return await task
        except asyncio.CancelledError:
            if not self._signals.number:
                raise
            return self._signals.exit_code

    async def _run(self, setup: Setup) -> int:
        piped, prompt = None, self._options.prompt
        if self._options.input == "text":
            piped = await self._piped()
            prompt = stdin.join_prompt(self._options.prompt, piped)
        answers, watched = _choose_asker(yolo=setup.config.text("mode") == "yolo")
        opened = await open_agent(
            setup,
            session_opener(self._options),
            answers,
            self._listeners(),
            unattended=True,
            timeout_s=0 if watched else setup.config.number("timeout"),
            pause=self._result.output.wait_for_room,
            debug=self._options.debug,
        )
        self._result.opened, self._result.session_id = opened, opened.session.id
        try:
            if not (self._options.quiet and self._options.output == "text"):
                for notice in opened.notices:
                    opened.session.emit(Notice(notice))
            if piped is not None:
                stdin.keep_piped_input(piped, opened.files.outputs)
            await self._take_turns(opened, prompt)
            return self._result.outcome.exit_code
        finally:
            if not await opened.aclose(in_haste=self._signals.number != 0):
                self._result.session_id = ""

    async def _take_turns(self, opened: OpenAgent, prompt: str) -> None:
        """A turn for each prompt. Raises UserError (65) where none came."""
        turns = 0
        async with aclosing(self._prompts(prompt)) as prompts:
            async for text in prompts:
                ended = await opened.run_turn(user_message(text))
                self._result.trouble = ended.text
                turns += 1
        if not turns:
            raise UserError('No message came: send {"type": "user", "text": "..."} on standard input, one a line.', 65)

    async def _piped(self) -> stdin.PipedInput | None:
        """What stdin holds, if it is not a terminal."""
        if sys.stdin.isatty():
            return None
        has_prompt = bool(self._options.prompt.strip())
        timeouts = stdin.TIMEOUTS_WITH_PROMPT if has_prompt else stdin.TIMEOUTS_WITHOUT_PROMPT
        reading = asyncio.ensure_future(_read_in_thread(lambda: stdin.read_pipe(sys.stdin.fileno(), timeouts)))
        done, _ = await asyncio.wait([reading], timeout=_SILENCE_S)
        if not done and not self._options.quiet:
            self._result.say("Reading standard input; the work starts when it ends.")
        return await reading

    def _listeners(self) -> Sequence[Listener]:
        result, quiet = self._result, self._options.quiet
        found: list[Listener] = [result.outcome]
        if self._options.output == "text":
            result.text = TextPrinter(result.out, result.err, quiet=quiet, live=result.out.isatty())
            return [*found, result.text]
        if self._options.output == "stream-json":
            found.append(self._without_overflow(JsonLinesWriter(result.out)))
        return found if quiet else [*found, NoticePrinter(result.err)]

    def _without_overflow(self, listener: Listener) -> Listener:
        """`listener`; what a running call shows is left out where its reader is far behind."""

        def hear(stamped: Stamped) -> None:
            if not (isinstance(stamped.event, Progress) and self._result.output.is_full):
                listener(stamped)

        return hear

    async def _prompts(self, prompt: str) -> AsyncGenerator[str, None]:
        if prompt.strip():
            yield prompt
        if self._options.input == "text":
            return
        messages = read_json_messages(iter(sys.stdin.buffer))
        while (text := await _read_in_thread(lambda: next(messages, None))) is not None:
            yield text


def _choose_asker(*, yolo: bool) -> tuple[Ask, bool]:
    """The `Ask` of this run, and whether a person answers at a spending cap; after -y nobody is waited for there."""
    ask = TtyApprovals()
    nobody = refuse_all(ALWAYS_ASKED_REASON if yolo else NO_TERMINAL_REASON)
    if not ask.available:
        return nobody, False
    if not yolo:
        return ask, True

    async def answer(question: Question) -> Decision:
        return await (nobody if question.choices else ask)(question)

    return answer, False


async def _read_in_thread(read: Callable[[], _T]) -> _T:
    """`read()` in a thread that a signal need not wait for: a pool's threads are joined at the end, this one is not."""
    reading: concurrent.futures.Future[_T] = concurrent.futures.Future()
    reading.set_running_or_notify_cancel()

    def work() -> None:
        try:
            reading.set_result(read())
        except Exception as error:  # it rises where the result is awaited
            reading.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return await asyncio.wrap_future(reading)
