"""Worktree names: checks one that was given, and makes one up from the date and a word (`0412-maple`)."""

import itertools
import random
import re
import time
from collections.abc import Callable, Iterator

from kimi_agent.errors import UserError
from kimi_agent.printable import escape_path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_WORDS = re.findall(
    r"\w+",
    "amber ash birch brook cedar cliff cloud clover coral dawn delta dune elm ember fern fjord flint frost glade grove"
    " harbor hazel heron holly ivy jade juniper lake larch linden maple marsh meadow mist moss oak olive otter pebble"
    " pine plum pond quartz raven reed ridge river rowan sage slate spruce stone summit thorn tide vale willow wren",
)


def check_worktree_name(name: str) -> str:
    """`name`, if a worktree, its folder and its branch can be called so. Raises UserError."""
    if not _NAME.fullmatch(name) or ".." in name or name.endswith((".", ".lock")):
        rule = "use letters, digits, '-', '_' and '.', 64 at most"
        raise UserError(f"A worktree cannot be called {escape_path(name, 80)!r}: {rule}.")
    return name


def generate_worktree_names(now: Callable[[], float], rng: random.Random) -> Iterator[str]:
    """Names of today: the month, the day and a word; with a number too where the words have run out."""
    today = time.strftime("%m%d", time.localtime(now()))
    words = rng.sample(_WORDS, len(_WORDS))
    yield from (f"{today}-{word}" for word in words)
    yield from (f"{today}-{rng.choice(words)}-{number}" for number in itertools.count(2))
