"""Answer of the model to one request: streamed into the session, with what an interruption left of it."""

import asyncio

from kimi_agent.errors import ModelError
from kimi_agent.log.events import Noted, Partial, Requested, Retrying, Said
from kimi_agent.log.messages import Assistant, Usage
from kimi_agent.log.store.session import Session
from kimi_agent.model.message_assembly import Assembly
from kimi_agent.model.protocol import Finish, Model, Request, closing_stream


async def record_answer(model: Model, request: Request, head: str, session: Session) -> tuple[int, Assistant, str]:
    """The answer with its seq in the log and why it ended; `head` is the hash of the prompt's. Raises ModelError."""
    if (noted := "\n".join(request.notes)) != session.conversation.noted:
        session.emit(Noted(noted))
    session.emit(Requested(model.name, len(request.messages), head))
    assembly, usage, finish = Assembly(), None, ""
    try:
        async with closing_stream(model.stream(request)) as deltas:
            async for delta in deltas:
                match delta:
                    case Usage():
                        usage = delta
                    case Finish(reason):
                        finish = reason
                    case Retrying(why):
                        _keep_partial(session, assembly, why, retried=True)
                        session.emit(delta)
                    case _:
                        session.emit(delta)
                assembly.add(delta)
    except (asyncio.CancelledError, ModelError) as error:
        why = "interrupted" if isinstance(error, asyncio.CancelledError) else str(error)
        _keep_partial(session, assembly, why)
        raise
    reply = assembly.assistant()
    return session.emit(Said(reply, usage, finish)).seq, reply, finish


def _keep_partial(session: Session, assembly: Assembly, why: str, *, retried: bool = False) -> None:
    if assembly.text or assembly.reasoning:
        session.emit(Partial(assembly.text, assembly.reasoning or "", why, retried))
