"""Context window of one session: shortens stale results, then compacts, and can undo either."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from sys import maxsize
from typing import Literal

from kimi_agent.context import compaction, preserved_facts
from kimi_agent.context.compaction import CompactionDraft
from kimi_agent.context.preserved_facts import render_facts
from kimi_agent.context.progress_tracker import ProgressTracker
from kimi_agent.context.request_tokens import TokenEstimator
from kimi_agent.context.session_facts import SessionFacts, fold_session_facts
from kimi_agent.context.shortening import Shortening, SizedMessage, find_newest_step, shorten_oversized, shorten_stale
from kimi_agent.context.window_layout import DEFAULT_COMPACTION, CompactionSettings, WindowLayout, lay_out_window
from kimi_agent.errors import Stopped, TooLong, UserError
from kimi_agent.log.events import Compacted, Notice, Requested, Restored, Rewound, Said, Shortened, Stamped
from kimi_agent.log.fold.conversation import fold_conversation
from kimi_agent.log.fold.current_records import CurrentRecords
from kimi_agent.log.messages import Assistant, Usage, user_message
from kimi_agent.log.store.session import Session
from kimi_agent.model.protocol import Model, Request
from kimi_agent.prompts import fill_template

CompactionReason = Literal["window", "overflow", "asked"]
MIN_FACT_TOKENS = 150
"""With fewer tokens than this for what must not be lost a summary is worth nothing."""
_USUAL_NARRATIVE_TOKENS = 1_500


@dataclass(frozen=True)
class CompactionPreview:
    """A preview of /compact: messages that go, tokens of the request before and after, the text written instead."""

    messages: int
    tokens_before: int
    tokens_after: int
    text: str


class ContextWindow:
    """Keeps one session's conversation within the model's window, by shortening and compaction.

    `template` is the text of prompts/compact.md; `keep` stores a whole text and returns its `output:ID` (OSError where
    it cannot). It is a listener of the session, and at a resume is given the whole log first.
    """

    def __init__(
        self,
        session: Session,
        template: str,
        *,
        keep: Callable[[str], str],
        settings: CompactionSettings = DEFAULT_COMPACTION,
    ) -> None:
        self._session = session
        self._template = template
        self._keep = keep
        self._settings = settings
        self._estimator = TokenEstimator()
        self._session_facts = SessionFacts()
        self._current = CurrentRecords()
        self._rewound = False
        self._progress = ProgressTracker(session.workspace)
        self._reported: tuple[int, Usage] | None = None  # the last answer's seq and what the server counted for it
        self._undone = False
        self._ceilings: dict[str, float] = {}  # by model: the estimate at which the server said the window was over

    def hear(self, stamped: Stamped) -> None:
        """Take one event in."""
        if not stamped.seq or stamped.agent != self._session.agent:
            return
        event = stamped.event
        self._progress.add(stamped.seq, event)
        self._current.add(stamped)
        match event:
            case Said(message=Assistant(), usage=Usage() as usage):
                self._reported = (stamped.seq, usage)
            case Compacted() | Shortened() | Restored():
                self._undone = isinstance(event, Restored)
                self._forget_counts()
            case Rewound(what=what) if what != "code":
                self._rewound = True
                self._forget_counts()
        if not self._rewound:
            self._session_facts.add(stamped)

    def _forget_counts(self) -> None:
        """Forget token counts: the messages are other ones now."""
        self._reported = None
        self._estimator.forget()

    def measure(self, request: Request) -> Request:
        """Add its size in tokens to `request`."""
        reported, self._reported = self._reported, None
        if reported is not None:
            seq, usage = reported
            origins = self._session.conversation.origins()
            # The answer is near the end; one without text and calls is not there at all.
            at = next((at for at in range(len(origins) - 1, -1, -1) if origins[at] == (seq, -1)), -1)
            if 0 <= at < len(request.messages):
                self._estimator.learn(request, at, usage)
        return replace(request, tokens=self._estimator.measure(request))

    async def make_room(self, model: Model, request: Request, *, overflow: bool = False) -> bool:
        """Make room where the window is nearly full, or where the server reported that it is over (`overflow`).

        `request` is a measured one. True: the conversation is another one now, build the request anew. Raises TooLong
        where that cannot help, and Stopped where the window fills up again and again with nothing coming of it.
        """
        if overflow:
            self._ceilings[model.name] = min(request.tokens / self._estimator.ratio, self._ceiling(model))
        layout = self._layout(model, request)
        act = layout.limit if self._undone else layout.trigger
        if request.tokens < act and not overflow:
            return False
        shorter = self._shorten(request, layout, act, hard=overflow)
        if shorter is not None:
            request = shorter
            if request.tokens < (layout.target if overflow else act):
                return True
        if not self._progress.since_compaction:
            raise Stopped(
                "The window filled up twice without any progress in between: no file changed, no test came out "
                "differently, nothing new was called. Say what to do next, in smaller parts, or start anew (/clear).",
                "failed",
                1,
            )
        draft = self._draft(request, layout, layout.tail)
        if draft is None:
            if request.tokens <= layout.limit and not overflow:
                return shorter is not None  # nothing can be gained, and nothing has to be
            hard = None if overflow else self._shorten(request, layout, act, hard=True)
            if hard is not None and hard.tokens <= layout.limit:
                return True
            raise TooLong(_format_too_long(request, layout))
        await self._compact(model, request, draft, why="overflow" if overflow else "window")
        return True

    async def compact(self, model: Model, request: Request, *, focus: str = "") -> Compacted:
        """Compact because a person asked for it.

        Raises UserError where there is nothing to gain or the model cannot be asked, and Stopped.
        """
        request = self.measure(request)
        draft = self._draft_for_person(model, request)
        return await self._compact(model, request, draft, why="asked", focus=focus)

    def preview(self, model: Model, request: Request) -> CompactionPreview:
        """What `compact` would do. Raises UserError where there is nothing to gain."""
        request = self.measure(request)
        draft = self._draft_for_person(model, request)
        text = render_facts(draft.preserved)
        after = self._after(request, draft, text) + min(draft.layout.narrative, _USUAL_NARRATIVE_TOKENS)
        return CompactionPreview(draft.mark.length, request.tokens, after, text)

    def undo(self, model: Model, request: Request) -> Restored:
        """Take back the last compaction or shortening in effect. Raises UserError where that cannot be."""
        session = self._session
        if not session.conversation.replaced:
            raise UserError("There is no compaction to take back.")
        restored = Restored(session.conversation.replaced[-1])
        trial = Stamped(session.agent, maxsize, 0.0, restored)
        then = fold_conversation(lambda: chain(session.events(), (trial,)), keep_replaced=True)
        size = self._estimator.estimate_request(replace(request, messages=then.messages()))
        limit = self._layout(model, request).limit
        if size > limit:
            raise UserError(
                f"What was replaced no longer fits: about {size:,} tokens of the {limit:,} that leave room for an "
                "answer; a model with a larger window (/model) could hold it."
            )
        session.emit(restored)
        return restored

    def _ceiling(self, model: Model) -> float:
        return self._ceilings.get(model.name, float("inf"))

    def _layout(self, model: Model, request: Request) -> WindowLayout:
        window = int(min(model.window, self._ceiling(model) * self._estimator.ratio))
        return lay_out_window(self._settings, window, self._estimator.estimate_overhead(request))

    def _items(self, request: Request) -> list[SizedMessage]:
        origins = self._session.conversation.origins()
        sized = zip(request.messages, origins, self._estimator.sizes(request), strict=True)
        return [SizedMessage(*each) for each in sized]

    def _shorten(self, request: Request, layout: WindowLayout, act: int, *, hard: bool) -> Request | None:
        """Shorten what is too big or stale, where that is enough (or `hard`); the request as it reads then."""
        items = self._items(request)
        done = Shortening()
        if sum(item.size for item in items[find_newest_step(items) :]) > layout.step:
            done = shorten_oversized(items, layout.step, self._keep)
        written = self._written()
        if hard:
            done += shorten_stale(items, wanted=maxsize, least=0, recent=0, written=written)
        elif self._progress.since_reduction:
            wanted = request.tokens - done.freed - layout.target
            old = shorten_stale(items, wanted=wanted, least=layout.least, recent=layout.recent, written=written)
            if request.tokens - done.freed - old.freed < act:
                done += old
        if not done.results:
            return None
        after = max(0, request.tokens - done.freed)
        self._session.emit(Shortened(done.results, request.tokens, after))
        return self.measure(replace(request, messages=self._session.conversation.messages()))

    def _written(self) -> Mapping[str, int]:
        """When each file was last written by the agent, by every spelling of its path that is likely."""
        found = {path: file.written for path, file in self._facts().files.items() if file.written}
        root = self._session.workspace.rstrip("/")
        return found | {f"{root}/{path}": seq for path, seq in found.items() if not path.startswith("/")}

    def _facts(self) -> SessionFacts:
        if self._rewound:
            self._session_facts = fold_session_facts(self._session.events(), self._current, self._session.agent)
            self._rewound = False
        return self._session_facts

    def _draft(self, request: Request, layout: WindowLayout, tail: int) -> CompactionDraft | None:
        """The cut point and the facts to preserve; None where that would replace nothing."""
        items = self._items(request)
        mark = compaction.choose_cut_point(self._session.conversation.marks, items, tail, layout.most_tail)
        if mark is None or layout.preserved < MIN_FACT_TOKENS:
            return None
        kept = items[mark.length :]
        all_facts = preserved_facts.collect_preserved_facts(self._facts(), self._session.conversation.plan)
        gone = preserved_facts.drop_messages(all_facts, (item.origin[0] for item in kept))
        words = tuple(word for word in all_facts.words if word not in gone.words)
        preserved = preserved_facts.fit_to_tokens(gone, layout.preserved)
        return CompactionDraft(layout, mark, preserved, sum(item.size for item in kept), words)

    def _draft_for_person(self, model: Model, request: Request) -> CompactionDraft:
        """A draft for a person who asked. Raises UserError where there is nothing to gain."""
        layout = self._layout(model, request)
        size = sum(self._estimator.sizes(request))
        draft = self._draft(request, layout, min(layout.tail, size // 5))
        if draft is None or self._after(request, draft, render_facts(draft.preserved)) >= request.tokens:
            raise UserError("There is nothing to compact yet: what the conversation holds is shorter than its summary.")
        return draft

    def _after(self, request: Request, draft: CompactionDraft, summary: str) -> int:
        return self._estimator.estimate_overhead(request) + self._estimator.estimate_text(summary) + draft.tail

    async def _compact(
        self, model: Model, request: Request, draft: CompactionDraft, *, why: CompactionReason, focus: str = ""
    ) -> Compacted:
        layout, count = draft.layout, draft.mark.length
        self._say(
            f"Making room: {count:,} messages become a summary (about {request.tokens:,} of {layout.window:,} tokens "
            "are in use)."
        )
        narrative = await self._ask(model, request, layout, focus)
        if narrative.error:
            failed = f"the model could not be asked for a summary ({narrative.error})"
            if why == "asked":
                raise UserError(f"Nothing was compacted: {failed}.", 1)
            self._say(f"{failed[0].upper()}{failed[1:]}; the harness's own record stands alone.")
        text = compaction.compose_summary(draft.preserved, narrative, layout.narrative)
        all_facts = replace(draft.preserved, words=(*draft.preserved.words, *draft.words))
        if lost := preserved_facts.find_missing_facts(all_facts, [user_message(text), *request.messages[count:]]):
            raise RuntimeError(f"a compaction would lose {lost[0]!r}")
        after = self._after(request, draft, text)
        if why != "asked" and (after > layout.limit or after >= request.tokens):
            raise TooLong(_format_too_long(request, layout))
        event = Compacted(draft.mark.seq, text, why, count, request.tokens, after, focus)
        self._session.emit(event)
        return event

    async def _ask(self, model: Model, request: Request, layout: WindowLayout, focus: str) -> compaction.Narrative:
        about = f"The user asks to keep above all: {focus.strip()}" if focus.strip() else ""
        note = fill_template(self._template, {"focus": about}).strip()
        asked = replace(
            request, notes=(note,), purpose="compaction", partial=None, tools_off=True, max_output=layout.output
        )
        self._session.emit(Requested(model.name, len(asked.messages)))
        return await compaction.ask_for_narrative(model, self.measure(asked), self._session.emit)

    def _say(self, text: str) -> None:
        self._session.emit(Notice(text))


def _format_too_long(request: Request, layout: WindowLayout) -> str:
    return (
        f"The conversation does not fit the window: about {request.tokens:,} tokens, and {layout.limit:,} of "
        f"{layout.window:,} leave room for an answer. Take a model with a larger window (/model), or set `window` if "
        "this one holds more."
    )
