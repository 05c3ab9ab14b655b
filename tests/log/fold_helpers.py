"""Short ways to write a log down and fold it."""

from kimi_agent.log.events import Durable, Said, Stamped
from kimi_agent.log.fold.conversation import Conversation, fold_conversation
from kimi_agent.log.messages import Assistant, Call


def logged(*events: Durable) -> list[Stamped]:
    return [Stamped("main", seq, float(seq), event) for seq, event in enumerate(events, 1)]


def fold(*events: Durable) -> Conversation:
    return fold_conversation(lambda: logged(*events))


def asks(*names: str) -> Said:
    """An answer that calls these tools."""
    return Said(Assistant("", "thought", tuple(Call(f"f:{name}", name, "{}") for name in names)))
