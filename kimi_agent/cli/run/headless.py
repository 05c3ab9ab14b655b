"""Headless run (no REPL): read the prompt, take the turn, print its result, exit with its code."""

import asyncio
import concurrent.futures
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

from kimi_agent.app.bootstrap import Setup
from kimi_agent.app.open_agent import OpenAgent, open_agent
from kimi_agent.cli.report_error import drop_stdout, print_to_stderr, report_error
from kimi_agent.cli.run.options import RunOptions
from kimi_agent.cli.run.setup import open_workspace, session_opener
from kimi_agent.faces.evidence_text import evidence_markdown
from kimi_agent.faces.headless import github_actions, stdin
from kimi_agent.faces.headless.jsonl import JsonLinesWriter, read_json_messages, write_json_line
from kimi_agent.faces.headless.outcome import RunOutcome, build_result_object
from kimi_agent.faces.headless.text_output import TextPrinter
from kimi_agent.faces.headless.tty_approvals import TtyApprovals
from kimi_agent.guard.tool_wrappers.approval import refuse_all
from kimi_agent.log.events import Listener, Stamped
from kimi_agent.log.messages import user_message
from kimi_agent.log.questions import Ask, Decision, Question

_T = TypeVar("_T")
_SILENCE_S = 2.0
NO_TERMINAL_REASON = "there is no terminal to ask on; the user can run again with -y, or with --permission-mode"
ALWAYS_ASKED_REASON = (
    "this is asked about in every mode, -y too, and there is no terminal to ask on; the user can run it by hand"
)


def run_once(options: RunOptions) -> int:
    """The whole run. Whatever happens, with a JSON format the result object is written, last."""
    run = _HeadlessRun(options)

    def stop(number: int, _: object) -> None:
        run.signal = number
        raise KeyboardInterrupt

    for number in run.ends_at:  # until the event loop takes them over
        signal.signal(number, stop)
    try:
        code = run.go()
    except KeyboardInterrupt:
        code = 128 + (run.signal or signal.SIGINT)
    except Exception as error:  # the top of the program: the result is written all the same
        run.trouble = str(error)
        code = report_error(error, debug=options.debug)
    return run.close(code)


class _HeadlessRun:
    """What a run must still know when it fails: enough to write its result."""

    def __init__(self, options: RunOptions) -> None:
        self.options = options
        self.outcome = RunOutcome()
        self.began = time.monotonic()
        self.opened: OpenAgent | None = None
        self.signal: int | None = None
        self.trouble = ""
        self.model = ""
        self.session_id = ""
        self.text: TextPrinter | None = None
        self.lost: OSError | None = None
        # Under nohup a terminal that goes away ends nothing: that is what it is for.
        stays = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self.ends_at = (signal.SIGINT, signal.SIGTERM, *(() if stays else (signal.SIGHUP,)))
        # Results are for programs to read: what a tool prints must not come between.
        self.out, sys.stdout = sys.stdout, sys.stderr

    def go(self) -> int:
        setup = open_workspace(self.options, trust=self.options.trust)
        self.model = setup.config.text("model")
        self.outcome.require_green = setup.config.on("require_green")
        return asyncio.run(self._guarded(setup))

    async def _guarded(self, setup: Setup) -> int:
        """The run as a task that the signals of `ends_at` cancel; a second signal ends the process at once."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._run(setup))

        def stop(number: int) -> None:
            if self.signal is not None:
                if self.opened is not None:
                    self.opened.runner.kill_all()
                os._exit(128 + number)
            self.signal = number
            task.cancel()

        for number in self.ends_at:
            loop.add_signal_handler(number, stop, number)
        try:
            return await task
        except asyncio.CancelledError:
            if self.signal is None:
                raise
            return 128 + self.signal

    async def _run(self, setup: Setup) -> int:
        piped, prompt = None, self.options.prompt
        if self.options.input == "text":
            piped = await self._piped()
            prompt = stdin.join_prompt(self.options.prompt, piped)
        answers, watched = _choose_asker(yolo=setup.config.text("mode") == "yolo")
        self.opened = opened = await open_agent(
            setup,
            session_opener(self.options),
            answers,
            self._listeners(),
            unattended=True,
            timeout_s=0 if watched else setup.config.number("timeout"),
            debug=self.options.debug,
        )
        self.session_id = opened.session.id
        try:
            for notice in opened.notices:
                if not self.options.quiet:
                    print_to_stderr(notice)
            if piped is not None:
                stdin.keep_piped_input(piped, opened.files.outputs)
            async with aclosing(self._prompts(prompt)) as prompts:
                async for text in prompts:
                    ended = await opened.run_turn(user_message(text))
                    self.trouble = ended.text
            return self.outcome.exit_code
        finally:
            await opened.aclose()

    async def _piped(self) -> stdin.PipedInput | None:
        """What stdin holds, if it is not a terminal."""
        if sys.stdin.isatty():
            return None
        has_prompt = bool(self.options.prompt.strip())
        timeouts = stdin.TIMEOUTS_WITH_PROMPT if has_prompt else stdin.TIMEOUTS_WITHOUT_PROMPT
        reading = asyncio.ensure_future(_read_in_thread(lambda: stdin.read_pipe(sys.stdin.fileno(), timeouts)))
        done, _ = await asyncio.wait([reading], timeout=_SILENCE_S)
        if not done and not self.options.quiet:
            print_to_stderr("Reading standard input; the work starts when it ends.")
        return await reading

    def _listeners(self) -> Sequence[Listener]:
        found: list[Listener] = [self.outcome]
        if self.options.output == "text":
            self.text = TextPrinter(self.out, sys.stderr, quiet=self.options.quiet, live=self.out.isatty())
            found.append(self.text)
        elif self.options.output == "stream-json":
            found.append(self._until_lost(JsonLinesWriter(self.out)))
        return found

    def _until_lost(self, listener: Listener) -> Listener:
        """`listener` until its reader is gone; then the turn goes on unheard, and its end says so."""

        def heard(stamped: Stamped) -> None:
            if self.lost is None:
                try:
                    listener(stamped)
                except OSError as error:
                    self.lost = error

        return heard

    async def _prompts(self, prompt: str) -> AsyncGenerator[str, None]:
        if prompt.strip():
            yield prompt
        if self.options.input == "text":
            return
        messages = read_json_messages(iter(sys.stdin.buffer))
        while (text := await _read_in_thread(lambda: next(messages, None))) is not None:
            yield text

    def close(self, code: int) -> int:
        """Write what is left to write; the code may become 1 where the answer could not be written."""
        outcome = self.outcome
        if self.signal is not None:
            code = 128 + self.signal
        self._annotate()
        try:
            if self.lost is not None:
                raise self.lost
            if self.options.output == "text":
                self._close_text(code)
            else:
                result = build_result_object(
                    outcome,
                    session_id=self.session_id,
                    model=self.model,
                    duration_s=time.monotonic() - self.began,
                    exit_code=code,
                    trouble=self.trouble,
                )
                kind = {} if self.options.output == "json" else {"type": "result"}
                write_json_line(self.out, {**kind, **result})
            if self.options.answer_file:
                Path(self.options.answer_file).write_text(outcome.answer + "\n", "utf-8")
        except BrokenPipeError:
            print_to_stderr(f"Standard output was closed; the answer is kept in session {self.session_id}.")
            drop_stdout()
        except OSError as error:
            where = f" Session {self.session_id} keeps it." if self.session_id else ""
            print_to_stderr(f"The answer could not be written: {error.strerror}.{where}")
            drop_stdout()
            return code or 1
        return code

    def _annotate(self) -> None:
        """Under GitHub Actions: annotations on stderr, which holds no answers, and the summary of the step."""
        evidence = self.outcome.evidence
        if evidence is None or self.opened is None or not github_actions.is_github_actions(os.environ):
            return
        workspace, top = self.opened.setup.workspace, Path(os.environ.get("GITHUB_WORKSPACE") or ".").resolve()
        folder = str(workspace.relative_to(top)) if workspace != top and workspace.is_relative_to(top) else ""
        for line in github_actions.annotation_lines(evidence, folder=folder):
            sys.stderr.write(line + "\n")
        if path := os.environ.get("GITHUB_STEP_SUMMARY"):
            markdown = evidence_markdown(evidence, session=self.session_id, model=self.model)
            if trouble := github_actions.append_step_summary(path, markdown):
                print_to_stderr(trouble)

    def _close_text(self, code: int) -> None:
        if self.text is not None:
            self.text.finish(self.outcome.answer)
        ended = self.outcome.ended
        if code == 77 and self.outcome.denials:
            denial = self.outcome.denials[-1]
            why = denial["why"] or "refused; -y allows edits and commands"
            print_to_stderr(f"Not done: {denial['tool']} was denied: {why}.")
        elif ended is not None and ended.text:
            print_to_stderr(ended.text)
        if self.opened is not None and not self.opened.session.unsaved and not self.options.quiet:
            resume = self.opened.setup.resume_with
            print_to_stderr(f"session {self.session_id}; go on with: {resume} {self.session_id}")


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
