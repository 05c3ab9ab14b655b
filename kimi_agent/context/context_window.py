"""Context window of one session: shortens stale results, then compacts, and can undo either."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from sys import maxsize
from typing import Literal

from kimi_agent.context import compaction, preserved_facts
from kimi_agent.context.progress_tracker import ProgressTracker
from kimi_agent.context.session_facts import SessionFacts, fold_session_facts
from kimi_agent.context.shortening import Shortening, SizedMessage, find_newest_step, shorten_oversized, shorten_stale
from kimi_agent.context.token_estimator import TokenEstimator
from kimi_agent.context.window_layout import DEFAULT_COMPACTION, CompactionSettings, WindowLayout, lay_out_window
from kimi_agent.errors import Stopped, TooLong, UserError
from kimi_agent.log.events import Compacted, Notice, Requested, Restored, Rewound, Said, Shortened, Stamped
from kimi_agent.log.fold.conversation import fold_conversation
from kimi_agent.log.fold.current_records import CurrentRecords
from kimi_agent.log.messages import Assistant, Usage, user_message
from kimi_agent.log.store.session import Session
from kimi_agent.model.base import Model, Request
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

    `template` is the text of prompts/compact.md; `keep` stores a whole text and gives its `output:ID` (OSError where it
    cannot). It hears every event of the session, and at a resume the whole log.
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
        self._chronicle = SessionFacts()
        self._current = CurrentRecords()
        self._rewound = False
        self._progress = ProgressTracker(session.workspace)
        self._told: tuple[int, Usage] | None = None
        self._patient = False
        self._ceilings: dict[str, float] = {}

    def hear(self, stamped: Stamped) -> None:
        """Take one event in."""
        if not stamped.seq or stamped.agent != self._session.agent:
            return
        event = stamped.event
        self._progress.add(stamped.seq, event)
        self._current.add(stamped)
        match event:
            case Said(message=Assistant(), usage=Usage() as usage):
                self._told = (stamped.seq, usage)
            case Compacted() | Shortened() | Restored():
                self._patient = isinstance(event, Restored)
                self._anew()
            case Rewound(what=what) if what != "code":
                self._rewound = True
                self._anew()
            case _:
                pass
        if not self._rewound:
            self._chronicle.add(stamped)

    def _anew(self) -> None:
        """Forget token counts: the messages are other ones now."""
        self._told = None
        self._estimator.forget()

    def measured(self, request: Request) -> Request:
        """`request` with its size in tokens."""
        told, self._told = self._told, None
        if told is not None:
            origins = self._session.conversation.origins()
            # The answer stands near the end; one without text and calls stands nowhere.
            at = next((at for at in range(len(origins) - 1, -1, -1) if origins[at] == (told[0], -1)), -1)
            if 0 <= at < len(request.messages):
                self._estimator.learn(request, at, told[1])
        return replace(request, tokens=self._estimator.measure(request))

    async def make(self, model: Model, request: Request, *, overflow: bool = False) -> bool:
        """Make room where the window is nearly full, or where the server said that it is over (`overflow`).

        `request` was `measured`. True: the conversation is another one now, build the request anew. Raises TooLong
        where that cannot help, and Stopped where the window fills up again and again with nothing coming of it.
        """
        if overflow:
            self._ceilings[model.name] = min(request.tokens / self._estimator.ratio, self._ceiling(model))
        share = self._shares(model, request)
        act = share.limit if self._patient else share.trigger
        if request.tokens < act and not overflow:
            return False
        shorter = self._shorten(request, share, act, hard=overflow)
        if shorter is not None:
            request = shorter
            if request.tokens < (share.target if overflow else act):
                return True
        if not self._progress.since_compaction:
            raise Stopped(
                "The window filled up twice without any progress in between: no file changed, no test came out "
                "differently, nothing new was called. Say what to do next, in smaller parts, or start anew (/clear).",
                "failed",
                1,
            )
        draft = self._draft(request, share, share.tail)
        if draft is None:
            if request.tokens <= share.limit and not overflow:
                return shorter is not None  # nothing can be gained, and nothing has to be
            hard = None if overflow else self._shorten(request, share, act, hard=True)
            if hard is not None and hard.tokens <= share.limit:
                return True
            raise TooLong(_format_too_long(request, share))
        await self._compact(model, request, share, draft, why="overflow" if overflow else "window")
        return True

    async def compact(self, model: Model, request: Request, *, focus: str = "") -> Compacted:
        """Compact because a person asked for it.

        Raises UserError where there is nothing to gain or the model cannot be asked, and Stopped.
        """
        request = self.measured(request)
        share = self._shares(model, request)
        draft = self._asked(request, share)
        return await self._compact(model, request, share, draft, why="asked", focus=focus)

    def preview(self, model: Model, request: Request) -> CompactionPreview:
        """What `compact` would do. Raises UserError where there is nothing to gain."""
        request = self.measured(request)
        share = self._shares(model, request)
        draft = self._asked(request, share)
        after = self._after(request, draft, preserved_facts.render_facts(draft.preserved)) + min(
            share.narrative, _USUAL_NARRATIVE_TOKENS
        )
        return CompactionPreview(
            draft.mark.length, request.tokens, after, preserved_facts.render_facts(draft.preserved)
        )

    def undo(self, model: Model, request: Request) -> Restored:
        """Take back the last compaction or shortening that stands. Raises UserError where that cannot be."""
        session = self._session
        if not session.conversation.replaced:
            raise UserError("There is no compaction to take back.")
        restored = Restored(session.conversation.replaced[-1])
        trial = Stamped(session.agent, maxsize, 0.0, restored)
        then = fold_conversation(lambda: chain(session.events(), (trial,)), keep_replaced=True)
        size = self._estimator.estimate_request(replace(request, messages=then.messages()))
        limit = self._shares(model, request).limit
        if size > limit:
            raise UserError(
                f"What was replaced no longer fits: about {size:,} tokens of the {limit:,} that leave room for an "
                "answer; a model with a larger window (/model) could hold it."
            )
        session.emit(restored)
        return restored

    def _ceiling(self, model: Model) -> float:
        """The estimate at which a server once said that the window was over, whatever it was said to hold."""
        return self._ceilings.get(model.name, float("inf"))

    def _shares(self, model: Model, request: Request) -> WindowLayout:
        window = int(min(model.window, self._ceiling(model) * self._estimator.ratio))
        return lay_out_window(self._settings, window, self._estimator.estimate_overhead(request))

    def _items(self, request: Request) -> list[SizedMessage]:
        origins = self._session.conversation.origins()
        return [
            SizedMessage(*each) for each in zip(request.messages, origins, self._estimator.sizes(request), strict=True)
        ]

    def _shorten(self, request: Request, share: WindowLayout, act: int, *, hard: bool) -> Request | None:
        """Shorten what is too big or stale, where that is enough (or `hard`); the request as it reads then."""
        items = self._items(request)
        done = Shortening()
        if sum(item.size for item in items[find_newest_step(items) :]) > share.step:
            done = shorten_oversized(items, share.step, self._keep)
        written = self._written()
        if hard:
            done += shorten_stale(items, wanted=maxsize, least=0, recent=0, written=written)
        elif self._progress.since_reduction:
            wanted = request.tokens - done.freed - share.target
            old = shorten_stale(items, wanted=wanted, least=share.least, recent=share.recent, written=written)
            if request.tokens - done.freed - old.freed < act:
                done += old
        if not done.results:
            return None
        after = max(0, request.tokens - done.freed)
        self._session.emit(Shortened(done.results, request.tokens, after))
        return self.measured(replace(request, messages=self._session.conversation.messages()))

    def _written(self) -> Mapping[str, int]:
        """When each file was last written by the agent, by every spelling of its path that is likely."""
        found = {path: file.written for path, file in self._facts().files.items() if file.written}
        root = self._session.workspace.rstrip("/")
        return found | {f"{root}/{path}": seq for path, seq in found.items() if not path.startswith("/")}

    def _facts(self) -> SessionFacts:
        if self._rewound:
            self._chronicle = fold_session_facts(self._session.events(), self._current, self._session.agent)
            self._rewound = False
        return self._chronicle

    def _pinned(self) -> preserved_facts.PreservedFacts:
        return preserved_facts.collect_preserved_facts(self._facts(), self._session.conversation.plan)

    def _draft(self, request: Request, share: WindowLayout, tail: int) -> compaction.CompactionDraft | None:
        """The cut point and the facts to preserve; None where that would replace nothing."""
        items = self._items(request)
        mark = compaction.choose_cut_point(self._session.conversation.marks, items, tail, share.most_tail)
        if mark is None or share.preserved < MIN_FACT_TOKENS:
            return None
        kept = items[mark.length :]
        pinned = self._pinned()
        gone = preserved_facts.drop_messages(pinned, (item.origin[0] for item in kept))
        words = tuple(word for word in pinned.words if word not in gone.words)
        return compaction.CompactionDraft(
            mark, preserved_facts.fit_to_tokens(gone, share.preserved), sum(item.size for item in kept), words
        )

    def _asked(self, request: Request, share: WindowLayout) -> compaction.CompactionDraft:
        """A draft for a person who asked. Raises UserError where there is nothing to gain."""
        size = sum(self._estimator.sizes(request))
        draft = self._draft(request, share, min(share.tail, size // 5))
        if (
            draft is None
            or self._after(request, draft, preserved_facts.render_facts(draft.preserved)) >= request.tokens
        ):
            raise UserError("There is nothing to compact yet: what the conversation holds is shorter than its summary.")
        return draft

    def _after(self, request: Request, draft: compaction.CompactionDraft, summary: str) -> int:
        return self._estimator.estimate_overhead(request) + self._estimator.estimate_text(summary) + draft.tail

    async def _compact(
        self,
        model: Model,
        request: Request,
        share: WindowLayout,
        draft: compaction.CompactionDraft,
        *,
        why: CompactionReason,
        focus: str = "",
    ) -> Compacted:
        count = draft.mark.length
        self._say(
            f"Making room: {count:,} messages become a summary (about {request.tokens:,} of {share.window:,} tokens "
            "are in use)."
        )
        told = await self._ask(model, request, share, focus)
        if told.error and why == "asked":
            raise UserError(f"Nothing was compacted: the model could not be asked for a summary ({told.error}).", 1)
        if told.error:
            self._say(
                f"The model could not be asked for a summary ({told.error}); the harness's own record stands alone."
            )
        text = compaction.compose_summary(draft.preserved, told, share.narrative)
        pinned = replace(draft.preserved, words=(*draft.preserved.words, *draft.words))
        if lost := preserved_facts.find_missing_facts(pinned, [user_message(text), *request.messages[count:]]):
            raise RuntimeError(f"a compaction would lose {lost[0]!r}")
        after = self._after(request, draft, text)
        if why != "asked" and (after > share.limit or after >= request.tokens):
            raise TooLong(_format_too_long(request, share))
        event = Compacted(draft.mark.seq, text, why, count, request.tokens, after, focus)
        self._session.emit(event)
        return event

    async def _ask(self, model: Model, request: Request, share: WindowLayout, focus: str) -> compaction.Narrative:
        about = f"The user asks to keep above all: {focus.strip()}" if focus.strip() else ""
        note = fill_template(self._template, {"focus": about}).strip()
        asked = replace(
            request, notes=(note,), purpose="compaction", partial=None, tools_off=True, max_output=share.output
        )
        self._session.emit(Requested(model.name, len(asked.messages)))
        return await compaction.ask_for_narrative(model, self.measured(asked), self._session.emit)

    def _say(self, text: str) -> None:
        self._session.emit(Notice(text))


def _format_too_long(request: Request, share: WindowLayout) -> str:
    return (
        f"The conversation does not fit the window: about {request.tokens:,} tokens, and {share.limit:,} of "
        f"{share.window:,} leave room for an answer. Take a model with a larger window (/model), or set `window` if "
        "this one holds more."
    )
