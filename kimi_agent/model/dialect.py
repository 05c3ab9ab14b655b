"""Moonshot's way of writing a request: values in, the body's JSON bytes out.

The body is encoded here, and not by the SDK, so that the provider's prefix cache always hits and a step costs the same
at the end of a long session as at its start: `messages` stands last, each message is encoded once and kept, and what
was sent for one request (less its trailing notes) is a byte prefix of what is sent for the next.
"""

import base64
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import is_
from typing import Any

import msgspec

from kimi_agent.log.messages import Assistant, Media, Message, Text, ToolReturn, User
from kimi_agent.model.base import Request, ToolSpec
from kimi_agent.model.profiles import Profile

Blob = Callable[[str], bytes]
"""The bytes of a blob by its name; OSError where they are gone."""

_KEPT_AGENTS = 32
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Dialect:
    """What a body's fixed part says: the model's name on the wire, and the switches of the session."""

    model: str
    profile: Profile
    thinking: bool = True
    max_output: int | None = None


class Encoder:
    """Encodes requests and keeps what it encoded, per agent, as long as the messages are the same objects."""

    def __init__(self, dialect: Dialect, blob: Blob) -> None:
        self.dialect = dialect
        self._blob = blob
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def body(self, request: Request) -> bytes:
        """The whole body, ready to be sent."""
        key = cache_key(request)
        kept = self._kept.pop(key, None)
        if kept is None or kept.system != request.system or kept.tools != request.tools:
            kept = _Kept(self.dialect, key, request)
        self._kept[key] = kept
        if len(self._kept) > _KEPT_AGENTS:
            self._kept.popitem(last=False)
        kept.follow(request.messages, self._message)
        tail = b"]}"
        if notes := note_text(request.notes):
            tail = (b"," if kept.open else b"") + encode({"role": "user", "content": notes}) + tail
        return b"".join((kept.head, kept.joined, tail))

    def _message(self, message: Message) -> bytes:
        match message:
            case User():
                return encode({"role": "user", "content": self._content(message)})
            case ToolReturn(call_id, name, content):
                content = content or "(no output)"
                return encode({"role": "tool", "tool_call_id": call_id, "name": name, "content": content})
            case Assistant():
                return self._assistant(message)

    def _assistant(self, message: Assistant) -> bytes:
        if not message.text and not message.calls:
            return b""  # the server refuses an assistant message without either, and with it the whole session
        wire: dict[str, Any] = {"role": "assistant"}
        if message.text or not message.calls:
            wire["content"] = message.text
        if self.dialect.thinking:
            wire |= self._reasoning(message)
        if message.calls:
            wire["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in message.calls
            ]
        return encode(wire)

    def _reasoning(self, message: Assistant) -> dict[str, Any]:
        rule = self.dialect.profile.reasoning
        if rule == "only seen" and message.reasoning is None:
            return {}
        name = "reasoning_content" if rule == "reasoning_content" else message.reasoning_field
        text = message.reasoning or ""
        return {name: [{"type": "reasoning.text", "text": text}] if name == "reasoning_details" else text}

    def _content(self, message: User) -> str | list[dict[str, Any]]:
        parts = [part for part in message.parts if not isinstance(part, Text) or part.text]
        if not any(isinstance(part, Media) for part in parts):
            return "\n\n".join(part.text for part in parts if isinstance(part, Text)) or "(empty message)"
        return [self._part(part) for part in parts]

    def _part(self, part: Text | Media) -> dict[str, Any]:
        if isinstance(part, Text):
            return {"type": "text", "text": part.text}
        try:
            data = base64.b64encode(self._blob(part.blob)).decode("ascii")
        except OSError:
            return {"type": "text", "text": f"(a stored {part.kind} that is no longer there)"}
        name = f"{part.kind}_url"
        return {"type": name, name: {"url": f"data:{part.mime};base64,{data}"}}


class _Kept:
    """The encoded start of one agent's conversation, grown in place."""

    def __init__(self, dialect: Dialect, key: str, request: Request) -> None:
        self.system = request.system
        self.tools = request.tools
        self.head = _head(dialect, key, request.tools)
        system = encode({"role": "system", "content": request.system}) if request.system else b""
        self.joined = bytearray(system)
        self._messages: list[Message] = []
        self._ends: list[int] = []

    @property
    def open(self) -> bool:
        """Whether a comma has to stand before the next message."""
        return bool(self.joined)

    def follow(self, messages: Sequence[Message], encode_one: Callable[[Message], bytes]) -> None:
        """Make `joined` hold these messages; what is kept of them by identity is not encoded again."""
        same = min(len(self._messages), len(messages))
        if not all(map(is_, self._messages, messages)):
            same = next(i for i in range(same) if self._messages[i] is not messages[i])
        if same < len(self._messages):
            start = self._ends[same - 1] if same else self._base()
            del self.joined[start:], self._messages[same:], self._ends[same:]
        for message in messages[same:]:
            if encoded := encode_one(message):
                if self.joined:
                    self.joined += b","
                self.joined += encoded
            self._messages.append(message)
            self._ends.append(len(self.joined))

    def _base(self) -> int:
        return len(encode({"role": "system", "content": self.system})) if self.system else 0


def cache_key(request: Request) -> str:
    """The provider's cache key, which on the wire is also the agent's address: `session` or `session/main.3`."""
    return request.session if request.agent == "main" else f"{request.session}/{request.agent}"


def note_text(notes: Sequence[str]) -> str:
    """The notes as the text of one trailing message; "" where there are none."""
    return "\n".join(f"<note>{note}</note>" for note in notes if note)


def _head(dialect: Dialect, key: str, tools: Sequence[ToolSpec]) -> bytes:
    """Everything before the first message. Its key order is fixed: it is the start of the cached prefix."""
    fixed: dict[str, Any] = {
        "model": dialect.model,
        "stream": True,
        "stream_options": {"include_usage": True},
        "thinking": {"type": "enabled", "keep": "all"} if dialect.thinking else {"type": "disabled"},
    }
    if dialect.max_output:
        fixed["max_completion_tokens"] = dialect.max_output
    if key:
        fixed["prompt_cache_key"] = key
    if tools:
        fixed["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.schema)},
            }
            for tool in tools
        ]
    return encode(fixed)[:-1] + b',"messages":['


def encode(value: Mapping[str, Any]) -> bytes:
    """`value` as JSON in valid UTF-8; half a surrogate pair in it becomes U+FFFD."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode(_clean(value))


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, Mapping):
        return {_clean(key): _clean(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(each) for each in value]
    return value
