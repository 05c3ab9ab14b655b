"""Making room without asking the model: which tool results become stubs, and which are too big to stand whole."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from posixpath import normpath

from kimi_agent.context.call_arguments import arguments_of
from kimi_agent.context.token_estimator import tokens
from kimi_agent.log.events import Short
from kimi_agent.log.messages import Assistant, Call, Message, ToolReturn

STUB_CHARS = 200
LONG_CHARS = 600
"""A result up to this length is left alone: its stub would hardly be shorter."""
HEAD_PART = 0.3
NEAR_CHARS = 1_000
_FAILED = "Error ["

Origin = tuple[int, int]


@dataclass(frozen=True)
class Item:
    """A message as it stands: where it comes from, and its tokens."""

    message: Message
    origin: Origin
    size: int


@dataclass(frozen=True)
class Shortening:
    """What becomes shorter, and how many tokens that frees."""

    results: tuple[Short, ...] = ()
    freed: int = 0

    def __add__(self, other: "Shortening") -> "Shortening":
        return Shortening((*self.results, *other.results), self.freed + other.freed)


def newest_step(items: Sequence[Item]) -> int:
    """Where that begins which the model has not read yet: the last calls with their results, or a prompt."""
    at = len(items)
    while at and not isinstance(items[at - 1].message, Assistant):
        at -= 1
    called = at < len(items) and isinstance(items[at].message, ToolReturn)
    return at - 1 if at and called else at


def stale(items: Sequence[Item], *, wanted: int, least: int, recent: int, written: Mapping[str, int]) -> Shortening:
    """Stubs for old results until `wanted` tokens are free; nothing where that would free less than `least`.

    The newest step and the newest `recent` tokens are left alone. First go results that something later made useless:
    the same call again, a call that went well after this one failed, a file `written` (path -> record) since.
    """
    end = min(newest_step(items), _behind(items, recent))
    old = [item for item in items[:end] if isinstance(item.message, ToolReturn) and _is_long(item.message)]
    useless = _superseded(items, written)
    results: list[Short] = []
    freed = 0
    for item in sorted(old, key=lambda item: item.origin not in useless):  # stable: the oldest first within each
        if freed >= wanted:
            break
        assert isinstance(item.message, ToolReturn)
        stub = _stub(item.message.content, item.origin)
        results.append(Short(*item.origin, stub))
        freed += max(0, item.size - tokens(stub))
    return Shortening(tuple(results), freed) if freed and freed >= least else Shortening()


def _behind(items: Sequence[Item], recent: int) -> int:
    """Where the newest `recent` tokens begin."""
    at = len(items)
    while at and recent >= items[at - 1].size:
        recent -= items[at - 1].size
        at -= 1
    return at


def _is_long(result: ToolReturn) -> bool:
    return len(result.content) > LONG_CHARS


def _stub(content: str, origin: Origin) -> str:
    head = content[:STUB_CHARS]
    head = head[: head.rfind("\n") + 1].rstrip("\n") or head
    answer, index = origin
    return (
        f'{head}\n[shortened to make room: {len(content):,} characters; recall(id="{answer}.{index}") shows it again]'
    )


def _superseded(items: Sequence[Item], written: Mapping[str, int]) -> set[Origin]:
    """The results that something later made useless."""
    found: set[Origin] = set()
    repeated: set[tuple[str, str]] = set()
    went_well: set[tuple[str, str]] = set()
    for origin, call, content in _results_newest_first(items):
        about = _about(call)
        failed = content.startswith(_FAILED)
        again = (call.name, call.arguments) in repeated or (call.name, about.path) in repeated
        mended = failed and (call.name, about.subject) in went_well
        overwritten = not failed and written.get(about.path, 0) > origin[0]
        if again or mended or overwritten:
            found.add(origin)
        if not failed:
            went_well.add((call.name, about.subject))
        # A short answer about a file may say no more than "unchanged since you read it above".
        if not about.path or len(content) > LONG_CHARS:
            repeated.add((call.name, call.arguments))
            if about.whole:
                repeated.add((call.name, about.path))
    return found


def _results_newest_first(items: Sequence[Item]) -> Iterator[tuple[Origin, Call, str]]:
    calls = {
        (item.origin[0], index): call
        for item in items
        if isinstance(item.message, Assistant)
        for index, call in enumerate(item.message.calls)
    }
    for item in reversed(items):
        if isinstance(item.message, ToolReturn) and (call := calls.get(item.origin)) is not None:
            yield item.origin, call, item.message.content


@dataclass(frozen=True)
class _About:
    """What a call is about: its path or command, else all of its arguments; `whole`: the path and nothing else."""

    subject: str
    path: str = ""
    whole: bool = False


def _about(call: Call) -> _About:
    arguments = arguments_of(call)
    path, command = arguments.get("path"), arguments.get("command")
    if isinstance(path, str) and path:
        return _About(normpath(path), normpath(path), len(arguments) == 1)
    return _About(command if isinstance(command, str) else call.arguments)


def too_big(items: Sequence[Item], share: int, keep: Callable[[str], str]) -> Shortening:
    """Head and tail for the biggest results of the newest step, so that all of it takes about `share` tokens.

    The whole goes to `keep`, which names it (OSError where that cannot be).
    """
    step = items[newest_step(items) :]
    long = [item for item in step if isinstance(item.message, ToolReturn) and _is_long(item.message)]
    rest = sum(item.size for item in step) - sum(item.size for item in long)
    level = _level([item.size for item in long], share - rest)
    done = Shortening()
    for item in long:
        assert isinstance(item.message, ToolReturn)
        if item.size > level:
            content = item.message.content
            cut = _ends(content, max(LONG_CHARS, len(content) * level // item.size), keep, item.origin)
            if tokens(cut) < tokens(content):
                done += Shortening((Short(*item.origin, cut),), max(0, item.size - tokens(cut)))
    return done


def _level(sizes: Sequence[int], share: int) -> int:
    """The size that the biggest are cut to, so that all together are `share`; the small ones leave theirs to them."""
    left = max(0, share)
    for done, size in enumerate(sorted(sizes)):
        level = left // (len(sizes) - done)
        if size > level:
            return level
        left -= size
    return max(sizes, default=0)


def _ends(content: str, chars: int, keep: Callable[[str], str], origin: Origin) -> str:
    """About `chars` characters of both ends of `content`, cut at line ends where there are any near."""
    near = min(NEAR_CHARS, chars // 4)
    size = int(chars * HEAD_PART)
    head = content[:size]
    head = head[: head.rfind("\n", max(0, size - near)) + 1] or head
    tail = content[len(content) - (chars - size) :]
    tail = tail[tail.find("\n", 0, near) + 1 :]
    missing = content[len(head) : len(content) - len(tail)]
    try:
        name = keep(content)
        whole = f'the whole is {name}, page it with read_file(path="{name}", offset={head.count(chr(10)) + 1})'
    except OSError:
        whole = f'recall(id="{origin[0]}.{origin[1]}") shows it'
    left_out = f"[{len(missing):,} of {len(content):,} characters left out here to make room; {whole}]"
    return "\n".join([head.removesuffix("\n"), left_out, tail])
