"""From what a person set to a model that can be asked: the endpoint's profile, the key, or a tape."""

from collections.abc import Mapping
from pathlib import Path

from kimi_agent.model.base import Model
from kimi_agent.model.endpoint.keys import find_key
from kimi_agent.model.endpoint.profiles import ModelSettings
from kimi_agent.model.tape.format import Tape
from kimi_agent.model.tape.tape_model import TapeModel
from kimi_agent.model.wire.chat_completions import ChatCompletions
from kimi_agent.model.wire.request_encoder import Blob

TAPE = "tape:"


def open_model(settings: ModelSettings, environ: Mapping[str, str], *, blob: Blob, version: str) -> Model:
    """The model that `settings` name; nothing is sent yet.

    `tape:FILE` is a scripted one and needs no key. `blob` gives the bytes of images and videos. Raises UserError for
    a missing key, an address that is none, or a bad tape.
    """
    if settings.model.startswith(TAPE):
        return TapeModel(Tape.load(Path(settings.model.removeprefix(TAPE))), blob=blob, window=settings.window)
    key = find_key(settings, environ)
    return ChatCompletions(settings, key, environ=environ, blob=blob, version=version)
