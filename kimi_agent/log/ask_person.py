"""Question to a person: emit it, await the answer, emit that too."""

from kimi_agent.log.events import Answered, Asked, Emit
from kimi_agent.log.questions import Ask, Decision, Question


async def ask_person(question: Question, ask: Ask, emit: Emit) -> Decision:
    """The answer to `question`; both are in the log, and whoever was interrupted between them sees that."""
    emit(Asked(question))
    decision = await ask(question)
    emit(Answered(question, decision))
    return decision
