"""Which line of a tape answers a request, and with what: pure, from the request's body alone."""

import fnmatch
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from kimi_agent.log.messages import Call, Usage
from kimi_agent.model.tape import PLACEHOLDER, Entry, Expect, Fault, Pace, Script, Tape, Words, strings


class TapeMismatch(Exception):
    """The request is not the one that the tape was written for; `str(error)` names tape, line and what differs."""


@dataclass(frozen=True)
class Answer:
    """A line with its placeholders filled: what is to be said now, and how it arrives."""

    number: int
    say: str
    reason: str | None
    calls: tuple[Call, ...]
    finish: str
    usage: Usage | None
    pace: float | Pace | None
    fault: Fault | None


@dataclass(frozen=True)
class Asking:
    """A request as the tape sees it: its decoded body, which has passed for a chat completion."""

    body: dict[str, Any]
    size: int = 0

    @cached_property
    def messages(self) -> list[dict[str, Any]]:
        """The messages without the notes at the tail."""
        found: list[dict[str, Any]] = self.body["messages"]
        return found[:-1] if found and _is_note(found[-1]) else found

    @property
    def note(self) -> str:
        """The notes at the tail."""
        last = self.body["messages"][-1] if self.body["messages"] else {}
        return text_of(last) if _is_note(last) else ""

    @property
    def session(self) -> str:
        """The conversation's name: the whole cache key."""
        key = self.body.get("prompt_cache_key")
        return key if isinstance(key, str) else ""

    @property
    def agent(self) -> str:
        """The path of the agent that asks."""
        return self.session.partition("/")[2] or "main"

    @property
    def tools(self) -> list[str]:
        """The names of the tools it offers."""
        return [str(tool.get("function", {}).get("name")) for tool in self.body.get("tools") or []]


def choose(tape: Tape, asking: Asking) -> Entry:
    """The line that answers. Raises TapeMismatch where none does."""
    script, anchor = _script(tape, asking)
    for interlude in script.interludes:
        if _holds(interlude, asking, len(asking.messages)):
            return interlude
    position = _position(script, asking, anchor)
    for entry in script.entries:
        if entry.start <= position and (entry.end is None or position < entry.end):
            return entry
    last = max((entry.end or 0 for entry in script.entries), default=0)
    raise TapeMismatch(
        f"{tape.name}: no line gives answer {position + 1} to {asking.agent}"
        f"{f' after {script.when!r}' if script.when else ''}; its lines end after answer {last}"
    )


def answer(tape: Tape, entry: Entry, asking: Asking) -> Answer:
    """What `entry` answers. Raises TapeMismatch where an expectation fails or a placeholder finds nothing."""
    line = entry.line
    if line.expect is not None and (wrong := unmet(line.expect, asking, len(asking.messages))):
        raise TapeMismatch(f"{tape.name}, line {entry.number}: expected {wrong}")
    fill = _Filler(tape, entry, asking).fill
    calls = tuple(
        Call(
            fill(call.id) or f"functions.{call.name}:{index}",
            call.name,
            fill(call.raw) if call.raw is not None else msgspec.json.encode(_deep(call.args, fill)).decode(),
        )
        for index, call in enumerate(line.calls)
    )
    say = fill(line.say or "")
    reason = None if line.reason is None else fill(line.reason)
    if isinstance(line.usage, Usage) or line.usage is None:
        usage = line.usage
    else:
        said = len(say) + len(reason or "") + sum(len(call.arguments) for call in calls)
        usage = Usage(asking.size // 4 + 1, said // 4 + 1, 0)
    finish = line.finish or ("tool_calls" if calls else "stop")
    return Answer(entry.number, say, reason, calls, finish, usage, line.pace, line.fault)


def unmet(expect: Expect, asking: Asking, end: int) -> str:
    """What of `expect` does not hold for the first `end` messages, in words; "" if all holds."""
    last = _last(asking.messages, end)
    whole = _Whole(asking)
    wanted: list[tuple[str, Words, Callable[[], str], bool]] = [
        ("what came last to contain", expect.last_contains, lambda: last, True),
        ("what came last not to contain", expect.last_not_contains, lambda: last, False),
        ("the conversation to contain", expect.contains, whole, True),
        ("the conversation not to contain", expect.not_contains, whole, False),
        ("the notes to contain", expect.note_contains, lambda: asking.note, True),
    ]
    for what, words, text, present in wanted:
        for word in [words] if isinstance(words, str) else words:
            if word and (word in text()) is not present:
                return f"{what} {word!r}; it is {_shown(text())}"
    if expect.regex and not re.search(expect.regex, last, re.MULTILINE):
        return f"what came last to match {expect.regex!r}; it is {_shown(last)}"
    if expect.last_role and (role := str(asking.messages[end - 1].get("role")) if end else "none") != expect.last_role:
        return f"the last message to be from {expect.last_role!r}; it is from {role!r}"
    if expect.messages is not None and end != expect.messages:
        return f"{expect.messages} messages; there are {end}"
    for name in [expect.has_tool] if isinstance(expect.has_tool, str) else expect.has_tool:
        if name and name not in asking.tools:
            return f"the tool {name!r} to be offered; these are: {', '.join(asking.tools) or 'none'}"
    return ""


def text_of(message: dict[str, Any]) -> str:
    """The text of a message's content, whether a string or parts."""
    content = message.get("content")
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "\n\n".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


class _Whole:
    """All text of the request, joined only if somebody asks."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def __call__(self) -> str:
        return "\n".join(strings(self._asking.body["messages"]))


def _script(tape: Tape, asking: Asking) -> tuple[Script, int]:
    """The script for this request, and the index of the message behind which it counts."""
    best: tuple[tuple[bool, int], Script, int] | None = None
    for script in tape.scripts:
        anchor = _anchor(script.when, asking.messages)
        if not fnmatch.fnmatchcase(asking.agent, script.agent or ("*" if script.when else "main")) or anchor is None:
            continue
        rank = (bool(script.agent), anchor)
        if best is None or rank > best[0]:
            best = (rank, script, anchor)
    if best is None:
        raise TapeMismatch(f"{tape.name}: no lines are for the agent {asking.agent} and what it was told")
    return best[1], best[2]


def _anchor(when: str, messages: Sequence[dict[str, Any]]) -> int | None:
    if not when:
        return -1
    places = (i for i in range(len(messages) - 1, -1, -1) if messages[i].get("role") == "user")
    return next((i for i in places if when in text_of(messages[i])), None)


def _position(script: Script, asking: Asking, anchor: int) -> int:
    messages = asking.messages
    answers = [i for i in range(anchor + 1, len(messages)) if messages[i].get("role") == "assistant"]
    if script.interludes:  # what an interlude answered, then as now, was nobody's turn
        answers = [i for i in answers if not any(_holds(each, asking, i) for each in script.interludes)]
    return len(answers)


def _holds(interlude: Entry, asking: Asking, end: int) -> bool:
    return interlude.line.interlude is not None and not unmet(interlude.line.interlude, asking, end)


def _last(messages: Sequence[dict[str, Any]], end: int) -> str:
    """The text of all that came after the last answer."""
    start = end
    while start and messages[start - 1].get("role") in ("tool", "user"):
        start -= 1
    return "\n".join(text_of(message) for message in messages[start:end])


def _is_note(message: dict[str, Any]) -> bool:
    return message.get("role") == "user" and text_of(message).startswith("<note>")


class _Filler:
    def __init__(self, tape: Tape, entry: Entry, asking: Asking) -> None:
        self._where = f"{tape.name}, line {entry.number}"
        self._asking = asking

    def fill(self, text: str) -> str:
        """`text` with its placeholders replaced."""
        return PLACEHOLDER.sub(self._one, text) if "{{" in text else text

    def _one(self, found: re.Match[str]) -> str:
        value = self._value(found[1], int(found[2] or 0), found[0])
        if found[3] is None:
            return value
        match = re.search(found[3], value, re.MULTILINE)
        if match is None:
            raise TapeMismatch(f"{self._where}: {found[0]} matches nothing in {_shown(value)}")
        return match[1] if match.re.groups else match[0]

    def _value(self, kind: str, number: int, placeholder: str) -> str:
        messages = self._asking.messages
        if kind == "step":
            return str(sum(message.get("role") == "assistant" for message in messages) + 1)
        if kind == "prompt":
            texts = [text_of(message) for message in messages if message.get("role") == "user"]
        else:
            after = max((i for i, message in enumerate(messages) if message.get("role") == "assistant"), default=-1)
            texts = [text_of(message) for message in messages[after + 1 :] if message.get("role") == "tool"]
        if not 0 <= (number or len(texts)) - 1 < len(texts):
            raise TapeMismatch(f"{self._where}: {placeholder} has nothing to stand for")
        return texts[(number or len(texts)) - 1]


def _deep(value: Any, fill: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return fill(value)
    if isinstance(value, dict):
        return {key: _deep(each, fill) for key, each in value.items()}
    return [_deep(each, fill) for each in value] if isinstance(value, list) else value


def _shown(text: str) -> str:
    return repr(text if len(text) <= 300 else f"{text[:150]} … {text[-150:]}")
