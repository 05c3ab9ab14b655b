"""Endpoint profiles by host name, and the model settings that a user may change. Plain data."""

import ipaddress
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from kimi_agent.config import DEFAULT_BASE_URL, DEFAULT_MODEL, DEFAULT_WINDOW_TOKENS, SETTINGS
from kimi_agent.errors import UserError

THINKING_ALIAS = "kimi-k2.6-thinking"
"""In no official list, but widely typed: kimi-k2.6 with thinking on."""
THINKING_TARGET = "kimi-k2.6"


@dataclass(frozen=True)
class EndpointProfile:
    """The request format of one kind of endpoint.

    `reasoning`: "reasoning_content" puts earlier reasoning under that name on every assistant message; "seen" under
    the name it came with, on every one; "only seen" leaves the field out where none came. `aliases` says that this
    host is known to call kimi-k2.6-thinking by its real name; `partial` that it continues an answer that broke off
    (Moonshot's partial mode); `markers` that its raw tool-call markers may leak into the text. `cap` is the name under
    which it takes the most tokens of an answer.
    """

    name: str
    reasoning: Literal["reasoning_content", "seen", "only seen"]
    needs_key: bool = True
    aliases: bool = False
    key_hint: str = ""
    partial: bool = False
    markers: bool = True
    cap: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"


MOONSHOT = EndpointProfile(
    "Moonshot",
    "reasoning_content",
    aliases=True,
    partial=True,
    markers=False,
    key_hint="Keys of platform.moonshot.ai and platform.moonshot.cn are not interchangeable.",
)
CODING_PLAN = EndpointProfile(
    "Kimi coding plan",
    "reasoning_content",
    markers=False,
    key_hint="Keys of the coding plan (sk-kimi-...) and of platform.moonshot.ai are not interchangeable.",
)
# llama.cpp's server passes over the newer name without a word, and vLLM takes both.
LOOPBACK_SERVER = EndpointProfile("loopback", "seen", needs_key=False, cap="max_tokens")
UNKNOWN_ENDPOINT = EndpointProfile("unknown", "only seen")

_BY_HOST = {"api.moonshot.ai": MOONSHOT, "api.moonshot.cn": MOONSHOT, "api.kimi.com": CODING_PLAN}


@dataclass(frozen=True)
class Clocks:
    """Timeouts of an answer, in seconds (the settings `clocks.*`). Comments of a stream are bytes, but not content."""

    connect_s: float = SETTINGS["clocks.connect_s"].default
    first_byte_s: float = SETTINGS["clocks.first_byte_s"].default
    no_bytes_s: float = SETTINGS["clocks.no_bytes_s"].default
    no_content_s: float = SETTINGS["clocks.no_content_s"].default
    attempt_s: float = SETTINGS["clocks.attempt_s"].default
    after_finish_s: float = 2.0


DEFAULT_CLOCKS = Clocks()


@dataclass(frozen=True)
class ModelSettings:
    """The model settings of a user. `max_output` and `window` are in tokens; None leaves it to the server.

    `partial` says whether the endpoint has Moonshot's partial mode; None goes by the host.
    """

    model: str = DEFAULT_MODEL
    base_url: str = DEFAULT_BASE_URL
    key_env: str = ""
    key_command: str = ""
    thinking: bool = True
    max_output: int | None = None
    window: int = DEFAULT_WINDOW_TOKENS
    clocks: Clocks = DEFAULT_CLOCKS
    partial: bool | None = None


def parse_host(base_url: str) -> str:
    """The host of `base_url` in lower case. Raises UserError where it is not an http(s) address."""
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or not base_url.isprintable():
        raise UserError(
            f"The base URL {base_url!r} is not an http or https address; set it to one like "
            "https://api.moonshot.ai/v1 (KIMI_BASE_URL or base_url).",
            78,
        )
    return host


def is_loopback(host: str) -> bool:
    """Whether `host` can only be this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def find_profile(base_url: str) -> EndpointProfile:
    """The profile for `base_url`, by its host name. Raises UserError where it is not an http(s) address."""
    host = parse_host(base_url)
    return LOOPBACK_SERVER if is_loopback(host) else _BY_HOST.get(host, UNKNOWN_ENDPOINT)
