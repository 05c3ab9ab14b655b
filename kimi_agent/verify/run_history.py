"""Test run history folded from a session's log: the runs, and the calls that changed files between them. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from kimi_agent.log.events import CallStarted, Checkpoint, Returned, Rewound, Said, Stamped
from kimi_agent.log.fold.current_records import CurrentRecords
from kimi_agent.log.messages import Assistant, Call, User
from kimi_agent.log.views import DiffView, TestCase, TestReport

_MAIN = "main"
_MAY_CHANGE = ("write", "execute")
_MOST_SCOPE = 200


@dataclass(frozen=True)
class TestRunRecord:
    """One run of the tests. `before` is the hash of the tree that it ran on, `after` of the one it left ("": unknown).

    A joint run of several projects is as many records, of the same `seq`; `call` is the report of the whole call.
    `report` and `call` are without their passing cases; `red`, `green` and `skipped` are the ids of all of them. Where
    a run is known by its exit code alone, its command stands for the tests in it, and `only_exit_code` is True.
    """

    seq: int
    answer: int
    index: int
    report: TestReport
    call: TestReport
    before: str
    after: str
    red: tuple[str, ...] = ()
    green: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    total: int = 0
    scope: str = ""
    own_command: bool = False

    @property
    def only_exit_code(self) -> bool:
        """Whether no test was read one by one."""
        return not self.total

    @property
    def passed(self) -> bool:
        """Whether it was green by all that is known of it alone."""
        return self.report.verdict == "passed"

    def count_green(self, test: str) -> int:
        """How often a test passed in it; not at all where it failed at times, by the runner's own reruns too."""
        if test not in self.green or any(case.id == test and case.failures for case in self.report.cases):
            return 0
        return max(1, self.report.repeats)

    @property
    def test_ids(self) -> tuple[str, ...]:
        """All tests of the run."""
        return (*self.red, *self.green, *self.skipped)


@dataclass(frozen=True)
class FileChangingCall:
    """A call that may have changed files: the trees around it ("": not known), and the paths that it reported.

    `seq` is where it ended. `is_fully_reported` says that the tool's own report is enough where the trees are silent.
    """

    seq: int
    before: str
    after: str
    reported_paths: tuple[str, ...] = ()
    is_fully_reported: bool = False
    is_run: bool = False


@dataclass(frozen=True)
class TestRunHistory:
    """The runs that no rewind undid, and the calls that may have changed files, in the order of the log.

    `turn` is the sequence number at which the last turn began.
    """

    turn: int
    runs: tuple[TestRunRecord, ...]
    changing_calls: tuple[FileChangingCall, ...]


@dataclass
class _OpenCall:
    """A call that has not returned."""

    seq: int
    effect: str = "read"
    before: Checkpoint | None = None
    after: Checkpoint | None = None

    def trees(self) -> tuple[str, str]:
        before = self.before.tree if self.before is not None else ""
        return before, self.after.tree if self.after is not None else before  # logged only where something differs


@dataclass
class _HistoryReader:
    turn: int = 0
    runs: list[TestRunRecord] = field(default_factory=list)
    changing_calls: list[FileChangingCall] = field(default_factory=list)
    _open: dict[tuple[int, int], _OpenCall] = field(default_factory=dict)
    _calls: dict[tuple[int, int], Call] = field(default_factory=dict)
    _current: CurrentRecords = field(default_factory=lambda: CurrentRecords(of="files"))
    _ids: dict[str, str] = field(default_factory=dict)

    def add(self, stamped: Stamped) -> None:
        if not isinstance(stamped.event, Rewound) or stamped.event.tree:  # without one no file went back
            self._current.add(stamped)
        match stamped.event:
            case Said(User(), queued=0) if stamped.agent == _MAIN:
                self.turn = stamped.seq
            case Said(Assistant() as message):
                tests = ((at, call) for at, call in enumerate(message.calls) if call.name == "run_tests")
                self._calls.update(((stamped.seq, at), call) for at, call in tests)
            case Checkpoint(when=when, answer=answer, index=index) as kept if answer:
                call = self._open.setdefault((answer, index), _OpenCall(stamped.seq))
                if when == "before":
                    call.before = kept
                else:
                    call.after = kept
            case CallStarted(answer, index, _, effect):
                self._open.setdefault((answer, index), _OpenCall(stamped.seq)).effect = effect
            case Returned():
                self._returned(stamped.seq, stamped.event)
            case _:
                pass

    def _returned(self, seq: int, event: Returned) -> None:
        call = self._open.pop((event.answer, event.index), None) or _OpenCall(seq)
        before, after = call.trees()
        view = event.result.view
        if isinstance(view, TestReport):
            asked = self._calls.pop((event.answer, event.index), None)
            before = view.tree or before
            after = after if call.after else before
            self.runs += self._records(seq, event, view, (before, after), asked)
            self.changing_calls.append(FileChangingCall(seq, before, after, is_run=True))
            return
        named: tuple[str, ...] = ()
        if isinstance(view, DiffView) and not event.result.failed:
            named = tuple(dict.fromkeys(path for file in view.files for path in (file.old_path, file.path) if path))
        if named or call.before is not None or call.effect in _MAY_CHANGE:
            # Our own edits land whole or not at all.
            sure = bool(named) or (call.effect == "write" and event.result.failed)
            self.changing_calls.append(FileChangingCall(seq, before, after, named, is_fully_reported=sure))

    def _records(
        self, seq: int, event: Returned, call: TestReport, trees: tuple[str, str], asked: Call | None
    ) -> Iterator[TestRunRecord]:
        """A record for each project that the call ran the tests of."""
        scope, own = _scope(call, asked)
        whole_call = _without_passing_cases(call)
        for part in call.parts or (call,):
            # Nothing narrowed a part of what nothing narrowed.
            report = replace(part, whole=part.whole or call.whole, parts=())
            found = self._ids_by_outcome(report)
            yield TestRunRecord(
                seq,
                event.answer,
                event.index,
                _without_passing_cases(report),
                whole_call,
                *trees,
                red=(*found["failed"], *found["error"]),
                green=tuple(found["passed"]),
                skipped=tuple(found["skipped"]),
                total=len(report.cases),
                scope=scope,
                own_command=own,
            )

    def _ids_by_outcome(self, report: TestReport) -> Mapping[str, Sequence[str]]:
        found: dict[str, list[str]] = {"passed": [], "failed": [], "error": [], "skipped": []}
        for case in report.cases:
            # One string for a test, however often it ran: long sessions hold many runs.
            found[case.outcome].append(self._ids.setdefault(case.id, case.id))
        if not report.cases and report.verdict in ("passed", "failed"):
            found[report.verdict].append(report.command)
        return found

    def _ran_on_files_that_stand(self, run: TestRunRecord) -> bool:
        """Whether no rewind took back the files of the run, but to the very tree that it left."""
        taken = (rewound for at, rewound in self._current.rewinds if rewound.to <= run.seq < at)
        return all(rewound.tree == run.after for rewound in taken)

    def history(self, now: str) -> TestRunHistory:
        """Everything read so far; what never returned is held to have gone on until `now`."""
        changing_calls = list(self.changing_calls)
        for call in self._open.values():
            if call.before is not None or call.effect in _MAY_CHANGE:
                before = call.before.tree if call.before is not None else ""
                after = call.after.tree if call.after is not None else now
                changing_calls.append(FileChangingCall(call.seq, before, after))
        runs = tuple(filter(self._ran_on_files_that_stand, self.runs))
        return TestRunHistory(self.turn, runs, tuple(sorted(changing_calls, key=lambda call: call.seq)))


def read_run_history(log: Iterable[Stamped], now: str = "") -> TestRunHistory:
    """The runs and file-changing calls of a session; `now` is the tree at its end."""
    reader = _HistoryReader()
    for stamped in log:
        reader.add(stamped)
    return reader.history(now)


def _without_passing_cases(report: TestReport) -> TestReport:
    kept = tuple(case for case in report.cases if case.outcome != "passed" or _is_flaky(case))
    return replace(report, cases=kept, parts=tuple(map(_without_passing_cases, report.parts)))


def _is_flaky(case: TestCase) -> bool:
    """Whether a test that ran several times in one run failed in some of them."""
    return 0 < case.failures < case.runs


def _scope(report: TestReport, asked: Call | None) -> tuple[str, bool]:
    """What a call narrowed its run to, "" for nothing; and whether its command was the model's own."""
    try:
        given = json.loads(asked.arguments, strict=False) if asked is not None else None
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        return "", False
    if command := given.get("command"):
        return f"command: {command}"[:_MOST_SCOPE], True
    targets = given.get("targets")
    words = [each for each in (targets if isinstance(targets, list) else [targets]) if isinstance(each, str)]
    if isinstance(given.get("name"), str) and given["name"]:
        words.append(f"tests named {given['name']}")
    if given.get("failed_only"):
        words.append("tests that had failed")
    if report.whole or not words:
        return "", False
    return f"narrowed: {', '.join(words)}"[:_MOST_SCOPE], False
