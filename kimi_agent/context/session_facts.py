"""Facts of a session, folded from its log; they stay small however long the log grows.

They are what must outlive a compaction: the user's messages and refusals, files, commands, tests, evidence, commits.
One example: `pytest -q` that ran three times is one `CommandFact` with `times=3` and how it ended last.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec

from kimi_agent.context.call_arguments import decode_call_arguments
from kimi_agent.log import events
from kimi_agent.log.fold.current_records import CurrentRecords
from kimi_agent.log.messages import Assistant, Call, Media, User
from kimi_agent.log.views import FAILED_OUTCOMES, DiffView, Evidence, OutputView, Result, TestCase, TestReport
from kimi_agent.workspace.files.seen_files import KnownFile, add_seen

MAX_WHOLE_CHARS, EXCERPT_END_CHARS = 20_000, 9_000
"""The person's words are kept whole up to the first; of longer ones this much of each end."""
MAX_USER_EXCERPTS = 2_000
MAX_FILE_FACTS = 1_000
MAX_COMMAND_FACTS = 500
MAX_FAILING_TESTS = 100
MAX_OTHER_FACTS = 100
_COMMAND_CHARS = 2_000
_LINE_CHARS = 200

K = TypeVar("K")
V = TypeVar("V")


class NewestMap(dict[K, V]):
    """The `most` entries that were put last, the oldest first; `dropped` counts those that were evicted."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self.dropped = 0

    def put(self, key: K, value: V) -> None:
        """Add an entry as the newest, also if the key was there before."""
        self.pop(key, None)
        self[key] = value
        if len(self) > self._most:
            del self[next(iter(self))]
            self.dropped += 1

    def newest_first(self) -> tuple[V, ...]:
        return tuple(reversed(self.values()))


@dataclass(frozen=True)
class UserExcerpt:
    """A user's message of record `seq`: `head`, and, where it is not whole, `tail`; `size` characters in all."""

    seq: int
    head: str
    tail: str = ""
    size: int = 0
    media: int = 0

    @property
    def whole(self) -> bool:
        return len(self.head) == self.size


def excerpt_message(seq: int, message: User) -> UserExcerpt:
    """An excerpt of the person's message of record `seq`: all of it, or both ends if it is very long."""
    text = message.text
    media = sum(isinstance(part, Media) for part in message.parts)
    if len(text) <= MAX_WHOLE_CHARS:
        return UserExcerpt(seq, text, "", len(text), media)
    return UserExcerpt(seq, text[:EXCERPT_END_CHARS], text[-EXCERPT_END_CHARS:], len(text), media)


@dataclass(frozen=True)
class FileFact:
    """A file as the agent last saw it; `change` says what the agent did to it ("" nothing, else M, A, D or R).

    `seq` is the last record about it, `written` the last one that changed it.
    """

    path: str
    known: KnownFile
    change: str
    seq: int
    written: int = 0


@dataclass(frozen=True)
class CommandFact:
    """A shell command that ran `times` times: how it ended last, and the last line that it printed."""

    command: str
    outcome: str
    last_line: str
    times: int
    seq: int


@dataclass(frozen=True)
class LatestTestRun:
    """How the tests came out when they last ran by this command."""

    command: str
    verdict: str
    passed: int
    failed: int
    skipped: int
    trouble: str
    seq: int


@dataclass(frozen=True)
class RefusalFact:
    """A call that the user did not allow, and the reason they gave."""

    title: str
    words: str
    seq: int


class SessionFacts:
    """The facts so far; `add` each record that no rewind took back, in the order of the log."""

    def __init__(self) -> None:
        self.first: UserExcerpt | None = None
        self.words: NewestMap[int, UserExcerpt] = NewestMap(MAX_USER_EXCERPTS)
        self.turn_is_open = False
        self.files: NewestMap[str, FileFact] = NewestMap(MAX_FILE_FACTS)
        self.commands: NewestMap[str, CommandFact] = NewestMap(MAX_COMMAND_FACTS)
        self.runs: NewestMap[str, LatestTestRun] = NewestMap(MAX_OTHER_FACTS)
        self.failing: NewestMap[str, TestCase] = NewestMap(MAX_FAILING_TESTS)
        self.fixed: NewestMap[str, str] = NewestMap(MAX_OTHER_FACTS)
        self.refusals: NewestMap[int, RefusalFact] = NewestMap(MAX_OTHER_FACTS)
        self.commits: NewestMap[str, events.Committed] = NewestMap(MAX_OTHER_FACTS)
        self.evidence: Evidence | None = None
        self._calls: dict[tuple[int, int], Call] = {}
        self._running: dict[tuple[int, int], int] = {}

    def add(self, stamped: events.Stamped) -> None:
        """Take one record in."""
        seq = stamped.seq
        match stamped.event:
            case events.Said(message=User() as message, queued=queued):
                self._said(excerpt_message(seq, message), queued=queued)
            case events.Said(message=Assistant(calls=calls)):
                self._cut_off()
                self._calls = {(seq, index): call for index, call in enumerate(calls)}
            case events.CallStarted(answer, index):
                self._running[answer, index] = seq
            case events.Returned(answer, index, result):
                self._running.pop((answer, index), None)
                self._returned(seq, result)
            case events.Seen() as seen:
                self._seen(seq, seen)
            case events.Answered(question, decision) if not decision.allowed and decision.by == "person":
                if not question.choices:
                    self.refusals.put(seq, RefusalFact(question.title, decision.message.strip(), seq))
            case events.Judged(evidence):
                self.evidence = evidence
                for test in evidence.fixed:
                    self.fixed.put(test, test)
            case events.Committed() as committed:
                self.commits.put(committed.commit, committed)
            case events.Rewound() as rewound:
                self._put_back(rewound)
            case events.TurnEnded():
                self._cut_off()
                self.turn_is_open = False

    def _said(self, said: UserExcerpt, *, queued: int) -> None:
        self._cut_off()
        self.turn_is_open = self.turn_is_open or not queued
        if self.first is None:
            self.first = said
        else:
            self.words.put(said.seq, said)

    def _cut_off(self) -> None:
        """End the commands that began and have no result: they may have done anything."""
        for place, seq in self._running.items():
            if place in self._calls and (command := _command_of(self._calls[place])):
                self._ran(command, "interrupted: it may or may not have taken effect", "", seq)
        self._running.clear()
        self._calls.clear()

    def _returned(self, seq: int, result: Result) -> None:
        match result.view:
            case OutputView(command, text, exit_code):
                outcome = "ran out of time" if result.code == "timeout" else "killed"
                ended = outcome if exit_code is None or result.failed else f"exit {exit_code}"
                self._ran(command, ended, _last_line(text), seq)
            case TestReport() as report:
                self._tested(seq, report)
            case DiffView(files) if not result.failed:
                for each in files:
                    self._changed(seq, each.path, each.change)
                    if each.old_path:
                        self._changed(seq, each.old_path, "D")

    def _ran(self, command: str, outcome: str, last_line: str, seq: int) -> None:
        key = command[:_COMMAND_CHARS]
        before = self.commands.get(key)
        self.commands.put(key, CommandFact(key, outcome, last_line, before.times + 1 if before else 1, seq))

    def _tested(self, seq: int, report: TestReport) -> None:
        failed = sum(map(report.count, FAILED_OUTCOMES))
        counts = report.count("passed"), failed, report.count("skipped")
        key = report.command[:_COMMAND_CHARS]
        self.runs.put(key, LatestTestRun(key, report.verdict, *counts, report.trouble[:_LINE_CHARS], seq))
        if report.whole and report.verdict in ("passed", "failed"):
            self.failing.clear()
        for case in report.cases:
            if case.outcome in FAILED_OUTCOMES:
                self.fixed.pop(case.id, None)
                self.failing.put(case.id, msgspec.structs.replace(case, detail=""))
            elif self.failing.pop(case.id, None) is not None and case.outcome == "passed":
                self.fixed.put(case.id, case.id)

    def _seen(self, seq: int, seen: events.Seen) -> None:
        old = self.files.get(seen.path)
        change, written = (old.change, old.written) if old else ("", 0)
        if seen.by == "write":
            change, written = "D" if not seen.sha256 else "M" if change in ("", "D") else change, seq
        known = add_seen(old.known if old else None, seen)
        self.files.put(seen.path, FileFact(seen.path, known, change, seq, written))

    def _changed(self, seq: int, path: str, change: str) -> None:
        old = self.files.get(path)
        # What was added in this session and edited since is still a new file.
        shown = "A" if change == "M" and old and old.change == "A" else change
        known = old.known if old else KnownFile("")
        self.files.put(path, FileFact(path, known, shown, seq, seq))

    def _put_back(self, rewound: events.Rewound) -> None:
        """Forget the files that went back: nothing is known of them for sure."""
        if rewound.what != "chat":
            for path, file in list(self.files.items()):
                if file.seq >= rewound.to and (not rewound.paths or path in rewound.paths):
                    del self.files[path]


def fold_session_facts(log: Iterable[events.Stamped], current: CurrentRecords, agent: str = "main") -> SessionFacts:
    """The facts in the records of `agent` that are `current`."""
    facts = SessionFacts()
    for stamped in log:
        if stamped.agent == agent and current.is_current(stamped.seq):
            facts.add(stamped)
    return facts


def _command_of(call: Call) -> str:
    """The command in the arguments of a call, "" where there is none."""
    command = decode_call_arguments(call).get("command")
    return command if isinstance(command, str) else ""


def _last_line(text: str) -> str:
    lines = text[-2 * _LINE_CHARS :].rstrip().splitlines()
    return lines[-1].strip()[-_LINE_CHARS:] if lines else ""


def shorten_excerpt(word: UserExcerpt, chars: int) -> UserExcerpt:
    """`word` with at most `chars` characters of it, two thirds of them from its beginning."""
    if len(word.head) + len(word.tail) <= chars:
        return word
    end = chars // 3
    text = word.tail or word.head
    return replace(word, head=word.head[: chars - end], tail=text[len(text) - end :])
