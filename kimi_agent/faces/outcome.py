"""What a turn came to: one reading of its events, for exit codes, the JSON result and the closing line."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kimi_agent.log.events import Answered, CallStarted, Returned, Said, Stamped, Status, TurnEnded
from kimi_agent.log.messages import Assistant, Usage, User
from kimi_agent.log.views import DiffView, TestReport

RESULT_VERSION = 1
Verdict = Literal["verified", "not_verified", "no_tests", "none_needed"]


@dataclass
class Outcome:
    """A listener. It counts from the last prompt on; `session` totals are the log's to give."""

    answer: str = ""
    steps: int = 0
    usage: Usage = field(default_factory=Usage)
    denials: list[dict[str, str]] = field(default_factory=list)
    ended: TurnEnded | None = None
    _changed: dict[str, None] = field(default_factory=dict)
    _report: TestReport | None = None
    _stale: bool = False
    _blocked: bool = False
    _effects: dict[tuple[int, int], str] = field(default_factory=dict)

    def __call__(self, stamped: Stamped) -> None:
        match stamped.event:
            case Said(Assistant() as message, usage):
                self.steps += 1
                self.usage = self.usage + (usage or Usage())
                self.answer = message.text if not message.calls else self.answer
            case Said(User(), _, _, 0):
                self.ended, self.answer, self._blocked = None, "", False
            case CallStarted(answer, index, _, effect):
                self._effects[answer, index] = effect
            case Answered(question, decision) if not decision.allowed:
                self.denials.append({"tool": question.tool, "call": question.title, "why": decision.message})
                self._blocked = True
            case Returned(answer, index, result):
                self._returned(self._effects.pop((answer, index), "read"), result.view, failed=result.failed)
            case TurnEnded():
                self.ended = stamped.event
            case _:
                pass

    def _returned(self, effect: str, view: object, *, failed: bool) -> None:
        if not failed:
            self._blocked = False  # the model found another way
        if isinstance(view, DiffView) and not failed:
            for file in view.files:
                self._changed |= dict.fromkeys(name for name in (file.old_path, file.path) if name)
            self._stale = True
        elif isinstance(view, TestReport):
            self._report = view
            self._stale = False

    @property
    def files_changed(self) -> list[str]:
        """The paths that edits touched, in the order of their first edit."""
        return list(self._changed)

    @property
    def verdict(self) -> Verdict:
        """Whether tests ran after the last edit and passed: the harness's own word, never the model's."""
        if not self._changed:
            return "none_needed"
        if self._report is None:
            return "no_tests"
        return "verified" if self._report.verdict == "passed" and not self._stale else "not_verified"

    @property
    def exit_code(self) -> int:
        """What a one-shot run ends with: the turn's own code, or 77 where a denial kept the work from being done."""
        if self.ended is None:
            return 1
        return 77 if self.ended.exit_code == 0 and self._blocked else self.ended.exit_code

    def tests(self) -> dict[str, Any]:
        """The `tests` member of the result object."""
        found: dict[str, Any] = {"verdict": self.verdict}
        if self._report is not None:
            report = self._report
            found |= {
                "runner": report.runner,
                "command": report.command,
                "outcome": report.verdict,
                "passed": report.count("passed"),
                "failed": report.count("failed") + report.count("error"),
                "skipped": report.count("skipped"),
                "failures": [case.id for case in report.cases if case.outcome in ("failed", "error")][:50],
                "changed_after": self._stale,
            }
        return found


def result_object(
    outcome: Outcome, *, session_id: str, model: str, duration_s: float, exit_code: int, trouble: str = ""
) -> dict[str, Any]:
    """The final JSON object of a run (DESIGN §7 "Result object"); `trouble` says why where no turn could."""
    ended = outcome.ended
    status: Status = ended.status if ended is not None else "failed"
    error = None
    if exit_code != 0:
        why = trouble or (ended.text if ended is not None else "") or _WHY.get(exit_code, "The run failed.")
        status = _STATUS.get(exit_code, "failed" if status == "done" else status)
        error = {"code": exit_code, "message": why}
    return {
        "version": RESULT_VERSION,
        "status": status,
        "exit_code": exit_code,
        "answer": outcome.answer,
        "error": error,
        "session_id": session_id,
        "model": model,
        "steps": outcome.steps,
        "files_changed": outcome.files_changed,
        "tests": outcome.tests(),
        "usage": {
            "input_tokens": outcome.usage.input,
            "output_tokens": outcome.usage.output,
            "cached_tokens": outcome.usage.cached,
        },
        "cost_usd": None,
        "denials": outcome.denials,
        "duration_s": round(duration_s, 3),
    }


_STATUS: Mapping[int, Status] = {77: "blocked", 129: "interrupted", 130: "interrupted", 143: "interrupted"}
_WHY = {
    77: "A needed permission was denied; run again with -y to allow edits and commands, or use --permission-mode.",
    129: "The terminal went away.",
    130: "Interrupted.",
    143: "Terminated.",
}
