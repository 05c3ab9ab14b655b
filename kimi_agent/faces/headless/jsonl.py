"""JSON lines for programs: writes events and the final result object, reads messages."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from kimi_agent.errors import UserError
from kimi_agent.faces.headless.output_thread import TextSink
from kimi_agent.log.events import Stamped


class JsonLinesWriter:
    """A listener that writes every event as one line: its type and fields, `agent`, `seq` (0: fleeting), `at`."""

    def __init__(self, out: TextSink) -> None:
        self._out = out

    def __call__(self, stamped: Stamped) -> None:
        fields = msgspec.to_builtins(stamped.event)
        head = {"type": fields.pop("type"), "agent": stamped.agent, "seq": stamped.seq, "at": stamped.at}
        write_json_line(self._out, head | fields)


def write_json_line(out: TextSink, value: Mapping[str, Any]) -> None:
    """One JSON object on a line of its own, ASCII (any reader takes it), at once."""
    out.write(json.dumps(value) + "\n")
    out.flush()


def read_json_messages(lines: Iterator[bytes]) -> Iterator[str]:
    """The texts of a stream of JSON messages, one a line.

    Taken: `{"type": "user", "text": "..."}`, and `{"type": "user", "message": {"role": "user", "content": ...}}` with a
    string or text parts, as other agents' drivers send it. Raises UserError (65) naming the line.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"Line {number} of the input is not JSON: {error}.", 65) from error
        text = _text(value)
        if text is None:
            raise UserError(
                f'Line {number} of the input is not a message; send {{"type": "user", "text": "..."}}, one a line.', 65
            )
        yield text


def _text(value: Any) -> str | None:
    if not isinstance(value, dict) or value.get("type", "user") != "user":
        return None
    message = value.get("message")
    content = message.get("content") if isinstance(message, dict) else value.get("text", message)
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        content = "\n\n".join(part for part in parts if isinstance(part, str)) if len(parts) == len(content) else None
    return content if isinstance(content, str) and content.strip() else None
