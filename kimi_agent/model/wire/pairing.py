"""Calls and their results in the order that the server demands, whatever the history holds: pure, message by message.

Behind an answer with calls stand the results of exactly these calls, in their order, and nothing between. The fold of
the log gives just that; this is the belt to it, for one message out of its place would cost every later request. A
history in order comes out as the same objects.
"""

from dataclasses import dataclass, replace

import msgspec

from kimi_agent.log.messages import Assistant, Message, ToolReturn

NO_RESULT = "(no result was recorded)"


@dataclass(frozen=True)
class Waiting:
    """The last answer's calls that wait for their results, and what waits behind them.

    `ids` are the wire's own, as the results name them; `sent` those that go out; `results` those that came before
    their turn, by place.
    """

    ids: tuple[str, ...] = ()
    sent: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    placed: int = 0
    results: tuple[tuple[int, ToolReturn], ...] = ()
    behind: tuple[Message, ...] = ()


NOTHING = Waiting()


def step(waiting: Waiting, message: Message) -> tuple[Waiting, tuple[Message, ...]]:
    """What goes out now that this message came, and what waits then."""
    match message:
        case ToolReturn():
            return _returned(waiting, message)
        case Assistant() if not message.text and not message.calls:
            return waiting, ()  # the server refuses it, and with it the whole session
        case Assistant() if message.calls:
            answer = _with_ids(message)
            ids = tuple(call.id for call in message.calls)
            sent = tuple(call.id for call in answer.calls)
            names = tuple(call.name for call in answer.calls)
            return Waiting(ids, sent, names), (*rest(waiting), answer)
        case Assistant():
            return NOTHING, (*rest(waiting), message)
        case _ if waiting is NOTHING:
            return NOTHING, (message,)
        case _:
            return replace(waiting, behind=(*waiting.behind, message)), ()


def rest(waiting: Waiting) -> tuple[Message, ...]:
    """What has to follow if nothing more comes: a result for each call without one, and what waited behind them."""
    early = dict(waiting.results)
    return (
        *(
            early.get(place) or ToolReturn(waiting.sent[place], waiting.names[place], NO_RESULT)
            for place in range(waiting.placed, len(waiting.ids))
        ),
        *waiting.behind,
    )


def _returned(waiting: Waiting, result: ToolReturn) -> tuple[Waiting, tuple[Message, ...]]:
    """Results go out in the order of the calls; one of no waiting call, or a second one, is passed over."""
    early = dict(waiting.results)
    open_places = (place for place in range(waiting.placed, len(waiting.ids)) if place not in early)
    place = next((place for place in open_places if waiting.ids[place] == result.call_id), None)
    if place is None:
        return waiting, ()
    sent = waiting.sent[place]
    early[place] = result if result.call_id == sent else msgspec.structs.replace(result, call_id=sent)
    out: list[Message] = []
    placed = waiting.placed
    while placed in early:
        out.append(early.pop(placed))
        placed += 1
    if placed == len(waiting.ids):
        return NOTHING, (*out, *waiting.behind)
    return replace(waiting, placed=placed, results=tuple(early.items())), tuple(out)


def _with_ids(message: Assistant) -> Assistant:
    """The answer itself, or with `call_N` for each id that is blank: the server takes none of those."""
    if all(call.id.strip() for call in message.calls):
        return message
    calls = tuple(
        call if call.id.strip() else msgspec.structs.replace(call, id=f"call_{index}")
        for index, call in enumerate(message.calls)
    )
    return msgspec.structs.replace(message, calls=calls)
