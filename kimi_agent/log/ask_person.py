"""Question to a person, with its answer: both are emitted to the log."""

from kimi_agent.log.events import Answered, Asked, Emit
from kimi_agent.log.questions import Ask, Decision, Question


async def ask_person(question: Question, ask: Ask, emit: Emit) -> Decision:
    """Ask `question` and return the answer. Both are logged, so that an interruption between them shows."""
    emit(Asked(question))
    decision = await ask(question)
    emit(Answered(question, decision))
    return decision
