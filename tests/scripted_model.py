"""A model whose answers are given, and an agent on it: what tests of the loop tell their stories with."""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kimi_agent.agent import Agent, AgentConfig, Compactor, NoteSource
from kimi_agent.errors import ModelError
from kimi_agent.log.events import CallDelta, Opened, ReasoningDelta, TextDelta
from kimi_agent.log.fold.unanswered_calls import settle_calls
from kimi_agent.log.messages import Usage
from kimi_agent.log.store.session import Session
from kimi_agent.model.protocol import Delta, Finish, Model, Request
from kimi_agent.tool import Context, Tool
from kimi_agent.toolbox import Toolbox, ToolWrapper

Step = Sequence[Delta] | ModelError | Callable[[Request], AsyncIterator[Delta]]


def says(text: str, *, reasoning: str = "", finish: str = "stop") -> list[Delta]:
    """An answer that is only text."""
    thought: list[Delta] = [ReasoningDelta(reasoning)] if reasoning else []
    return [*thought, TextDelta(text), Usage(10, 2), Finish(finish)]


def calls(*wanted: tuple[str, dict[str, Any] | str], text: str = "") -> list[Delta]:
    """An answer that calls tools: (name, arguments as a dict or as raw text)."""
    said: list[Delta] = [TextDelta(text)] if text else []
    return [
        *said,
        *(
            CallDelta(index, f"functions.{name}:{index}", name, args if isinstance(args, str) else json.dumps(args))
            for index, (name, args) in enumerate(wanted)
        ),
        Usage(10, 2),
        Finish("tool_calls"),
    ]


class Scripted:
    """A Model that gives one step after the other and keeps the requests it was asked."""

    name = "scripted"
    window = 1000

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.requests: list[Request] = []

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        self.requests.append(request)
        step = self.steps.pop(0)
        if isinstance(step, ModelError):
            raise step
        if callable(step):
            async for delta in step(request):
                yield delta
        else:
            for delta in step:
                yield delta

    async def aclose(self) -> None:
        return None


class Boundless:
    """Room without end."""

    def measure(self, request: Request) -> Request:
        return request

    async def make_room(self, model: Model, request: Request, *, overflow: bool = False) -> bool:
        return False


def agent_on(
    model: Scripted,
    tools: Sequence[Tool],
    context: Context,
    folder: Path,
    *,
    guards: Sequence[ToolWrapper] = (),
    wrappers: Sequence[ToolWrapper] = (),
    timeout_s: float = 0,
    room: Compactor | None = None,
    notes: Sequence[NoteSource] = (),
    session: Session | None = None,
) -> Agent:
    """An agent on `model` with these tools, its session in `folder` (new unless one is given)."""
    if session is None:
        session = Session.create(folder, Opened(folder.name, "/w", "scripted", "0"), now=time.time)
    toolbox = Toolbox(
        tools,
        guards=guards,
        wrappers=wrappers,
        context=lambda place, progress: replace(
            context, call_id=f"{place[0]}.{place[1]}", progress=progress, place=place
        ),
        emit=session.emit,
        report_bug=lambda error: f"kept {type(error).__name__}",
    )
    return Agent(
        model,
        toolbox,
        session,
        AgentConfig("You are a test.", timeout_s),
        room or Boundless(),
        notes=notes,
        settle_calls=lambda unanswered: settle_calls(unanswered, context.files.fingerprints),
    )


Play = Callable[[Agent], Awaitable[None]]
