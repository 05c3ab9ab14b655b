"""What the tests of asking a model share: requests, models, and short ways to ask."""

from collections.abc import AsyncIterator, Sequence

from kimi_agent.log.messages import Message, user_message
from kimi_agent.model.endpoint.api_keys import ApiKey
from kimi_agent.model.endpoint.profiles import Clocks, ModelSettings
from kimi_agent.model.protocol import Delta, Model, Request, ToolSpec
from kimi_agent.model.wire.chat_completions import ChatCompletions

READ_FILE = ToolSpec(
    "read_file",
    "Read a file.",
    {"type": "object", "properties": {"path": {"type": "string", "description": "Which."}}, "required": ["path"]},
)


def no_blob(name: str) -> bytes:
    raise FileNotFoundError(name)


def ask_for(*messages: Message, notes: tuple[str, ...] = (), agent: str = "main", system: str = "Be kind.") -> Request:
    return Request(system, (READ_FILE,), messages or (user_message("hello"),), notes, "S1", agent)


async def all_of(model: Model, request: Request) -> list[Delta]:
    return [delta async for delta in model.stream(request)]


def client(
    base_url: str,
    *,
    key: str = "",
    model: str = "kimi-k2.6",
    clocks: Clocks | None = None,
    environ: dict[str, str] | None = None,
) -> ChatCompletions:
    settings = ModelSettings(model=model, base_url=base_url, clocks=clocks or Clocks())
    found = ApiKey(key, "KIMI_API_KEY") if key else None
    return ChatCompletions(settings, found, environ=environ or {}, blob=no_blob, version="9.9", now=lambda: 0.0)


Attempt = Sequence[Delta | BaseException]


class Attempts:
    """A model that goes through the given attempts, the last one again and again, and keeps what it was asked."""

    name = "attempts"
    window = 1000

    def __init__(self, *attempts: Attempt) -> None:
        self.attempts = attempts
        self.requests: list[Request] = []
        self.closed = 0

    @property
    def asked(self) -> int:
        return len(self.requests)

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        attempt = self.attempts[min(self.asked, len(self.attempts) - 1)]
        self.requests.append(request)
        try:
            for each in attempt:
                if isinstance(each, BaseException):
                    raise each
                yield each
        finally:
            self.closed += 1

    async def aclose(self) -> None:
        pass
