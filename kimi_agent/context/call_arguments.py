"""What a call asked for, as far as it can be read."""

from typing import Any

import msgspec

from kimi_agent.log.messages import Call


def arguments_of(call: Call) -> dict[str, Any]:
    """The arguments of `call`; none where its text is not a JSON object."""
    try:
        arguments = msgspec.json.decode(call.arguments)
    except (msgspec.DecodeError, RecursionError):  # a model may nest brackets by the thousand
        return {}
    return arguments if isinstance(arguments, dict) else {}
