"""Outcome of a headless run: folds its events into the exit code, the JSON result and the closing line."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kimi_agent.faces.evidence_text import evidence_json
from kimi_agent.log.events import (
    Answered,
    Committed,
    Judged,
    Notice,
    Partial,
    Published,
    Retrying,
    Returned,
    Said,
    Spent,
    Stamped,
    Status,
    TextDelta,
    TurnEnded,
)
from kimi_agent.log.messages import Assistant, Usage, User
from kimi_agent.log.views import DiffView, Evidence

RESULT_VERSION = 1
EXIT_NOT_GREEN = 4
MAX_NOTICES = 100
"""Notices of a run that its result holds; the rest were heard when they came."""


@dataclass
class RunOutcome:
    """A listener. It counts from the last prompt on; `session` totals are the log's to give.

    With `require_green` a run that would end well ends with 4 where it is not green (see `Evidence.is_green`).
    `committed` is the last commit, `published` what was said of --commit and --pr since.
    """

    require_green: bool = False
    answer: str = ""
    steps: int = 0
    usage: Usage = field(default_factory=Usage)
    cost_usd: float | None = 0.0
    denials: list[dict[str, str]] = field(default_factory=list)
    ended: TurnEnded | None = None
    evidence: Evidence | None = None
    committed: Committed | None = None
    published: Published | None = None
    notices: list[str] = field(default_factory=list)
    _words: list[str] = field(default_factory=list)
    _changed: dict[str, None] = field(default_factory=dict)
    _blocked: bool = False
    _steps_before: int = 0

    def __call__(self, stamped: Stamped) -> None:
        match stamped.event:
            case TextDelta(text):
                self._words.append(text)
            case Retrying(kept=False):
                self._words.clear()
            case Partial(text, retried=False):
                self._words = [text]
            case Notice(text) if text not in self.notices and len(self.notices) < MAX_NOTICES:
                self.notices.append(text)
            case Committed() as committed:
                self.committed, self.published = committed, None
            case Published() as published:
                self.published = published
            case Said(Assistant() as message):
                self._words.clear()
                self.steps += 1
                self.answer = message.text if not message.calls else self.answer
            case Said(User(), _, _, 0):
                self.ended, self.answer, self._blocked = None, "", False
                self._words.clear()
            case Spent(_, usage, usd):
                self.usage = self.usage + usage
                self.cost_usd = None if self.cost_usd is None or usd is None else self.cost_usd + usd
            case Answered(question, decision) if not decision.allowed and not question.choices:
                self.denials.append({"tool": question.tool, "call": question.title, "why": decision.message})
                self._blocked = True
            case Returned(result=result):
                self._returned(result.view, failed=result.failed)
            case Judged(evidence):
                self.evidence = evidence
                self._changed |= dict.fromkeys(evidence.files)
            case TurnEnded() as ended:
                self.ended = ended
                self.steps = self._steps_before = self._steps_before + ended.steps  # the last words are no step
            case _:
                pass

    def _returned(self, view: object, *, failed: bool) -> None:
        if not failed:
            self._blocked = False  # the model found another way
        if isinstance(view, DiffView) and not failed:
            for file in view.files:
                self._changed |= dict.fromkeys(name for name in (file.old_path, file.path) if name)

    @property
    def partial(self) -> str:
        """The words that had come of an answer that broke off, "" where none did."""
        return "".join(self._words)

    @property
    def files_changed(self) -> list[str]:
        """The paths that edits and commands changed, in the order of their first change."""
        return list(self._changed)

    @property
    def green(self) -> bool:
        """Whether nothing that this run changed is left unproven, and no test is red."""
        return self.evidence.is_green if self.evidence is not None else not self._changed

    @property
    def exit_code(self) -> int:
        """What a one-shot run ends with: the turn's own code, 77 where a denial kept the work from being done, or 4."""
        if self.ended is None:
            return 1
        code = 77 if self.ended.exit_code == 0 and self._blocked else self.ended.exit_code
        return EXIT_NOT_GREEN if code == 0 and self.require_green and not self.green else code

    def commit(self) -> dict[str, Any] | None:
        """The `commit` member of the result object: null where none was asked for, or no turn came so far."""
        made, said = self.committed, self.published or Published()
        if made is None and said == Published():
            return None
        return {
            "sha": made.commit if made else None,
            "branch": made.branch if made else None,
            "files": list(made.files) if made else [],
            "pull_request": said.pull_request or None,
            "error": said.error or None,
        }

    def tests(self) -> dict[str, Any]:
        """The `tests` member of the result object."""
        if self.evidence is not None:
            return evidence_json(self.evidence)
        return {"verdict": "not_verified" if self._changed else "none_needed"}


def build_result_object(
    outcome: RunOutcome,
    *,
    exit_code: int,
    duration_s: float,
    trouble: str = "",
    session_id: str = "",
    model: str = "",
    saved: bool = False,
) -> dict[str, Any]:
    """The final JSON object of a run (`--output-format json`); `trouble` says why where no turn could.

    `saved` says that the whole log of the session is on disk.
    """
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
        "answer": outcome.answer or outcome.partial,
        "error": error,
        "session_id": session_id,
        "saved": saved,
        "model": model,
        "steps": outcome.steps,
        "files_changed": outcome.files_changed,
        "tests": outcome.tests(),
        "commit": outcome.commit(),
        "usage": {
            "input_tokens": outcome.usage.input,
            "output_tokens": outcome.usage.output,
            "cached_tokens": outcome.usage.cached,
            "reasoning_tokens": outcome.usage.reasoning,
        },
        "cost_usd": None if outcome.cost_usd is None else round(outcome.cost_usd, 6),
        "denials": outcome.denials,
        "notices": outcome.notices,
        "duration_s": round(duration_s, 3),
    }


_STATUS: Mapping[int, Status] = {77: "blocked", 129: "interrupted", 130: "interrupted", 143: "interrupted"}
_WHY = {
    4: "No passing test run proves the files as they are now (--require-green).",
    77: "A needed permission was denied; run again with -y to allow edits and commands, or use --permission-mode.",
    129: "The terminal went away.",
    130: "Interrupted.",
    143: "Terminated.",
}
