"""Result writer of a run: what is said last, once, after everything that can still fail, whoever ends the run."""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from kimi_agent.app.open_agent import OpenAgent
from kimi_agent.cli.argv import find_output_format
from kimi_agent.cli.report_error import print_to_stderr
from kimi_agent.cli.run.options import RunOptions
from kimi_agent.cli.signals import GRACE_S, SignalWatchdog
from kimi_agent.faces.evidence_text import evidence_markdown
from kimi_agent.faces.headless import github_actions
from kimi_agent.faces.headless.jsonl import write_json_line
from kimi_agent.faces.headless.outcome import RunOutcome, build_result_object
from kimi_agent.faces.headless.output_thread import OutputThread, QueuedStream
from kimi_agent.faces.headless.text_output import TextPrinter
from kimi_agent.faces.sanitize import sanitize

_STALLED_S = 0.9
"""A reader that takes nothing for so long is not waited for once the run has to end."""
_EXIT_TIME_LIMIT = 55


class ResultWriter:
    """The result of one run, and the streams that it goes to; what a run knows of itself is put in as it becomes known.

    `text` prints a text run. `close` says the result where the run came to its end, `say_last_words` where a signal
    has to end it: whichever comes first says it, with its exit code.
    """

    def __init__(self, options: RunOptions, signals: SignalWatchdog, stdout: TextIO, stderr: TextIO) -> None:
        self.options = options
        self.outcome = RunOutcome()
        self.output = OutputThread()
        self.out = QueuedStream(self.output, stdout)
        self.err = QueuedStream(self.output, stderr)
        self.text: TextPrinter | None = None
        self.opened: OpenAgent | None = None
        self.session_id = ""
        self.model = ""
        self.trouble = ""
        self.timeout_s = 0.0
        self._signals = signals
        self._began = time.monotonic()
        self._said: int | None = None
        self._saying = threading.RLock()

    def say(self, text: str) -> None:
        """One sentence on stderr, in its turn."""
        self.err.write(f"kimi-agent: {sanitize(text)}\n")

    def say_trouble(self, text: str) -> None:
        """The same, and the reason that the result gives."""
        self.trouble = text
        self.say(text)

    def close(self, code: int) -> int:
        """Write what is left to write. The exit code is 1 where the answer could not be written."""
        if self._signals.number:
            code = self._signals.exit_code
        code = self._write_answer_file(code)
        self._annotate()
        code = self._say(code)
        if not self.output.drain(self._may_give_up):
            return self._signals.exit_code if self._signals.number else _EXIT_TIME_LIMIT
        if self.out.error is None:
            return code
        if isinstance(self.out.error, BrokenPipeError):
            self.say(f"Standard output was closed before the answer was written.{self._kept()}")
        else:
            self.say(f"The answer could not be written: {self.out.error.strerror}.{self._kept()}")
            code = code or 1
        self.output.drain(self._may_give_up)
        return code

    def say_last_words(self, _: int) -> int:
        """The same where nothing may be waited for any more; it may be called in any thread."""
        if self.opened is not None:
            self.opened.runner.kill_all()
        code = self._say(self._signals.exit_code)
        return code if self.output.drain(self._may_give_up) else self._signals.exit_code

    def _say(self, code: int) -> int:
        """Say how the run ended, if nobody did; gives the exit code that was said."""
        with self._saying:
            if self._said is None:
                self._said = code
                if self.options.output == "text":
                    self._close_text(code)
                else:
                    kind = {} if self.options.output == "json" else {"type": "result"}
                    write_json_line(self.out, {**kind, **self._object(code)})
            return self._said

    def _object(self, code: int) -> dict[str, Any]:
        return build_result_object(
            self.outcome,
            exit_code=code,
            duration_s=time.monotonic() - self._began,
            trouble=self.trouble,
            session_id=self.session_id,
            model=self.model,
            saved=self._is_saved,
        )

    @property
    def _is_saved(self) -> bool:
        return bool(self.session_id) and self.opened is not None and self.opened.session.is_saved

    def _kept(self) -> str:
        """Where else the answer is, as a sentence behind others; "" where it is nowhere."""
        return f" Session {self.session_id} keeps it." if self._is_saved else ""

    def _may_give_up(self, stalled_s: float) -> bool:
        """Whether the reader need not be waited for: the run has to end, and nobody takes a byte.

        For a reader that only looks when we are gone, the pipe is widened until it holds what is left.
        """
        late_s = time.monotonic() - self._began - self.timeout_s if self.timeout_s else 0.0
        over_s = max(late_s, self._signals.elapsed_s)
        if over_s <= 0:
            return False
        self.output.widen_pipes()
        return over_s > GRACE_S and stalled_s > _STALLED_S

    def _write_answer_file(self, code: int) -> int:
        """The answer's file (-o); gives the exit code, which is no success where it could not be written."""
        if not self.options.answer_file:
            return code
        try:
            with open(self.options.answer_file, "w", encoding="utf-8", errors="replace", opener=_open_at_once) as file:
                file.write(self.outcome.answer + "\n")
        except OSError as error:
            why = f"{error.strerror}.{self._kept()}"
            trouble = f"The answer could not be written to {self.options.answer_file}: {why}"
            self.say(trouble)
            self.trouble = self.trouble or trouble
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
            self.err.write(line + "\n")
        if path := os.environ.get("GITHUB_STEP_SUMMARY"):
            markdown = evidence_markdown(evidence, session=self.session_id, model=self.model)
            if trouble := github_actions.append_step_summary(path, markdown):
                self.say(trouble)

    def _close_text(self, code: int) -> None:
        if self.text is not None:
            self.text.finish(self.outcome.answer)
        ended = self.outcome.ended
        if code == 77 and self.outcome.denials:
            denial = self.outcome.denials[-1]
            why = denial["why"] or "refused; -y allows edits and commands"
            self.say(f"Not done: {denial['tool']} was denied: {why}.")
        elif ended is not None and ended.text:
            self.say(ended.text)
        if self.opened is not None and self.session_id and not self.opened.session.unsaved and not self.options.quiet:
            self.say(f"session {self.session_id}; go on with: {self.opened.setup.resume_with} {self.session_id}")


def _open_at_once(path: str, flags: int) -> int:
    """An opener that does not wait for somebody to read a pipe. Raises OSError where nobody does."""
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY, 0o666)
    os.set_blocking(fd, True)
    return fd


def write_early_result(argv: list[str], out: TextIO, code: int, *, trouble: str) -> int:
    """The result of a run that ended before it began, where argv asks for one; gives the exit code."""
    form = find_output_format(argv)
    if form in ("json", "stream-json"):
        result = build_result_object(RunOutcome(), exit_code=code, duration_s=0.0, trouble=trouble)
        try:
            write_json_line(out, result if form == "json" else {"type": "result", **result})
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                print_to_stderr(f"The result could not be written: {error.strerror}.")
                code = code or 1
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
    return code
