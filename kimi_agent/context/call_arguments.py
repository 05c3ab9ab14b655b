"""Tool call arguments decoded from the model's JSON text, {} where that is not a JSON object."""

from typing import Any

import msgspec

from kimi_agent.log.messages import Call


def decode_call_arguments(call: Call) -> dict[str, Any]:
    """The arguments of `call`; none where its text is not a JSON object."""
    try:
        arguments = msgspec.json.decode(call.arguments)
    except (msgspec.DecodeError, RecursionError):  # a model may nest brackets by the thousand
        return {}
    return arguments if isinstance(arguments, dict) else {}
