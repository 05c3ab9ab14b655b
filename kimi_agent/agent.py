"""The loop: ask the model, run the calls it makes, feed the results back, until it makes none.

It tells the session what happens and nothing else; what the model reads is the fold of that log. A new feature is a
model wrapper, a tool wrapper, a listener or a note (DESIGN §2.3) before it is a line here.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kimi_agent.errors import ModelError, Refused, TooLong
from kimi_agent.log.conversation import Conversation
from kimi_agent.log.events import (
    Noted,
    OpenCall,
    Partial,
    Queued,
    Recovered,
    Requested,
    Said,
    Status,
    TurnEnded,
)
from kimi_agent.log.interrupted import Unanswered
from kimi_agent.log.messages import Assistant, Usage, User
from kimi_agent.log.session import Session
from kimi_agent.model.assemble import Assembly
from kimi_agent.model.base import Finish, Model, Request
from kimi_agent.toolbox import Toolbox

Note = Callable[[Conversation], str | None]
"""Text for the tail of the next request, or None; it is part of that request alone, not of the conversation."""


@dataclass(frozen=True)
class Brief:
    """What an agent is told and allowed: its system prompt (fixed for the session) and its steps per turn."""

    system: str
    max_steps: int = 1000


class Agent:
    """One agent on one session. Its turns run one after another; cancelling a turn leaves nothing to repair."""

    def __init__(
        self,
        model: Model,
        toolbox: Toolbox,
        session: Session,
        brief: Brief,
        *,
        notes: Sequence[Note] = (),
        settled: Callable[[Sequence[Unanswered]], tuple[OpenCall, ...]],
    ) -> None:
        """`settled` says of interrupted calls which files differ from what they were when each began."""
        self.model = model
        self.toolbox = toolbox
        self.session = session
        self.brief = brief
        self._notes = notes
        self._settled = settled
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

    async def run_turn(self, prompt: User) -> TurnEnded:
        """From a prompt to its end. Model errors end the turn; cancellation ends it and rises."""
        self._take_inbox()  # what an interrupted turn left: it was said before this
        self.session.emit(Said(prompt))
        steps = 0
        try:
            while steps < self.brief.max_steps:
                steps += 1
                self._take_inbox()
                answer, reply, finish = await self._ask_model()
                if reply.calls:
                    await self.toolbox.run(answer, enumerate(reply.calls))
                elif not self.inbox:
                    return self._end(*_ending(finish), steps)
            return self._end(
                "step_limit", f"Stopped after {steps} steps (--max-steps); say 'continue' to go on.", 53, steps
            )
        except asyncio.CancelledError:
            self._end("interrupted", "", 130, steps)
            raise
        except TooLong as error:
            text = f"{error} This session is kept; start a new one for the next task (/clear)."
            return self._end("failed", text, error.exit_code, steps)
        except Refused as error:
            return self._end("failed", str(error), error.exit_code, steps)
        except ModelError as error:
            return self._end("failed", str(error), error.exit_code, steps)

    async def _ask_model(self) -> tuple[int, Assistant, str]:
        messages = self.session.conversation.messages()
        notes = tuple(text for note in self._notes if (text := note(self.session.conversation)))
        if (noted := "\n".join(notes)) != self.session.conversation.noted:
            self.session.emit(Noted(noted))
        self.session.emit(Requested(self.model.name, len(messages)))
        request = Request(self.brief.system, self.toolbox.specs, messages, notes, self.session.id)
        assembly, usage, finish = Assembly(), None, ""
        try:
            async for delta in self.model.stream(request):
                match delta:
                    case Usage():
                        usage = delta
                    case Finish(reason):
                        finish = reason
                    case _:
                        self.session.emit(delta)
                assembly.add(delta)
        except (asyncio.CancelledError, ModelError) as error:
            if assembly.text or assembly.reasoning:
                why = "interrupted" if isinstance(error, asyncio.CancelledError) else str(error)
                self.session.emit(Partial(assembly.text, assembly.reasoning or "", why))
            raise
        reply = assembly.assistant()
        return self.session.emit(Said(reply, usage, finish)).seq, reply, finish

    def _take_inbox(self) -> None:
        while self.inbox:
            seq, message = self.inbox.pop(0)
            self.session.emit(Said(message, queued=seq))

    def _settle(self) -> None:
        if (unanswered := self.session.conversation.open_calls) and (calls := self._settled(unanswered)):
            self.session.emit(Recovered(calls=calls))

    def _end(self, status: Status, text: str, exit_code: int, steps: int) -> TurnEnded:
        self._settle()  # before the end is written, which closes what is open
        ended = TurnEnded(status, steps, text, exit_code)
        self.session.emit(ended)
        return ended


def _ending(finish: str) -> tuple[Status, str, int]:
    if finish == "content_filter":
        return "refused", "The server's content filter stopped this answer.", 1
    if finish == "length":
        return "done", "The answer was cut at the model's output limit; say 'continue' to go on.", 0
    return "done", "", 0
