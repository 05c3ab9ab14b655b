"""Model factory: opens the HTTP client or the tape that the settings name."""

from collections.abc import Mapping
from pathlib import Path

from kimi_agent.model.endpoint.api_keys import find_api_key
from kimi_agent.model.endpoint.profiles import ModelSettings
from kimi_agent.model.protocol import Model
from kimi_agent.model.tape.tape_format import Tape
from kimi_agent.model.tape.tape_model import TapeModel
from kimi_agent.model.wire.chat_completions import ChatCompletions
from kimi_agent.model.wire.request_encoder import BlobReader

TAPE_PREFIX = "tape:"


def open_model(settings: ModelSettings, environ: Mapping[str, str], *, blob: BlobReader, version: str) -> Model:
    """Open the model that `settings` name; nothing is sent yet.

    `tape:FILE` is a scripted one and needs no key. `blob` gives the bytes of images and videos. Raises UserError for
    a missing key, an address that is none, or a bad tape.
    """
    if settings.model.startswith(TAPE_PREFIX):
        return TapeModel(Tape.load(Path(settings.model.removeprefix(TAPE_PREFIX))), blob=blob, window=settings.window)
    key = find_api_key(settings, environ)
    return ChatCompletions(settings, key, environ=environ, blob=blob, version=version)
