"""Simulated usage for the mock server: token estimates, and a prompt cache that works like Moonshot's.

Pure but for the prompts that the cache remembers. The estimate is that of Moonshot's own clients: a token for four
ASCII characters or for one other, 2,000 for an image or a video. A hit is the longest common start of two prompts
under one key, in whole blocks.
"""

import hashlib
from collections import OrderedDict
from typing import Any

import msgspec

from kimi_agent.log.messages import Call, Usage
from kimi_agent.model.tape.format import walk_strings

_BLOCK = 256
_MEDIUM_CHARS = 8_000
_KEPT_PROMPTS = 64
_NOT_ASCII = bytes(range(128, 256))
_NOT_FIRST = bytes(range(192))


def estimate_utf8_tokens(text: bytes) -> int:
    """An estimate for UTF-8 text."""
    if text.isascii():
        return -(-len(text) // 4)
    # The first byte of each character that is not ASCII is 0xC0 or more.
    return -(-len(text.translate(None, _NOT_ASCII)) // 4) + len(text.translate(None, _NOT_FIRST))


def render_prompt(body: dict[str, Any]) -> bytes:
    """What the model would read: the tools as JSON, then every text of the messages."""
    texts = (_replace_media(text) for text in walk_strings(body["messages"]))
    tools = msgspec.json.encode(body.get("tools") or [])
    return tools + "\n".join(texts).encode("utf-8", "surrogatepass")


def _replace_media(text: str) -> str:
    """The text, or for the bytes of an image or a video what stands for so many tokens of its own."""
    if text.startswith("data:") and ";base64," in text[:100]:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return (digest * (_MEDIUM_CHARS // len(digest) + 1))[:_MEDIUM_CHARS]
    return text


class PromptCache:
    """The last prompt under each key."""

    def __init__(self) -> None:
        self._prompts: OrderedDict[str, bytes] = OrderedDict()

    def usage(self, key: str, prompt: bytes, say: str, reason: str, calls: tuple[Call, ...]) -> Usage:
        """The usage of an answer to `prompt`, which is remembered under `key`."""
        before = self._prompts.pop(key, b"")
        self._prompts[key] = prompt
        if len(self._prompts) > _KEPT_PROMPTS:
            self._prompts.popitem(last=False)
        held = estimate_utf8_tokens(prompt[: _common_prefix_bytes(before, prompt)])
        cached = held // _BLOCK * _BLOCK if held > _BLOCK else 0
        thought = estimate_utf8_tokens(reason.encode("utf-8", "surrogatepass"))
        said = "".join((say, *(call.name + call.arguments for call in calls)))
        output = thought + estimate_utf8_tokens(said.encode("utf-8", "surrogatepass"))
        return Usage(estimate_utf8_tokens(prompt), max(output, 1), cached, thought)


def _common_prefix_bytes(first: bytes, second: bytes) -> int:
    """How many bytes both begin with."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
