"""/compact command: compact the conversation, preview what that would do, or undo it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kimi_agent.errors import UserError
from kimi_agent.faces.repl.render_queue import RenderQueue
from kimi_agent.faces.sanitize import sanitize, wrap_line
from kimi_agent.faces.summary_lines import format_amount
from kimi_agent.printable import format_count

if TYPE_CHECKING:  # the first prompt does not wait for these
    from kimi_agent.context.context_window import CompactionPreview

PREVIEW_WORDS = ("--preview", "preview")
UNDO_WORDS = ("undo", "--undo")


@dataclass(frozen=True)
class CompactionActions:
    """The actions behind /compact. Each raises UserError where it cannot be done; `compact` ModelError too."""

    compact: Callable[[str], Awaitable[object]]
    preview: Callable[[], "CompactionPreview"]
    undo: Callable[[], object]


async def run_compact_command(
    rest: str, compaction: CompactionActions | None, render_queue: RenderQueue, columns: int
) -> None:
    """Do what `/compact rest` asks for; events report the outcome. Raises UserError and ModelError."""
    if compaction is None:
        raise UserError("There is nothing to compact yet.")
    word = rest.strip()
    if word.lower() in UNDO_WORDS:
        compaction.undo()
    elif word.lower() in PREVIEW_WORDS:
        first, *rows = compaction_preview_rows(compaction.preview(), columns - 1)
        render_queue.note(first)
        render_queue.say(rows)
    elif word.startswith("--"):
        raise UserError(
            f"/compact knows --preview and undo; {word.split()[0]} is neither. Other words say what to dwell on."
        )
    else:
        await compaction.compact(word)


def compaction_preview_rows(preview: "CompactionPreview", cells: int) -> list[str]:
    """What would go, in one sentence; then in rows of `cells` cells what the harness would write in its place."""
    lines = sanitize(preview.text).split("\n")
    return [
        f"{format_count(preview.messages, 'message')} would become a summary: "
        f"{format_amount(preview.tokens_before)} -> about "
        f"{format_amount(preview.tokens_after)} tokens. The model adds its narrative to this:",
        "",
        *(row for line in lines for row in wrap_line(line.expandtabs(4), cells)),
    ]
