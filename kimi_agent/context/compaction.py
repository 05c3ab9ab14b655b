"""What a compaction is made of: where the conversation is cut, what stands in its place, and who tells the story."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kimi_agent.context.preserved_facts import Pins, text
from kimi_agent.context.session_facts import Word
from kimi_agent.context.shortening import Item, newest_step
from kimi_agent.context.token_estimator import tokens
from kimi_agent.errors import ModelError, Stopped
from kimi_agent.log.events import Emit, Retrying
from kimi_agent.log.fold.rewindable import Mark
from kimi_agent.log.messages import Usage
from kimi_agent.model.assembly import Assembly
from kimi_agent.model.base import Finish, Model, Request
from kimi_agent.model.closing_stream import closing

MOST_NARRATIVE_CHARS = 12_000
_USERS = re.compile(r"(<\s*/?\s*)user-message", re.IGNORECASE)
_STORY = "## The story so far, in your own words"
_CUT = "[cut here: the story was too long]"


@dataclass(frozen=True)
class Draft:
    """A compaction before the model was asked: everything up to `mark` goes, `pins` stand for it.

    What stays takes `tail` tokens; these `words` of the person are in it.
    """

    mark: Mark
    pins: Pins
    tail: int
    words: tuple[Word, ...]


def place_to_cut(marks: Sequence[Mark], items: Sequence[Item], tail: int, most_tail: int) -> Mark | None:
    """The mark that leaves about `tail` tokens behind it, and the newest step if that takes at most `most_tail`.

    None where nothing but an earlier summary would be replaced.
    """
    step = sum(item.size for item in items[newest_step(items) :])
    room = max(tail, step if step <= most_tail else 0)
    behind, at, found = 0, len(items), None
    for mark in reversed(marks):
        behind += sum(item.size for item in items[mark.length : at])
        at = mark.length
        if behind > room:
            break
        found = mark
    return found if found is not None and found.length > _summaries(marks, items) else None


def _summaries(marks: Sequence[Mark], items: Sequence[Item]) -> int:
    """1 where the conversation begins with the summary of an earlier compaction, else 0."""
    # A compaction is newer than the first record that can be cut behind: its summary stands for that one.
    return int(bool(items and marks) and marks[0].length == 1 and items[0].origin[0] > marks[0].seq)


@dataclass(frozen=True)
class Told:
    """What the model wrote, or why there is nothing."""

    narrative: str
    trouble: str = ""


async def ask(model: Model, request: Request, emit: Emit) -> Told:
    """The model's story of the conversation. Its reasoning and calls are nothing to us; a failure is told.

    Raises Stopped: where the harness ends the turn, nothing more is done.
    """
    assembly = Assembly()
    try:
        async with closing(model.stream(request)) as deltas:
            async for delta in deltas:
                if isinstance(delta, Retrying):
                    emit(delta)
                if not isinstance(delta, Usage | Finish):
                    assembly.add(delta)
    except Stopped:
        raise
    except ModelError as error:
        return Told("", str(error) or type(error).__name__)
    narrative = assembly.text.strip()
    return Told(narrative, "" if narrative else "its answer held no text")


def summary(pins: Pins, told: Told, max_tokens: int) -> str:
    """The text that stands in the place of the conversation."""
    if not told.narrative:
        story = f"[There is none: the model could not be asked for it ({told.trouble}).]"
    else:
        # Nothing in the story may pass for the person's own words, or move a cursor.
        story = _USERS.sub(r"\1user message", _plain(_cut(told.narrative, max_tokens)))
    return f"{text(pins)}\n\n{_STORY}\n\n{story}"


def _plain(text: str) -> str:
    return "".join(char for char in text if char.isprintable() or char in "\n\t")


def _cut(narrative: str, max_tokens: int) -> str:
    most = MOST_NARRATIVE_CHARS
    while tokens(narrative[:most]) > max_tokens:
        most = most * 9 // 10
    return narrative if len(narrative) <= most else f"{narrative[:most].rstrip()}\n{_CUT}"
