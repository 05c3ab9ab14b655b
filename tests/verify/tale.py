"""A session as it happens, made by hand: the log of its calls and test runs, and the trees that it names."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Literal

from kimi_agent.log.events import CallStarted, Checkpoint, Durable, Effect, Returned, Said, Stamped
from kimi_agent.log.messages import Assistant, Call, user_message
from kimi_agent.log.views import DiffView, Evidence, FileDiff, OutputView, Result, RunVerdict, TestCase, TestReport
from kimi_agent.verify.evidence import judge_turn
from kimi_agent.verify.proof import OwnerOf

Outcome = Literal["passed", "failed", "error", "skipped"]
GREEN: Outcome = "passed"
RED: Outcome = "failed"
A, B, C = "tests/test_x.py::test_a", "tests/test_x.py::test_b", "tests/test_x.py::test_c"
ONE = "import b\nfrom a import f\n\n\ndef test_a():\n    assert f() == 1\n"
TWO = ONE + "\n\ndef test_b():\n    assert g()\n    assert not f()\n"


class Tale:
    """A session as it happens: a workspace of texts, its trees, and the log of what was done to it."""

    def __init__(self, **files: str) -> None:
        self.files = {"src/a.py": "1", "tests/test_x.py": TWO, **files}
        self.trees: dict[str, dict[str, str]] = {}
        self.log: list[Stamped] = []
        self.snapshots = True
        self.compared: list[tuple[str, str]] = []
        self.say("fix it")

    def tell(self, event: Durable, agent: str = "main") -> int:
        self.log.append(Stamped(agent, len(self.log) + 1, 0.0, event))
        return len(self.log)

    def tree(self) -> str:
        name = sha256(json.dumps(sorted(self.files.items())).encode()).hexdigest()
        self.trees[name] = dict(self.files)
        return name

    def say(self, text: str) -> int:
        return self.tell(Said(user_message(text)))

    def answers(self, text: str) -> None:
        self.tell(Said(Assistant(text)))

    def call(
        self, name: str, effect: Effect, arguments: object, changes: Mapping[str, str | None], returned: Result | None
    ) -> int:
        """A call between two snapshots; None in `changes` deletes a file, no `returned` leaves the call open."""
        answer = self.tell(Said(Assistant("", None, (Call("c", name, json.dumps(arguments)),))))
        before = self.tree()
        self.tell(Checkpoint(before, "before", answer) if self.snapshots else Checkpoint("", answer=answer, failed="x"))
        self.tell(CallStarted(answer, 0, name, effect))
        for path, text in changes.items():
            if text is None:
                del self.files[path]
            else:
                self.files[path] = text
        if self.snapshots and self.tree() != before:
            self.tell(Checkpoint(self.tree(), "after", answer))
        return self.tell(Returned(answer, 0, returned)) if returned is not None else answer

    def edit(self, path: str, text: str | None = "2") -> int:
        change: Literal["M", "D"] = "D" if text is None else "M"
        view = DiffView((FileDiff(path, change, 1, 1, ""),))
        return self.call("edit_file", "write", {}, {path: text}, Result("ok", view))

    def shell(self, **changes: str | None) -> int:
        result = Result("ok", OutputView("x", "", 0))
        return self.call("shell", "execute", {}, {k.replace("__", "/") + ".py": v for k, v in changes.items()}, result)

    def run(self, *writes: tuple[str, str], arguments: Mapping[str, Any] | None = None, **given: Any) -> int:
        """Tests run: `green`, `red`, ... hold ids; `writes` is what the run leaves in the workspace."""
        outcomes: dict[str, Outcome] = {"green": "passed", "red": "failed", "error": "error", "skipped": "skipped"}
        cases = [TestCase(each, outcomes[kind]) for kind in outcomes for each in given.pop(kind, ())]
        bad = any(case.outcome in ("failed", "error") for case in cases)
        verdict: RunVerdict = given.pop("verdict", "failed" if bad else "passed" if cases else "none_ran")
        fields = {"runner": "pytest", "command": "python -m pytest", "whole": not arguments, **given}
        fields.setdefault("evidence", "pyproject.toml")
        fields["cases"] = (*cases, *fields.get("cases", ()))
        fields.setdefault("exit_code", int(bad))
        report = TestReport(verdict=verdict, duration_s=1.0, **fields)
        return self.call("run_tests", "execute", arguments or {}, dict(writes), Result("ran", report))

    def changed(self, old: str, new: str) -> list[str]:
        self.compared.append((old, new))
        a, b = self.trees[old], self.trees[new]
        return sorted(path for path in {*a, *b} if a.get(path) != b.get(path))

    def text(self, tree: str, path: str) -> str | None:
        assert path.isprintable()
        return self.trees[tree].get(path)

    def judge(self, *, now: str | None = None, owner: OwnerOf = lambda path: None) -> Evidence:
        tree = (self.tree() if self.snapshots else "") if now is None else now
        return judge_turn(self.log, now=tree, changed=self.changed, text=self.text, owner=owner)
