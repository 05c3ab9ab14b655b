"""A session on disk, a model with a window that counts and refuses like a server, and the loop between them."""

import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from math import ceil
from operator import is_
from pathlib import Path
from typing import Any

from kimi_agent.context.context_window import ContextWindow
from kimi_agent.context.request_tokens import estimate_message_tokens
from kimi_agent.errors import ModelError, TooLong
from kimi_agent.log.events import CallStarted, Effect, Event, Opened, Returned, Said, Stamped, TextDelta, TurnEnded
from kimi_agent.log.messages import Assistant, Call, Message, ToolReturn, Usage, User, user_message
from kimi_agent.log.store.session import Session
from kimi_agent.log.views import Result
from kimi_agent.model.protocol import Delta, Finish, Request, ToolSpec
from kimi_agent.model.text_tokens import estimate_tokens

SYSTEM = 'You are a test.\n\n<repository-instructions path="AGENTS.md">\nUse tabs.\n</repository-instructions>\n'
TOOLS = (ToolSpec("read_file", "Read a file.", {"type": "object", "properties": {"path": {"type": "string"}}}),)
TEMPLATE = (Path(__file__).parents[2] / "prompts" / "compact.md").read_text("utf-8")
Story = Callable[[Request], str | ModelError]


def content(request: Request) -> str:
    """All that the model reads in a request."""
    parts = [request.system]
    for message in request.messages:
        match message:
            case User():
                parts.append(message.text)
            case Assistant(text, reasoning, calls):
                parts += [text, reasoning or "", *(f"{call.name} {call.arguments}" for call in calls)]
            case ToolReturn(content=result):
                parts.append(result)
    return "\n".join([*parts, *request.notes])


def assert_valid(messages: Sequence[Message]) -> None:
    """Every call has its result right behind the answer, in order, and no result stands alone."""
    waiting: list[str] = []
    for message in messages:
        match message:
            case ToolReturn(call_id):
                assert waiting, "a result without its call"
                assert waiting.pop(0) == call_id
            case _:
                assert not waiting, "a call without its result"
                if isinstance(message, Assistant):
                    assert message.text.strip() or message.calls
                    waiting = [call.id for call in message.calls]
    assert not waiting


class Windowed:
    """A Model that really counts `rate` x the estimate, refuses what is over its window, and tells a story."""

    name = "windowed"

    def __init__(
        self, window: int, *, rate: float = 1.0, real: int = 0, story: Story = lambda request: "It went on."
    ) -> None:
        """`real` is what the server holds, where that is less than it says."""
        self.window = window
        self.real = real or window
        self.rate = rate
        self.refused = 0
        self.story = story
        self.requests: list[Request] = []
        self.stories: list[Request] = []
        self._sizes: dict[int, tuple[Message, int]] = {}

    def count(self, request: Request) -> int:
        """What a server would count."""
        for message in request.messages:
            if id(message) not in self._sizes:
                self._sizes[id(message)] = (message, estimate_message_tokens(message))
        listed = sum(self._sizes[id(message)][1] for message in request.messages)
        return ceil(
            self.rate * (listed + estimate_tokens(request.system) + 40 + sum(map(estimate_tokens, request.notes)))
        )

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        assert_valid(request.messages)
        size = self.count(request)
        if size >= self.real:
            self.refused += 1
            raise TooLong(f"{size} tokens are over the window of {self.real}.")
        if request.purpose == "compaction":
            self.stories.append(request)
            told = self.story(request)
            if isinstance(told, ModelError):
                raise told
            yield TextDelta(told)
        else:
            self.requests.append(request)
            yield TextDelta("ok")
        yield Usage(size)
        yield Finish("stop")

    async def aclose(self) -> None:
        return None


Done = tuple[str, dict[str, Any], Result, Effect]


class Play:
    """What the agent does around a Room, with results that are given."""

    def __init__(self, folder: Path, model: Windowed, *, session: Session | None = None) -> None:
        self.model = model
        self.outputs: dict[str, str] = {}
        fresh = session is None
        opened = Opened(folder.name, "/w", "windowed", "0")
        self.session = session or Session.create(folder, opened, now=time.time, sync=lambda fd: None)
        self.heard: list[Event] = []
        self.room = ContextWindow(self.session, TEMPLATE, keep=self._kept)
        if not fresh:
            for stamped in self.session.events():
                self.room.hear(stamped)
        self.session.listen(self.room.hear, self._hear)
        self._before: list[Message] = []
        self._usage = Usage()

    def _kept(self, text: str) -> str:
        name = f"output:{len(self.outputs)}"
        self.outputs[name] = text
        return name

    def _hear(self, stamped: Stamped) -> None:
        self.heard.append(stamped.event)

    def said_by(self, kind: type) -> list[Any]:
        return [event for event in self.heard if isinstance(event, kind)]

    def request(self) -> Request:
        messages = self.session.conversation.messages()
        return self.room.measure(Request(SYSTEM, TOOLS, messages, (), self.session.id))

    async def asked(self) -> Request:
        """One request, as the agent makes it; it is answered."""
        request = self.request()
        if await self.room.make_room(self.model, request):
            request = self.request()
        try:
            await self._answered(request)
        except TooLong:
            assert await self.room.make_room(self.model, self.request(), overflow=True)
            request = self.request()
            await self._answered(request)
        return request

    async def _answered(self, request: Request) -> None:
        async for delta in self.model.stream(request):
            if isinstance(delta, Usage):
                self._usage = delta

    def keeps_prefix(self, request: Request) -> bool:
        """Whether the messages of the last request are the first of this one: the very same objects."""
        before, self._before = self._before, list(request.messages)
        return len(before) <= len(request.messages) and all(map(is_, before, request.messages))

    def prompt(self, text: str) -> int:
        return self.session.emit(Said(user_message(text))).seq

    def end(self) -> None:
        self.session.emit(TurnEnded("done", 1))

    def says(self, text: str) -> None:
        self._answers(Assistant(text))

    def _answers(self, message: Assistant) -> int:
        usage = Usage(self._usage.input, ceil(self.model.rate * estimate_message_tokens(message)))
        return self.session.emit(Said(message, usage, "tool_calls" if message.calls else "stop")).seq

    def calls(self, *done: Done, inside: Sequence[Event] = ()) -> int:
        """An answer with these calls, and their results; `inside` happens just before the last one returns."""
        wanted = tuple(
            Call(f"functions.{name}:{at}", name, json.dumps(arguments))
            for at, (name, arguments, _, _) in enumerate(done)
        )
        answer = self._answers(Assistant("", "thinking", wanted))
        for at, (name, _, result, effect) in enumerate(done):
            self.session.emit(CallStarted(answer, at, name, effect))
            if at == len(done) - 1:
                for event in inside:
                    self.session.emit(event)
            self.session.emit(Returned(answer, at, result))
        return answer

    async def step(self, *done: Done, inside: Sequence[Event] = ()) -> Request:
        """Ask, and let the answer be these calls."""
        request = await self.asked()
        self.calls(*done, inside=inside)
        return request


def read(path: str, text: str, **more: int) -> Done:
    return ("read_file", {"path": path, **more}, Result(text), "read")


def long_text(name: str, chars: int) -> str:
    line = f"{name} has a line of some length here\n"
    return line * (chars // len(line) + 1)
