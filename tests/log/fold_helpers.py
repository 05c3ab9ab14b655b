"""Short ways to write a log down and fold it."""

from collections.abc import Iterable

from kimi_agent.log.events import Durable, Said, Stamped
from kimi_agent.log.fold.conversation import Conversation, fold_conversation
from kimi_agent.log.fold.current_records import CurrentRecords
from kimi_agent.log.messages import Assistant, Call, Message


def logged(*events: Durable) -> list[Stamped]:
    return [Stamped("main", seq, float(seq), event) for seq, event in enumerate(events, 1)]


def fold(*events: Durable) -> Conversation:
    return fold_conversation(lambda: logged(*events))


def current_in(log: Iterable[Stamped]) -> CurrentRecords:
    current = CurrentRecords()
    for stamped in log:
        current.add(stamped)
    return current


def fold_messages(log: Iterable[Stamped]) -> list[Message]:
    return fold_conversation(lambda: log, keep_replaced=True).messages()


def asks(*names: str) -> Said:
    """An answer that calls these tools."""
    return Said(Assistant("", "thought", tuple(Call(f"f:{name}", name, "{}") for name in names)))
