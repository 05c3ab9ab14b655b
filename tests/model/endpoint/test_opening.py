import os
from pathlib import Path

import pytest

from kimi_agent.errors import UserError
from kimi_agent.model.endpoint.api_keys import find_api_key
from kimi_agent.model.endpoint.profiles import (
    LOOPBACK_SERVER,
    MOONSHOT,
    UNKNOWN_ENDPOINT,
    EndpointProfile,
    ModelSettings,
    find_profile,
)
from kimi_agent.model.open_model import open_model
from kimi_agent.model.tape.tape_model import TapeModel
from kimi_agent.model.wire.chat_completions import ChatCompletions
from tests.model.requests import no_blob

PATH = {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}


@pytest.mark.parametrize(
    ("base_url", "profile"),
    [
        ("https://api.moonshot.ai/v1", MOONSHOT),
        ("https://API.MOONSHOT.CN:443/v1/", MOONSHOT),
        ("https://api.moonshot.ai.evil.example/v1", UNKNOWN_ENDPOINT),
        ("https://openrouter.ai/api/v1", UNKNOWN_ENDPOINT),
        ("http://localhost:8000/v1", LOOPBACK_SERVER),
        ("http://127.0.0.1/v1", LOOPBACK_SERVER),
        ("http://127.8.8.8/v1", LOOPBACK_SERVER),
        ("http://[::1]:9/v1", LOOPBACK_SERVER),
        ("http://127.0.0.1.evil.example/v1", UNKNOWN_ENDPOINT),
        ("http://192.168.0.1/v1", UNKNOWN_ENDPOINT),
    ],
)
def test_the_host_says_how_an_endpoint_is_asked(base_url: str, profile: EndpointProfile) -> None:
    assert find_profile(base_url) is profile


@pytest.mark.parametrize(
    "base_url", ["", "api.moonshot.ai", "ftp://x/v1", "http://", "http://x:port/v1", "https://[/", "http://a\nb/"]
)
def test_an_address_that_is_none_is_one_sentence(base_url: str) -> None:
    with pytest.raises(UserError, match="not an http or https address") as error:
        find_profile(base_url)
    assert error.value.exit_code == 78


@pytest.mark.parametrize(
    ("settings", "environ", "value", "shown"),
    [
        (ModelSettings(), {"KIMI_API_KEY": "sk-kimi-0123456789"}, "sk-kimi-0123456789", "KIMI_API_KEY (…6789)"),
        (ModelSettings(), {"MOONSHOT_API_KEY": " short\n"}, "short", "MOONSHOT_API_KEY"),
        (ModelSettings(), {"KIMI_API_KEY": " ", "MOONSHOT_API_KEY": "m"}, "m", "MOONSHOT_API_KEY"),
        (ModelSettings(key_env="MINE"), {"KIMI_API_KEY": "k", "MINE": "mine"}, "mine", "MINE"),
        (ModelSettings(key_command="echo printed"), {"KIMI_API_KEY": "k"}, "k", "KIMI_API_KEY"),
        (
            ModelSettings(key_command="printf ' %s\\n' printed-0123456789"),
            {},
            "printed-0123456789",
            "key_command (…6789)",
        ),
    ],
)
def test_where_a_key_is_found(settings: ModelSettings, environ: dict[str, str], value: str, shown: str) -> None:
    key = find_api_key(settings, PATH | environ)
    assert key is not None
    assert (key.value, str(key)) == (value, shown)
    assert value not in repr(key)


def test_a_key_command_that_does_not_end_is_left_with_its_children() -> None:
    with pytest.raises(UserError, match=r"did not end within 0.2 s"):
        find_api_key(ModelSettings(key_command="sleep 3 | cat; true"), PATH, timeout_s=0.2)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("echo 'no such entry' >&2; exit 3", "failed (exit 3): no such entry; run it by hand"),
        ("true", "printed nothing"),
        ("printf 'a\\nb'", "holds spaces or characters"),
        ("printf '\\303\\251'", "holds spaces or characters"),
    ],
)
def test_a_key_command_that_gives_no_key_is_one_sentence(command: str, words: str) -> None:
    with pytest.raises(UserError) as error:
        find_api_key(ModelSettings(key_command=command), PATH)
    assert words in str(error.value)
    assert error.value.exit_code == 78


def test_without_a_key_there_are_three_ways_on() -> None:
    with pytest.raises(UserError) as error:
        find_api_key(ModelSettings(), PATH)
    for way in ("KIMI_API_KEY", "platform.moonshot.ai", "KIMI_BASE_URL", "kimi-agent demo"):
        assert way in str(error.value)
    assert error.value.exit_code == 78


def test_a_loopback_endpoint_needs_no_key_but_gets_the_one_that_is_set() -> None:
    settings = ModelSettings(base_url="http://localhost:1/v1")
    assert find_api_key(settings, {}) is None
    key = find_api_key(settings, {"KIMI_API_KEY": "k"})
    assert key is not None
    assert key.value == "k"


def test_a_tape_needs_no_key_and_other_models_are_opened_without_a_request(tmp_path: Path) -> None:
    tape = tmp_path / "a tape"
    tape.write_text('{"say": "x"}')
    model = open_model(ModelSettings(model=f"tape:{tape}"), {}, blob=no_blob, version="1")
    assert isinstance(model, TapeModel)
    assert model.name == f"tape:{tape}"
    real = open_model(ModelSettings(window=7), {"KIMI_API_KEY": "k"}, blob=no_blob, version="1")
    assert isinstance(real, ChatCompletions)
    assert (real.name, real.window) == ("kimi-k2.6", 7)
