"""Questions that a person is asked before a call runs, their answers, and the callable that puts them."""

from collections.abc import Awaitable, Callable

import msgspec

from kimi_agent.log.views import View


class Question(msgspec.Struct, frozen=True):
    """What a person is asked before a call runs. `view` is the real command or diff; `rule` what "always" would allow.

    `rule` is "" where "don't ask again" must not be offered. `choices` are the answers where yes and no are not: the
    first one allows what is asked for, the others do not.
    """

    tool: str
    title: str
    view: View | None = None
    why: str = ""
    rule: str = ""
    choices: tuple[str, ...] = ()


class Decision(msgspec.Struct, frozen=True):
    """The answer: `message` is what the person wants instead; `always` adds the question's rule to this session.

    `choice` is the place of the chosen one among the question's choices, -1 where nobody chose.
    """

    allowed: bool
    always: bool = False
    message: str = ""
    by: str = "person"
    choice: int = -1


Ask = Callable[[Question], Awaitable[Decision]]
