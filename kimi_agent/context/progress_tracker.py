"""Progress tracker: whether anything got done since the last compaction, or the agent runs in circles."""

from posixpath import normpath

from kimi_agent.context.call_arguments import decode_call_arguments
from kimi_agent.log import events
from kimi_agent.log.messages import Assistant, Call, User
from kimi_agent.log.views import FAILED_OUTCOMES, DiffView, Result, TestReport
from kimi_agent.workspace.files.seen_files import KnownFile, add_seen


class ProgressTracker:
    """A fold of the log: whether there was progress since the last automatic compaction, or the last shortening too.

    Progress is a word of the person, a changed file, a test that comes out differently, lines of a file never seen
    before, a call never made before. Reading again what was seen before is none.
    """

    def __init__(self, workspace: str) -> None:
        self.since_compaction = True
        self.since_reduction = True
        self._workspace = workspace.rstrip("/") + "/"
        self._answer = 0
        self._asked: tuple[Call, ...] = ()
        self._calls: set[int] = set()
        self._known: dict[str, KnownFile] = {}
        self._tests: dict[str, tuple[str, ...]] = {}
        self._tree = ""

    def add(self, seq: int, event: events.Event) -> None:
        """Take one record in."""
        if isinstance(event, events.Compacted):
            self.since_compaction = self.since_reduction = event.why == "asked"
        elif isinstance(event, events.Shortened):
            self.since_reduction = False
        elif self._is_progress(seq, event):
            self.since_compaction = self.since_reduction = True

    def _is_progress(self, seq: int, event: events.Event) -> bool:
        match event:
            case events.Said(message=Assistant(calls=calls)):
                self._answer, self._asked = seq, calls
                return False
            case (
                events.Said(message=User())
                | events.Queued()
                | events.Rewound()
                | events.Restored()
                | events.Committed()
            ):
                return True
            case events.CallStarted():
                return self._is_new(event)
            case events.Returned(result=result):
                return self._changed(result)
            case events.Seen():
                return self._saw(event)
            case events.Checkpoint(tree, when) if tree:
                before, self._tree = self._tree, tree
                return when == "after" and tree != before
            case _:
                return False

    def _is_new(self, started: events.CallStarted) -> bool:
        if started.answer != self._answer or not 0 <= started.index < len(self._asked):
            return False
        call = self._asked[started.index]
        key = hash((call.name, call.arguments))
        if key in self._calls:
            return False
        self._calls.add(key)
        return not (started.effect == "read" and self._reads_again(call))

    def _reads_again(self, call: Call) -> bool:
        """Whether it names a file that was seen, and else only numbers; a `Seen` reports which lines are new."""
        arguments = decode_call_arguments(call)
        path = arguments.pop("path", None)
        if not isinstance(path, str) or not all(isinstance(each, int | float) for each in arguments.values()):
            return False
        return normpath(path).removeprefix(self._workspace) in self._known

    def _saw(self, seen: events.Seen) -> bool:
        old = self._known.get(seen.path)
        now = self._known[seen.path] = add_seen(old, seen)
        return seen.by == "write" or old is None or (now.sha256, now.ranges) != (old.sha256, old.ranges)

    def _changed(self, result: Result) -> bool:
        match result.view:
            case DiffView(files):
                return bool(files) and not result.failed
            case TestReport() as report:
                outcome = (report.verdict, *(case.id for case in report.cases if case.outcome in FAILED_OUTCOMES))
                before = self._tests.get(report.command)
                self._tests[report.command] = outcome
                return outcome != before
            case _:
                return False
