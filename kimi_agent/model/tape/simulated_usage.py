"""Simulated usage for the mock server: token estimates, and a prompt cache that works like Moonshot's.

Pure but for the prompts that the cache remembers. A hit is the longest common start of two prompts under one key, in
whole blocks.
"""

import hashlib
from collections import OrderedDict
from typing import Any

import msgspec

from kimi_agent.log.messages import Call, Usage
from kimi_agent.model.tape.tape_format import walk_strings
from kimi_agent.model.text_tokens import CHARS_PER_TOKEN, TOKENS_PER_MEDIUM, estimate_tokens

_BLOCK = 256
_MEDIUM_CHARS = TOKENS_PER_MEDIUM * CHARS_PER_TOKEN
_KEPT_PROMPTS = 64


def render_prompt(body: dict[str, Any]) -> str:
    """What the model would read: the tools as JSON, then every text of the messages."""
    texts = (_replace_media(text) for text in walk_strings(body["messages"]))
    tools = msgspec.json.encode(body.get("tools") or [])
    return tools.decode() + "\n".join(texts)


def _replace_media(text: str) -> str:
    """The text, or in place of the bytes of an image or a video a text of as many tokens as it counts."""
    if text.startswith("data:") and ";base64," in text[:100]:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return (digest * (_MEDIUM_CHARS // len(digest) + 1))[:_MEDIUM_CHARS]
    return text


class PromptCache:
    """The last prompt under each key."""

    def __init__(self) -> None:
        self._prompts: OrderedDict[str, str] = OrderedDict()

    def usage(self, key: str, prompt: str, say: str, reason: str, calls: tuple[Call, ...]) -> Usage:
        """The usage of an answer to `prompt`, which is remembered under `key`."""
        before = self._prompts.pop(key, "")
        self._prompts[key] = prompt
        if len(self._prompts) > _KEPT_PROMPTS:
            self._prompts.popitem(last=False)
        held = estimate_tokens(prompt[: _common_prefix_length(before, prompt)])
        cached = held // _BLOCK * _BLOCK if held > _BLOCK else 0
        thought = estimate_tokens(reason)
        output = thought + estimate_tokens("".join((say, *(call.name + call.arguments for call in calls))))
        return Usage(estimate_tokens(prompt), max(output, 1), cached, thought)


def _common_prefix_length(first: str, second: str) -> int:
    """How many characters both begin with."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
