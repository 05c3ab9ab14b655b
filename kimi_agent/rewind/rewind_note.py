"""Note to the model about rewound files, while its messages still mention the changes."""

from kimi_agent.log.events import Rewound
from kimi_agent.log.fold.conversation import Conversation
from kimi_agent.printable import escape_path

_MOST_NAMES = 20


def rewind_note(conversation: Conversation) -> str | None:
    """The note for the tail of a request, until the turn that gets it ends; None where files and chat agree."""
    return "\n".join(_sentence(each, conversation) for each in conversation.taken_back) or None


def _sentence(back: Rewound, conversation: Conversation) -> str:
    names = ", ".join(escape_path(path) for path in back.paths[:_MOST_NAMES]) or "all files that you changed"
    more = f" and {len(back.paths) - _MOST_NAMES:,} more files" if len(back.paths) > _MOST_NAMES else ""
    if back.undoes:
        return f"The user brought back your changes to: {names}{more}. Read them again before you edit."
    since = f" (since turn {turn})" if (turn := conversation.turn_of(back.to)) else ""
    return f"The user took back your changes to: {names}{more}{since}. Read them again before you edit."
