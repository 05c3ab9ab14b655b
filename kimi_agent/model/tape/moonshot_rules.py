"""Request checks of Moonshot for kimi-k2.6, with its error texts. Pure; the mock server and tapes use them."""

from dataclasses import dataclass
from typing import Any

from kimi_agent.model.wire.moonshot_schema import find_schema_error
from kimi_agent.schema import TOOL_NAME

MOONSHOT_MODELS = ("kimi-k2.6", "kimi-k2.7-code", "kimi-k2.7-code-highspeed", "kimi-k3")

_ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True)
class RequestRefusal:
    """An error answer."""

    message: str
    status: int = 400
    kind: str = "invalid_request_error"

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body of the answer."""
        return {"error": {"message": self.message, "type": self.kind}}


def check_request(body: Any) -> RequestRefusal | None:
    """Why this request is not taken; None for a good one."""
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list) or not body["messages"]:
        return RequestRefusal("Invalid request: messages must be a list that is not empty")
    if body.get("model") not in MOONSHOT_MODELS:
        text = f"Not found the model {body.get('model')} or Permission denied"
        return RequestRefusal(text, 404, "resource_not_found_error")
    thinking = body.get("thinking") or {"type": "enabled"}
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if kind not in ("enabled", "disabled"):
        return RequestRefusal("Invalid request: thinking.type must be enabled or disabled")
    thinks = kind == "enabled"
    cap = body.get("max_completion_tokens", body.get("max_tokens"))
    if cap is not None and (not isinstance(cap, int) or isinstance(cap, bool) or cap < 1):
        return RequestRefusal("Invalid request: max_completion_tokens must be a positive integer")
    found = _find_fixed_value_error(body, thinks) or _find_tools_error(body.get("tools"))
    found = found or _find_messages_error(body["messages"], thinks)
    return RequestRefusal(found) if found else None


def check_window(body: dict[str, Any], tokens: int, window: int) -> RequestRefusal | None:
    """Why a request with so many input tokens does not fit the window, input and output together; None if it does."""
    if tokens >= window:
        return RequestRefusal("Invalid request: Input token length too long")
    if tokens + (body.get("max_completion_tokens") or body.get("max_tokens") or 0) > window:
        return RequestRefusal(f"Invalid request: Your request exceeded model token limit : {window}")
    return None


def _find_fixed_value_error(body: dict[str, Any], thinks: bool) -> str:
    fixed = {"temperature": 1 if thinks else 0.6, "top_p": 0.95, "n": 1, "presence_penalty": 0, "frequency_penalty": 0}
    for name, value in fixed.items():
        if body.get(name) not in (None, value):
            return f"invalid {name}: only {value} is allowed for this model"
    choice = body.get("tool_choice")
    if choice not in (None, "auto", "none", "required") and not isinstance(choice, dict):
        return "Invalid request: tool_choice must be auto, none, required or a function"
    if thinks and (choice == "required" or isinstance(choice, dict)):
        word = choice if isinstance(choice, str) else "specified"
        return f"tool_choice '{word}' is incompatible with thinking enabled"
    return ""


def _find_tools_error(tools: Any) -> str:
    if tools is None:
        return ""
    if not isinstance(tools, list) or not 0 < len(tools) <= 128:
        return "Invalid request: tools must be a list of 1 to 128 functions"
    names: set[str] = set()
    for tool in tools:
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict):
            return "Invalid request: each tool must hold a function"
        name = function.get("name")
        if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
            return f"Invalid request: function name is invalid, must start with a letter or underscore: {name!r}"
        if name in names:
            return f"function name {name} is duplicated"
        names.add(name)
        if why := find_schema_error(function.get("parameters")):
            start = "tools.function.parameters is not a valid moonshot flavored json schema"
            return f"{start}, details: <{why}>"
    return ""


def _find_messages_error(messages: list[Any], thinks: bool) -> str:
    open_calls: list[str] = []
    for position, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in _ROLES:
            return f"Invalid request: the message at position {position} has an unknown role"
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                return "Invalid request: tool_call_id  is not found"
            open_calls.remove(message["tool_call_id"])
        elif open_calls:
            return _format_missing_results(open_calls)
        if role == "assistant":
            open_calls = _call_ids(message)
            if message.get("partial") and (open_calls or position < len(messages) - 1):
                return "Invalid request: partial is for the last message, an assistant's without tool_calls"
            if why := _find_assistant_error(message, position, thinks):
                return why
        elif _is_empty(message.get("content")):
            return f"Invalid request: the message at position {position} with role '{role}' must not be empty"
    return _format_missing_results(open_calls) if open_calls else ""


def _find_assistant_error(message: dict[str, Any], position: int, thinks: bool) -> str:
    calls = message.get("tool_calls") or []
    if not calls and _is_empty(message.get("content")):
        return f"Invalid request: the message at position {position} with role 'assistant' must not be empty"
    if calls and message.get("content") is not None and _is_empty(message["content"]):
        return "Invalid request: text content is empty"
    if calls and thinks and not isinstance(message.get("reasoning_content"), str):
        start = "thinking is enabled but reasoning_content is missing in assistant tool call message"
        return f"{start} at index {position}"
    return ""


def _format_missing_results(open_calls: list[str]) -> str:
    return (
        "Invalid request: an assistant message with 'tool_calls' must be followed by tool messages responding to each "
        f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(open_calls)}"
    )


def _call_ids(message: dict[str, Any]) -> list[str]:
    calls = message.get("tool_calls")
    return [str(call.get("id")) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def _is_empty(content: Any) -> bool:
    if isinstance(content, list):
        texts = (part for part in content if isinstance(part, dict) and part.get("type") == "text")
        return not content or not all(part.get("text") for part in texts)
    return not content
