"""Messages of the conversation, as plain frozen values: what the model reads.

They are `msgspec` structs so that the log's codec needs no second description of them. Text in them is valid Unicode
(no lone surrogates): the session cleans what it is given before it becomes history.
"""

from typing import Literal

import msgspec


class Text(msgspec.Struct, frozen=True, tag="text"):
    """A run of plain text."""

    text: str


class Media(msgspec.Struct, frozen=True, tag="media"):
    """An image or a video: `blob` names its bytes beside the log (sha256, hex), `mime` says what they are."""

    kind: Literal["image", "video"]
    mime: str
    blob: str


Part = Text | Media


class User(msgspec.Struct, frozen=True, tag="user"):
    """What the person (or the harness in their name) says, as parts."""

    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """All text parts, joined by blank lines."""
        return "\n\n".join(part.text for part in self.parts if isinstance(part, Text))


class Call(msgspec.Struct, frozen=True):
    """One tool call as the model wrote it: `id` is the wire's own, kept byte for byte; `arguments` raw JSON text."""

    id: str
    name: str
    arguments: str


class Assistant(msgspec.Struct, frozen=True, tag="assistant"):
    """One complete answer. `reasoning` is None where the model sent none, "" where it sent an empty one.

    `reasoning_field` is the wire name under which the reasoning was seen (`reasoning_content`, `reasoning`, ...).
    """

    text: str
    reasoning: str | None = None
    calls: tuple[Call, ...] = ()
    reasoning_field: str = "reasoning_content"


class ToolReturn(msgspec.Struct, frozen=True, tag="tool"):
    """The answer to one call; `call_id` is the wire id of that call, echoed byte for byte."""

    call_id: str
    name: str
    content: str


Message = User | Assistant | ToolReturn


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one request as the server counted them; `input` includes `cached`, `output` includes `reasoning`."""

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        cached, reasoning = self.cached + other.cached, self.reasoning + other.reasoning
        return Usage(self.input + other.input, self.output + other.output, cached, reasoning)


def user_message(text: str) -> User:
    """A user message of one text part."""
    return User((Text(text),))
