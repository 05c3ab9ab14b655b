"""Tape expectations: a request's body as a tape sees it, and the check of a line's `expect` against it. Pure."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from kimi_agent.model.tape.tape_format import Expectation, ExpectedText, walk_strings

_MARK_PATTERN = re.compile(r"\[tape (\d{1,9})((?: [0-9a-f]{8})*)((?: \d{1,9}=\d{1,9})*)\]")


@dataclass(frozen=True)
class TapeMark:
    """The position that `{{place}}` wrote into a summary (message `start`): how far the replaced history was.

    `count` answers had been given then, and by script (its place in the tape) so many as `given` says, the one that
    would have answered last. What comes behind message `index` was not among them: a compaction may keep the newest
    messages, and the request for the summary may have shown them.
    """

    start: int
    index: int
    count: int
    given: dict[int, int]


@dataclass(frozen=True)
class TapeRequest:
    """A request as the tape sees it: its decoded body, which has passed the checks of a chat completion."""

    body: dict[str, Any]

    @cached_property
    def _parts(self) -> tuple[list[dict[str, Any]], str, dict[str, Any] | None]:
        """The messages, the notes behind them, and the start of the answer behind these."""
        messages: list[dict[str, Any]] = self.body["messages"]
        start = messages[-1] if messages and messages[-1].get("partial") is True else None
        messages = messages[:-1] if start is not None else messages
        note = content_text(messages[-1]) if messages and messages[-1].get("role") == "user" else ""
        return (messages[:-1], note, start) if note.startswith("<note>") else (messages, "", start)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages without the notes and the partial answer at the tail."""
        return self._parts[0]

    @property
    def note(self) -> str:
        """The notes at the tail."""
        return self._parts[1]

    @property
    def partial(self) -> dict[str, Any] | None:
        """The start of the answer, where it is to be gone on with."""
        return self._parts[2]

    @cached_property
    def mark(self) -> TapeMark | None:
        """The newest mark in the user messages, where a summary replaces what was before."""
        texts = ((i, content_text(each)) for i, each in enumerate(self.messages) if each.get("role") == "user")
        marks = ((int(match[1]), index, match) for index, text in texts for match in _MARK_PATTERN.finditer(text))
        newest = max(marks, key=lambda mark: mark[:2], default=None)
        if newest is None:
            return None
        count, start, match = newest
        pairs = (pair.split("=") for pair in match[3].split())
        given = {int(script): int(number) for script, number in pairs}
        return TapeMark(start, _find_last_counted(self.messages, start, match[2].split()), count, given)

    @property
    def count(self) -> int:
        """How many answers were given so far."""
        return (self.mark.count if self.mark else 0) + len(self.answers_after(self.mark.index if self.mark else -1))

    def answers_after(self, index: int) -> list[int]:
        """The indices of the answers behind a message."""
        return [i for i in range(index + 1, len(self.messages)) if self.messages[i].get("role") == "assistant"]

    @cached_property
    def text(self) -> str:
        """All text of the messages, notes included."""
        return "\n".join(walk_strings(self.body["messages"]))

    @property
    def thinks(self) -> bool:
        """Whether the answer begins with reasoning."""
        thinking = self.body.get("thinking")
        return not isinstance(thinking, dict) or thinking.get("type") != "disabled"

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


def find_unmet(expect: Expectation, request: TapeRequest, end: int) -> str:
    """The first expectation that fails for the first `end` messages, as a sentence; "" if all hold."""
    last = text_since_answer(request.messages, end)
    wanted: list[tuple[str, ExpectedText, Callable[[], str], bool]] = [
        ("what came last to contain", expect.last_contains, lambda: last, True),
        ("what came last not to contain", expect.last_not_contains, lambda: last, False),
        ("the conversation to contain", expect.contains, lambda: request.text, True),
        ("the conversation not to contain", expect.not_contains, lambda: request.text, False),
        ("the notes to contain", expect.note_contains, lambda: request.note, True),
    ]
    for what, words, text, present in wanted:
        for word in [words] if isinstance(words, str) else words:
            if word and (word in text()) is not present:
                return f"{what} {word!r}; it is {quote_excerpt(text())}"
    if expect.regex and not re.search(expect.regex, last, re.MULTILINE):
        return f"what came last to match {expect.regex!r}; it is {quote_excerpt(last)}"
    if expect.last_role and (role := str(request.messages[end - 1].get("role")) if end else "none") != expect.last_role:
        return f"the last message to be from {expect.last_role!r}; it is from {role!r}"
    if expect.messages is not None and end != expect.messages:
        return f"{expect.messages} messages; there are {end}"
    for name in [expect.has_tool] if isinstance(expect.has_tool, str) else expect.has_tool:
        if name and name not in request.tools:
            return f"the tool {name!r} to be offered; these are: {', '.join(request.tools) or 'none'}"
    return ""


def content_text(message: dict[str, Any]) -> str:
    """The text of a message's content, whether a string or parts."""
    content = message.get("content")
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "\n\n".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def fingerprint_answer(answer: dict[str, Any]) -> str:
    """A fingerprint of an answer, whatever became of its results."""
    return hashlib.sha256(msgspec.json.encode([answer.get("content"), answer.get("tool_calls")])).hexdigest()[:8]


def _find_last_counted(messages: list[dict[str, Any]], start: int, traces: list[str]) -> int:
    """The index of the answer that the mark counted last, where it is still behind the summary, else `start`."""
    answers = [i for i in range(start + 1, len(messages)) if messages[i].get("role") == "assistant"]
    found = [fingerprint_answer(messages[i]) for i in answers]
    for end in range(1, len(found) + 1):
        if traces and found[max(0, end - len(traces)) : end] == traces[-end:]:
            return answers[end - 1]
    return start


def text_since_answer(messages: Sequence[dict[str, Any]], end: int) -> str:
    """The text of all that came after the last answer."""
    start = end
    while start and messages[start - 1].get("role") in ("tool", "user"):
        start -= 1
    return "\n".join(content_text(message) for message in messages[start:end])


def quote_excerpt(text: str) -> str:
    """The text as an error shows it."""
    return repr(text if len(text) <= 300 else f"{text[:150]} … {text[-150:]}")
