"""Agent loop: ask the model, run the tool calls it makes, feed the results back, until it makes none.

It reports what happens to the session and to nothing else; what the model reads is the fold of that log. A new
feature is a model wrapper, a tool wrapper, a listener or a note (ARCHITECTURE.md) before it is a line here.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from kimi_agent.errors import ModelError, Stopped, TooLong
from kimi_agent.log.event_parts import OpenCall
from kimi_agent.log.events import Queued, Recovered, Said, Status, TurnEnded
from kimi_agent.log.fold.conversation import Conversation
from kimi_agent.log.fold.unanswered_calls import UnansweredCall
from kimi_agent.log.messages import Assistant, User
from kimi_agent.log.store.session import Session
from kimi_agent.model.protocol import WRAP_UP_OUTPUT_TOKENS, Model, Request, fingerprint_prompt_head
from kimi_agent.record_answer import record_answer
from kimi_agent.toolbox import Toolbox

NoteSource = Callable[[Conversation], str | None]
"""Text for the tail of the next request, or None; it is part of that request alone, not of the conversation."""

_WRAP_UP_S = 120.0
_OUT_OF_TIME = "The time for this turn is over. Say in one last answer what was done, what was not, and what is left."


@dataclass(frozen=True)
class AgentConfig:
    """The fixed settings of an agent: its system prompt (for the whole session), and seconds per turn (0: any).

    Steps, tokens and money are capped at the model (`model.cost`), where sub-agents and summaries are counted too.
    """

    system: str
    timeout_s: float = 0


class Compactor(Protocol):
    """Keeps the conversation within the model's window: measures each request, and compacts where it must."""

    def measure(self, request: Request) -> Request:
        """The request with its size."""

    async def make_room(self, model: Model, request: Request, *, overflow: bool = False) -> bool:
        """Make room if it is needed (with `overflow`: in any case); whether the conversation is another one now."""


class Agent:
    """One agent on one session. Its turns run one after another; cancelling a turn leaves nothing to repair."""

    def __init__(
        self,
        model: Model,
        toolbox: Toolbox,
        session: Session,
        config: AgentConfig,
        compactor: Compactor,
        *,
        notes: Sequence[NoteSource] = (),
        settle_calls: Callable[[Sequence[UnansweredCall]], tuple[OpenCall, ...]],
    ) -> None:
        """`settle_calls` says which files differ from what they were when each interrupted call began."""
        self.model = model
        self.toolbox = toolbox
        self.session = session
        self.config = config
        self._compactor = compactor
        self._steps = 0
        self._notes = notes
        self._settle_calls = settle_calls
        self.inbox: list[tuple[int, User]] = []

    def queue(self, message: User) -> None:
        """Keep what the person says while a turn runs; it joins at the next step, also after a crash."""
        self.inbox.append((self.session.emit(Queued(message)).seq, message))

    async def resume(self) -> None:
        """Mend what a crash left: run its unanswered reading calls again, settle the others, refill the inbox."""
        self.inbox = list(self.session.conversation.queued)
        unanswered = self.session.conversation.open_calls
        if reading := [each for each in unanswered if self.toolbox.effect(each.call.name) == "read"]:
            await self.toolbox.run(reading[0].answer, [(each.index, each.call) for each in reading])
        self._settle()

    async def run_unverified_turn(self, prompt: User) -> TurnEnded:
        """From a prompt to its end, without the verdict. Model errors end it; cancellation ends it and rises."""
        self._take_inbox()  # what an interrupted turn left: it was said before this
        self.session.emit(Said(prompt))
        self._steps = 0
        try:
            return await self._work()
        except asyncio.CancelledError:
            self._end("interrupted", "", 130)
            raise
        except Stopped as stop:
            return await self._wrap_up(stop)
        except TooLong as error:
            text = f"{error} This session is kept; start a new one for the next task (/clear)."
            return self._end("failed", text, error.exit_code)
        except ModelError as error:
            return self._end("failed", str(error), error.exit_code)

    async def _work(self) -> TurnEnded:
        """Take steps until the model makes no more calls. Raises ModelError."""
        try:
            async with asyncio.timeout(self.config.timeout_s or None):
                while True:
                    self._take_inbox()
                    answer, reply, finish = await self._ask_model()
                    if reply.calls:
                        await self.toolbox.run(answer, enumerate(reply.calls))
                    elif not self.inbox:
                        return self._end(*_end_of_finish(finish))
        except TimeoutError as error:
            text = f"Stopped: the turn took longer than {self.config.timeout_s:g} s (--timeout)."
            raise Stopped(text, "time_limit", 55, wrap_up=_OUT_OF_TIME) from error

    async def _wrap_up(self, stop: Stopped) -> TurnEnded:
        """End the turn by the harness's own rule; the model may say in one last answer how far it came."""
        try:
            if stop.wrap_up:
                self._settle()
                request = self.request()
                notes = (*request.notes, stop.wrap_up)
                last = replace(
                    request, notes=notes, purpose="wrap_up", tools_off=True, max_output=WRAP_UP_OUTPUT_TOKENS
                )
                async with asyncio.timeout(_WRAP_UP_S):
                    await self._answer(last)
        except asyncio.CancelledError:
            self._end("interrupted", "", 130)
            raise
        except (ModelError, TimeoutError):
            pass  # why the turn ends is reported all the same
        return self._end(stop.status, str(stop), stop.exit_code)

    async def _ask_model(self) -> tuple[int, Assistant, str]:
        """One answer; room is made for it before, and once more where the server says that there was none."""
        request = self.request()
        if await self._compactor.make_room(self.model, request):
            request = self.request()
        try:
            return await self._answer(request)
        except TooLong:
            if not await self._compactor.make_room(self.model, self.request(), overflow=True):
                raise
            return await self._answer(self.request())

    def request(self) -> Request:
        """What the model would be asked now."""
        conversation = self.session.conversation
        notes = tuple(text for note in self._notes if (text := note(conversation)))
        request = Request(self.config.system, self.toolbox.specs, conversation.messages(), notes, self.session.id)
        return self._compactor.measure(request)

    @cached_property
    def _head(self) -> str:
        return fingerprint_prompt_head(self.config.system, self.toolbox.specs)

    async def _answer(self, request: Request) -> tuple[int, Assistant, str]:
        answered = await record_answer(self.model, request, self._head, self.session)
        self._steps += request.purpose == "answer"
        return answered

    def _take_inbox(self) -> None:
        while self.inbox:
            seq, message = self.inbox.pop(0)
            self.session.emit(Said(message, queued=seq))

    def _settle(self) -> None:
        if (unanswered := self.session.conversation.open_calls) and (calls := self._settle_calls(unanswered)):
            self.session.emit(Recovered(calls=calls))

    def _end(self, status: Status, text: str, exit_code: int) -> TurnEnded:
        self._settle()  # before the end is written, which closes what is open
        ended = TurnEnded(status, self._steps, text, exit_code)
        self.session.emit(ended)
        return ended


def _end_of_finish(finish: str) -> tuple[Status, str, int]:
    if finish == "content_filter":
        return "refused", "The server's content filter stopped this answer.", 1
    if finish == "length":
        return "done", "The answer was cut at the model's output limit; say 'continue' to go on.", 0
    return "done", "", 0
