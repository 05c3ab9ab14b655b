"""/compact: make room in the window, see first what that would do, or take it back."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kimi_agent.errors import UserError
from kimi_agent.faces.repl.render_queue import Backlog
from kimi_agent.faces.sanitize import clean, wrap
from kimi_agent.faces.summary_lines import amount, count

if TYPE_CHECKING:  # the first prompt does not wait for these
    from kimi_agent.context.context_window import Preview

PREVIEW = ("--preview", "preview")
UNDO = ("undo", "--undo")


@dataclass(frozen=True)
class Compacting:
    """What /compact asks of the house. Each raises UserError where it cannot be done; `compact` ModelError too."""

    compact: Callable[[str], Awaitable[object]]
    preview: Callable[[], "Preview"]
    take_back: Callable[[], object]


async def make_room(rest: str, compacting: Compacting | None, backlog: Backlog, columns: int) -> None:
    """Do what `/compact rest` asks for; what came of it is told by the events. Raises UserError and ModelError."""
    if compacting is None:
        raise UserError("There is nothing to compact yet.")
    word = rest.strip()
    if word.lower() in UNDO:
        compacting.take_back()
    elif word.lower() in PREVIEW:
        first, *rows = preview_rows(compacting.preview(), columns - 1)
        backlog.note(first)
        backlog.say(rows)
    elif word.startswith("--"):
        raise UserError(
            f"/compact knows --preview and undo; {word.split()[0]} is neither. Other words say what to dwell on."
        )
    else:
        await compacting.compact(word)


def preview_rows(preview: "Preview", cells: int) -> list[str]:
    """What would go, in one sentence; then in rows of `cells` cells what the harness would write in its place."""
    lines = clean(preview.text).split("\n")
    return [
        f"{count(preview.messages, 'message')} would become a summary: {amount(preview.tokens_before)} -> about "
        f"{amount(preview.tokens_after)} tokens. The model adds its narrative to this:",
        "",
        *(row for line in lines for row in wrap(line.expandtabs(4), cells)),
    ]
