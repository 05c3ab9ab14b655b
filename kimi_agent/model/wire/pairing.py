"""Pairing of tool calls and results: puts messages in the order that the server demands. Pure.

Behind an answer with calls come the results of exactly these calls, in their order, and nothing between. The fold
of the log gives just that; it is checked again here, since one misplaced message would cost every later request.
A history in order comes out as the same objects. It works message by message.
"""

from dataclasses import dataclass, replace

import msgspec

from kimi_agent.log.messages import Assistant, Call, Message, ToolReturn

MISSING_RESULT_TEXT = "(no result was recorded)"


@dataclass(frozen=True)
class PendingCalls:
    """The last answer's calls that wait for their results, and what waits behind them.

    `ids` are the wire's own, as the results name them; `calls` are as they go out; `results` those that came before
    their turn, by place.
    """

    ids: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    placed: int = 0
    results: tuple[tuple[int, ToolReturn], ...] = ()
    behind: tuple[Message, ...] = ()


NO_PENDING_CALLS = PendingCalls()


def pair_message(waiting: PendingCalls, message: Message) -> tuple[PendingCalls, tuple[Message, ...]]:
    """Take in one message: the calls that wait then, and the messages that go out now."""
    match message:
        case ToolReturn():
            return _pair_result(waiting, message)
        case Assistant() if not message.text and not message.calls:
            return waiting, ()  # the server refuses it, and with it the whole session
        case Assistant() if message.calls:
            answer = _fill_blank_ids(message)
            ids = tuple(call.id for call in message.calls)
            return PendingCalls(ids, answer.calls), (*flush_pending(waiting), answer)
        case Assistant():
            return NO_PENDING_CALLS, (*flush_pending(waiting), message)
        case _ if waiting is NO_PENDING_CALLS:
            return NO_PENDING_CALLS, (message,)
        case _:
            return replace(waiting, behind=(*waiting.behind, message)), ()


def flush_pending(waiting: PendingCalls) -> tuple[Message, ...]:
    """The messages to send if no more come: a result for each call without one, and what waited behind them."""
    early = dict(waiting.results)
    pending = list(enumerate(waiting.calls))[waiting.placed :]
    results = (early.get(place) or ToolReturn(call.id, call.name, MISSING_RESULT_TEXT) for place, call in pending)
    return (*results, *waiting.behind)


def _pair_result(waiting: PendingCalls, result: ToolReturn) -> tuple[PendingCalls, tuple[Message, ...]]:
    """Results go out in the order of the calls; one of no waiting call, or a second one, is passed over."""
    early = dict(waiting.results)
    open_places = (place for place in range(waiting.placed, len(waiting.ids)) if place not in early)
    place = next((place for place in open_places if waiting.ids[place] == result.call_id), None)
    if place is None:
        return waiting, ()
    sent = waiting.calls[place].id
    early[place] = result if result.call_id == sent else msgspec.structs.replace(result, call_id=sent)
    out: list[Message] = []
    placed = waiting.placed
    while placed in early:
        out.append(early.pop(placed))
        placed += 1
    if placed == len(waiting.ids):
        return NO_PENDING_CALLS, (*out, *waiting.behind)
    return replace(waiting, placed=placed, results=tuple(early.items())), tuple(out)


def _fill_blank_ids(message: Assistant) -> Assistant:
    """The answer itself, or with `call_N` for each id that is blank: the server takes none of those."""
    if all(call.id.strip() for call in message.calls):
        return message
    ids = (call.id if call.id.strip() else f"call_{index}" for index, call in enumerate(message.calls))
    calls = tuple(msgspec.structs.replace(call, id=id) for call, id in zip(message.calls, ids, strict=True))
    return msgspec.structs.replace(message, calls=calls)
