"""Token estimate for a text: four ASCII characters are one token, any other character is one, a medium is 2,000.

This is the rule of Moonshot's own clients; nobody ships Kimi's vocabulary.
"""

CHARS_PER_TOKEN = 4
TOKENS_PER_MEDIUM = 2_000
"""An image or a video, in tokens."""


def estimate_tokens(text: str) -> int:
    """An estimate for one text."""
    size = len(text)
    plain = size if text.isascii() else len(text.encode("ascii", "ignore"))
    return -(-plain // CHARS_PER_TOKEN) + size - plain
