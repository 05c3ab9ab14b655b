"""Compaction: picks the cut point, asks the model for a narrative, composes the text that replaces the rest."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kimi_agent.context.preserved_facts import PreservedFacts, render_facts
from kimi_agent.context.session_facts import UserExcerpt
from kimi_agent.context.shortening import SizedMessage, find_newest_step
from kimi_agent.context.window_layout import WindowLayout
from kimi_agent.errors import ModelError, Stopped
from kimi_agent.log.events import Emit, Retrying
from kimi_agent.log.fold.rewindable import CutPoint
from kimi_agent.log.messages import Usage
from kimi_agent.model.message_assembly import Assembly
from kimi_agent.model.protocol import Finish, Model, Request, closing_stream
from kimi_agent.model.text_tokens import estimate_tokens

MAX_NARRATIVE_CHARS = 12_000
_USER_TAG = re.compile(r"(<\s*/?\s*)user-message", re.IGNORECASE)
_NARRATIVE_TITLE = "## The story so far, in your own words"
_TRUNCATED_NOTE = "[cut here: the story was too long]"


@dataclass(frozen=True)
class CompactionDraft:
    """A compaction before the model was asked: everything up to `mark` goes, and `preserved` replaces it.

    `layout` says what fits. What stays takes `tail` tokens; these `words` of the person are in it.
    """

    layout: WindowLayout
    mark: CutPoint
    preserved: PreservedFacts
    tail: int
    words: tuple[UserExcerpt, ...]


def choose_cut_point(
    marks: Sequence[CutPoint], items: Sequence[SizedMessage], tail: int, most_tail: int
) -> CutPoint | None:
    """The mark that leaves about `tail` tokens behind it, and the newest step if that takes at most `most_tail`.

    None where nothing but an earlier summary would be replaced.
    """
    step = sum(item.size for item in items[find_newest_step(items) :])
    room = max(tail, step if step <= most_tail else 0)
    behind, at, found = 0, len(items), None
    for mark in reversed(marks):
        behind += sum(item.size for item in items[mark.length : at])
        at = mark.length
        if behind > room:
            break
        found = mark
    return found if found is not None and found.length > _count_leading_summaries(marks, items) else None


def _count_leading_summaries(marks: Sequence[CutPoint], items: Sequence[SizedMessage]) -> int:
    """1 where the conversation begins with an earlier compaction's summary, else 0."""
    # A compaction is newer than the first record that can be cut behind: its summary replaced that one.
    return int(bool(items and marks) and marks[0].length == 1 and items[0].origin[0] > marks[0].seq)


@dataclass(frozen=True)
class Narrative:
    """The model's summary of the conversation, or why there is none."""

    text: str
    error: str = ""


async def ask_for_narrative(model: Model, request: Request, emit: Emit) -> Narrative:
    """The model's summary of the conversation. Its reasoning and calls are ignored; a failure is returned.

    Raises Stopped: where the harness ends the turn, nothing more is done.
    """
    assembly = Assembly()
    try:
        async with closing_stream(model.stream(request)) as deltas:
            async for delta in deltas:
                if isinstance(delta, Retrying):
                    emit(delta)
                if not isinstance(delta, Usage | Finish):
                    assembly.add(delta)
    except Stopped:
        raise
    except ModelError as error:
        return Narrative("", str(error) or type(error).__name__)
    narrative = assembly.text.strip()
    return Narrative(narrative, "" if narrative else "its answer held no text")


def compose_summary(preserved: PreservedFacts, narrative: Narrative, max_tokens: int) -> str:
    """The text that replaces the conversation: the preserved facts, then the model's narrative."""
    if not narrative.text:
        story = f"[There is none: the model could not be asked for it ({narrative.error}).]"
    else:
        # Nothing in the story may pass for the person's own words, or move a cursor.
        story = _truncate_narrative(narrative.text, max_tokens)
        story = "".join(char for char in story if char.isprintable() or char in "\n\t")
        story = _USER_TAG.sub(r"\1user message", story)
    return f"{render_facts(preserved)}\n\n{_NARRATIVE_TITLE}\n\n{story}"


def _truncate_narrative(narrative: str, max_tokens: int) -> str:
    most = MAX_NARRATIVE_CHARS
    while estimate_tokens(narrative[:most]) > max_tokens:
        most = most * 9 // 10
    return narrative if len(narrative) <= most else f"{narrative[:most].rstrip()}\n{_TRUNCATED_NOTE}"
