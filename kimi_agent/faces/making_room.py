"""/compact: make room in the window, see first what that would do, or take it back."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kimi_agent.errors import UserError
from kimi_agent.faces.sanitize import clean
from kimi_agent.faces.summaries import amount

if TYPE_CHECKING:  # the first prompt does not wait for these
    from kimi_agent.context.room import Preview

PREVIEW = ("--preview", "preview")
UNDO = ("undo", "--undo")


@dataclass(frozen=True)
class Compacting:
    """What /compact asks of the house. Each raises UserError where it cannot be done; `compact` ModelError too."""

    compact: Callable[[str], Awaitable[object]]
    preview: Callable[[], "Preview"]
    take_back: Callable[[], object]


async def make_room(rest: str, compacting: Compacting | None, say: Callable[[list[str]], None]) -> None:
    """Do what `/compact rest` asks for; what came of it is told by the events. Raises UserError and ModelError."""
    if compacting is None:
        raise UserError("There is nothing to compact yet.")
    word = rest.strip()
    if word.lower() in UNDO:
        compacting.take_back()
    elif word.lower() in PREVIEW:
        say(preview_rows(compacting.preview()))
    elif word.startswith("--"):
        raise UserError(
            f"/compact knows --preview and undo; {word.split()[0]} is neither. Other words say what to dwell on."
        )
    else:
        await compacting.compact(word)


def preview_rows(preview: "Preview") -> list[str]:
    """What would go, and word for word what the harness would write in its place."""
    return [
        f"{preview.messages:,} messages would become a summary: {amount(preview.tokens_before)} -> about "
        f"{amount(preview.tokens_after)} tokens. The model adds its narrative to this:",
        "",
        *clean(preview.text).split("\n"),
    ]
