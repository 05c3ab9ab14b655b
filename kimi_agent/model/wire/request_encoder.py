"""Request encoder: a `Request` in, the JSON bytes of a chat completion body in Moonshot's dialect out.

The body is encoded here, and not by the SDK, so that the provider's prefix cache always hits and a step costs the
same at the end of a long session as at its start: `messages` comes last, each message is encoded once and kept, and
the messages of one request (less its trailing notes) are a byte prefix of those of the next. What would be refused
is mended on the way: schemas, results without their calls, a cap that does not fit the window.
"""

import base64
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import is_
from typing import Any

import msgspec

from kimi_agent.config import DEFAULT_WINDOW_TOKENS
from kimi_agent.log.messages import Assistant, Call, Media, Message, Text, ToolReturn, User
from kimi_agent.model.endpoint.profiles import EndpointProfile
from kimi_agent.model.protocol import DEFAULT_OUTPUT_TOKENS, Request, ToolSpec
from kimi_agent.model.wire.pairing import NO_PENDING_CALLS, PendingCalls, flush_pending, pair_message
from kimi_agent.model.wire.schema_repair import repair_schema
from kimi_agent.schema import TOOL_NAME

BlobReader = Callable[[str], bytes]
"""The bytes of a blob by its name; OSError where they are gone."""

_MAX_KEPT_AGENTS = 32
_SPARE_TOKENS = 1_024
_MIN_OUTPUT_TOKENS = 256
_MAX_TOOLS = 128
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class RequestDialect:
    """The fixed settings of a body: the model's name on the wire, and the switches of the session (in tokens)."""

    model: str
    profile: EndpointProfile
    thinking: bool = True
    max_output: int | None = None
    window: int = DEFAULT_WINDOW_TOKENS


class RequestEncoder:
    """Encodes requests and keeps what it encoded, per agent, as long as the messages are the same objects."""

    def __init__(self, dialect: RequestDialect, blob: BlobReader) -> None:
        self.dialect = dialect
        self._blob = blob
        self._kept: OrderedDict[str, _EncodedConversation] = OrderedDict()

    def body(self, request: Request) -> bytes:
        """The whole body, ready to be sent."""
        key = build_cache_key(request)
        kept = self._kept.pop(key, None)
        if kept is None or kept.system != request.system or kept.tools != request.tools:
            kept = _EncodedConversation(self.dialect, key, request)
        self._kept[key] = kept
        if len(self._kept) > _MAX_KEPT_AGENTS:
            self._kept.popitem(last=False)
        kept.follow(request.messages, self._message)
        tail = [self._message(message) for message in flush_pending(kept.waiting)]
        if notes := format_notes(request.notes):
            tail.append(encode_wire_json({"role": "user", "content": notes}))
        # A start without text cannot be gone on with: the server refuses an empty message.
        if request.partial is not None and request.partial.text:
            tail.append(encode_wire_json(self._assistant(request.partial) | {"partial": True}))
        head = kept.start + self._switches(request, kept.offers) + kept.end
        comma = b"," if kept.joined and tail else b""
        return b"".join((head, kept.joined, comma, b",".join(tail), b"]}"))

    def _switches(self, request: Request, offers: bool) -> bytes:
        """The fields that may differ from request to request without changing the prompt."""
        cap = cap_output_tokens(request.max_output or self.dialect.max_output, self.dialect.window, request.tokens)
        choice = b',"tool_choice":"none"' if request.tools_off and offers else b""
        return (b"" if cap is None else b',"%b":%d' % (self.dialect.profile.cap.encode(), cap)) + choice

    def _message(self, message: Message) -> bytes:
        match message:
            case User():
                return encode_wire_json({"role": "user", "content": self._content(message)})
            case ToolReturn(call_id, name, content):
                content = content or "(no output)"
                return encode_wire_json({"role": "tool", "tool_call_id": call_id, "name": name, "content": content})
            case Assistant():
                return encode_wire_json(self._assistant(message))

    def _assistant(self, message: Assistant) -> dict[str, Any]:
        wire: dict[str, Any] = {"role": "assistant"}
        if message.text or not message.calls:
            wire["content"] = message.text
        if self.dialect.thinking:
            wire |= self._reasoning(message)
        if message.calls:
            wire["tool_calls"] = wire_calls(message.calls)
        return wire

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


class _EncodedConversation:
    """The encoded start of one agent's conversation, grown in place.

    `start` and `end` come before the messages, with what may differ between; `offers` says whether tools are listed;
    `waiting` which results must still follow what is `joined`.
    """

    def __init__(self, dialect: RequestDialect, key: str, request: Request) -> None:
        self.system = request.system
        self.tools = request.tools
        functions = _offered_functions(request.tools)
        self.offers = bool(functions)
        self.start, self.end = _encode_head(dialect, key, functions)
        self._base = encode_wire_json({"role": "system", "content": request.system}) if request.system else b""
        self.joined = bytearray(self._base)
        self._messages: list[Message] = []
        self._ends: list[tuple[int, PendingCalls]] = []

    @property
    def waiting(self) -> PendingCalls:
        """The calls that still lack results, behind the messages that are joined."""
        return self._ends[-1][1] if self._ends else NO_PENDING_CALLS

    def follow(self, messages: Sequence[Message], encode_one: Callable[[Message], bytes]) -> None:
        """Make `joined` hold these messages; what is kept of them by identity is not encoded again."""
        same = min(len(self._messages), len(messages))
        if not all(map(is_, self._messages, messages)):
            same = next(i for i in range(same) if self._messages[i] is not messages[i])
        if same < len(self._messages):
            start = self._ends[same - 1][0] if same else len(self._base)
            del self.joined[start:], self._messages[same:], self._ends[same:]
        for message in messages[same:]:
            waiting, sent = pair_message(self.waiting, message)
            for each in sent:
                if self.joined:
                    self.joined += b","
                self.joined += encode_one(each)
            self._messages.append(message)
            self._ends.append((len(self.joined), waiting))


def wire_calls(calls: Sequence[Call]) -> list[dict[str, Any]]:
    """Tool calls as an assistant's message holds them."""
    functions = ((call.id, {"name": call.name, "arguments": call.arguments}) for call in calls)
    return [{"id": id, "type": "function", "function": function} for id, function in functions]


def build_cache_key(request: Request) -> str:
    """The provider's cache key, which on the wire is also the agent's address: `session` or `session/main.3`."""
    return request.session if request.agent == "main" else f"{request.session}/{request.agent}"


def format_notes(notes: Sequence[str]) -> str:
    """The notes as the text of one trailing message; "" where there are none."""
    return "\n".join(f"<note>{note}</note>" for note in notes if note)


def cap_output_tokens(asked: int | None, window: int, tokens: int) -> int | None:
    """`max_completion_tokens` for an input of so many tokens (0: not known): as asked, but never over the window.

    None where nobody asked and the server's own default fits: the rate limit counts what is asked for.
    """
    if not tokens:
        return asked
    room = max(window - tokens - _SPARE_TOKENS, _MIN_OUTPUT_TOKENS)
    if asked is None:
        return None if room >= DEFAULT_OUTPUT_TOKENS else room
    return min(asked, room)


def _encode_head(dialect: RequestDialect, key: str, functions: list[dict[str, Any]]) -> tuple[bytes, bytes]:
    """Everything before the first message, cut where the switches go. Its key order is fixed."""
    fixed = {
        "model": dialect.model,
        "stream": True,
        "stream_options": {"include_usage": True},
        "thinking": {"type": "enabled", "keep": "all"} if dialect.thinking else {"type": "disabled"},
    }
    named: dict[str, Any] = {"prompt_cache_key": key} if key else {}
    if functions:
        named["tools"] = functions
    end = b"," + encode_wire_json(named)[1:-1] if named else b""
    return encode_wire_json(fixed)[:-1], end + b',"messages":['


def _offered_functions(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """The tools that can be offered: one with a bad or doubled name, or one too many, would cost the whole request."""
    found: dict[str, dict[str, Any]] = {}
    for tool in tools:
        if TOOL_NAME.fullmatch(tool.name) and tool.name not in found and len(found) < _MAX_TOOLS:
            schema = repair_schema(tool.schema)
            found[tool.name] = {"name": tool.name, "description": tool.description, "parameters": schema}
    return [{"type": "function", "function": function} for function in found.values()]


def encode_wire_json(value: Mapping[str, Any]) -> bytes:
    """`value` as JSON in valid UTF-8; half a surrogate pair in it becomes U+FFFD."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode(_replace_lone_surrogates(value))


def _replace_lone_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, Mapping):
        return {_replace_lone_surrogates(key): _replace_lone_surrogates(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_replace_lone_surrogates(each) for each in value]
    return value
