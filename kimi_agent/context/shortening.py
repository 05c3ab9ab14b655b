"""Shortening of tool results without asking the model: stubs for stale ones, both ends of oversized ones."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from posixpath import normpath

from kimi_agent.context.call_arguments import decode_call_arguments
from kimi_agent.log.event_parts import Short
from kimi_agent.log.fold.rewindable import MessageOrigin
from kimi_agent.log.messages import Assistant, Call, Message, ToolReturn
from kimi_agent.model.text_tokens import estimate_tokens

STUB_CHARS = 200
MIN_SHORTENED_CHARS = 600
"""A result up to this length is left alone: its stub would hardly be shorter."""
HEAD_SHARE = 0.3
LINE_END_REACH_CHARS = 1_000
_FAILED_PREFIX = "Error ["


@dataclass(frozen=True)
class SizedMessage:
    """A message with its origin in the log and its size in tokens."""

    message: Message
    origin: MessageOrigin
    size: int


@dataclass(frozen=True)
class Shortening:
    """The results that become shorter, and the tokens that frees."""

    results: tuple[Short, ...] = ()
    freed: int = 0

    def __add__(self, other: "Shortening") -> "Shortening":
        return Shortening((*self.results, *other.results), self.freed + other.freed)


def find_newest_step(items: Sequence[SizedMessage]) -> int:
    """The index at which the unread part begins: the last calls with their results, or a prompt."""
    at = len(items)
    while at and not isinstance(items[at - 1].message, Assistant):
        at -= 1
    called = at < len(items) and isinstance(items[at].message, ToolReturn)
    return at - 1 if at and called else at


def shorten_stale(
    items: Sequence[SizedMessage], *, wanted: int, least: int, recent: int, written: Mapping[str, int]
) -> Shortening:
    """Stubs for old results until `wanted` tokens are free; nothing where that would free less than `least`.

    The newest step and the newest `recent` tokens are left alone. First go results that something later made useless:
    the same call again, a call that went well after this one failed, a file `written` (path -> record) since.
    """
    end = min(find_newest_step(items), _find_recent_start(items, recent))
    old = [item for item in items[:end] if isinstance(item.message, ToolReturn) and _is_long(item.message)]
    useless = _find_superseded(items, written)
    results: list[Short] = []
    freed = 0
    for item in sorted(old, key=lambda item: item.origin not in useless):  # stable: the oldest first within each
        if freed >= wanted:
            break
        assert isinstance(item.message, ToolReturn)
        stub = _make_stub(item.message.content, item.origin)
        results.append(Short(*item.origin, stub))
        freed += max(0, item.size - estimate_tokens(stub))
    return Shortening(tuple(results), freed) if freed and freed >= least else Shortening()


def _find_recent_start(items: Sequence[SizedMessage], recent: int) -> int:
    """Where the newest `recent` tokens begin."""
    at = len(items)
    while at and recent >= items[at - 1].size:
        recent -= items[at - 1].size
        at -= 1
    return at


def _is_long(result: ToolReturn) -> bool:
    return len(result.content) > MIN_SHORTENED_CHARS


def _make_stub(content: str, origin: MessageOrigin) -> str:
    head = content[:STUB_CHARS]
    head = head[: head.rfind("\n") + 1].rstrip("\n") or head
    answer, index = origin
    return (
        f'{head}\n[shortened to make room: {len(content):,} characters; recall(id="{answer}.{index}") shows it again]'
    )


def _find_superseded(items: Sequence[SizedMessage], written: Mapping[str, int]) -> set[MessageOrigin]:
    """The results that something later made useless."""
    found: set[MessageOrigin] = set()
    repeated: set[tuple[str, str]] = set()
    went_well: set[tuple[str, str]] = set()
    for origin, call, content in _results_newest_first(items):
        about = _find_subject(call)
        failed = content.startswith(_FAILED_PREFIX)
        again = (call.name, call.arguments) in repeated or (call.name, about.path) in repeated
        mended = failed and (call.name, about.subject) in went_well
        overwritten = not failed and written.get(about.path, 0) > origin[0]
        if again or mended or overwritten:
            found.add(origin)
        if not failed:
            went_well.add((call.name, about.subject))
        # A short answer about a file may say no more than "unchanged since you read it above".
        if not about.path or len(content) > MIN_SHORTENED_CHARS:
            repeated.add((call.name, call.arguments))
            if about.whole:
                repeated.add((call.name, about.path))
    return found


def _results_newest_first(items: Sequence[SizedMessage]) -> Iterator[tuple[MessageOrigin, Call, str]]:
    answers = ((item.origin[0], item.message.calls) for item in items if isinstance(item.message, Assistant))
    calls = {(seq, index): call for seq, answer_calls in answers for index, call in enumerate(answer_calls)}
    for item in reversed(items):
        if isinstance(item.message, ToolReturn) and (call := calls.get(item.origin)) is not None:
            yield item.origin, call, item.message.content


@dataclass(frozen=True)
class _CallSubject:
    """The subject of a call: its path or command, else all of its arguments; `whole`: the path and nothing else."""

    subject: str
    path: str = ""
    whole: bool = False


def _find_subject(call: Call) -> _CallSubject:
    arguments = decode_call_arguments(call)
    path, command = arguments.get("path"), arguments.get("command")
    if isinstance(path, str) and path:
        return _CallSubject(normpath(path), normpath(path), len(arguments) == 1)
    return _CallSubject(command if isinstance(command, str) else call.arguments)


def shorten_oversized(items: Sequence[SizedMessage], share: int, keep: Callable[[str], str]) -> Shortening:
    """Head and tail for the biggest results of the newest step, so that all of it takes about `share` tokens.

    The whole goes to `keep`, which names it (OSError where that cannot be).
    """
    step = items[find_newest_step(items) :]
    long = [item for item in step if isinstance(item.message, ToolReturn) and _is_long(item.message)]
    rest = sum(item.size for item in step) - sum(item.size for item in long)
    level = _find_cut_size([item.size for item in long], share - rest)
    done = Shortening()
    for item in long:
        assert isinstance(item.message, ToolReturn)
        if item.size > level:
            content = item.message.content
            cut = _keep_ends(content, max(MIN_SHORTENED_CHARS, len(content) * level // item.size), keep, item.origin)
            if estimate_tokens(cut) < estimate_tokens(content):
                done += Shortening((Short(*item.origin, cut),), max(0, item.size - estimate_tokens(cut)))
    return done


def _find_cut_size(sizes: Sequence[int], share: int) -> int:
    """The size that the biggest are cut to, so that all together are `share`; the small ones leave theirs to them."""
    left = max(0, share)
    for done, size in enumerate(sorted(sizes)):
        level = left // (len(sizes) - done)
        if size > level:
            return level
        left -= size
    return max(sizes, default=0)


def _keep_ends(content: str, chars: int, keep: Callable[[str], str], origin: MessageOrigin) -> str:
    """About `chars` characters of both ends of `content`, cut at line ends where there are any near."""
    near = min(LINE_END_REACH_CHARS, chars // 4)
    size = int(chars * HEAD_SHARE)
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
