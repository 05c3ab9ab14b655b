"""Search query parser for logs: words that must all occur, or a regular expression."""

import re
from dataclasses import dataclass
from functools import cached_property

_MAX_CHARS = 500
_PHRASE_OR_WORD = re.compile(r'"([^"]*)"|(\S+)')
_PLAIN = re.compile(r"[ !#-\[\]-~]+")
"""ASCII that JSON writes as it is."""
_PIECE, _OVERLAP = 400, 80
_MAX_REPEATS = 1
_MAX_WAYS = (256, 64)
"""In how many ways what is optional or one of several may be taken: beside no repeat, and one."""


@dataclass(frozen=True)
class Query:
    """Case does not count. `phrases` must all occur in one text, their words parted by any white space."""

    phrases: tuple[str, ...]
    pattern: re.Pattern[str] | None = None

    def __str__(self) -> str:
        if self.pattern is not None:
            return f"/{self.pattern.pattern}/"
        return " and ".join(f'"{phrase}"' for phrase in self.phrases)

    def find(self, text: str) -> tuple[int, int] | None:
        """Where the match starts and ends (of the longest phrase, if there are more), or None."""
        if self.pattern is not None:
            return _find_in_pieces(self.pattern, text)
        low = text.lower()
        if not self.phrases or any(word not in low for word in self._words):
            return None
        matches = [phrase.search(text) for phrase in self._patterns]
        spans = [match.span() for match in matches if match is not None]
        return spans[0] if len(spans) == len(matches) else None

    def may_match(self, line: bytes) -> bool:
        """False where no string in this line of JSON can match: so most lines need not be parsed."""
        low = line.lower()
        return all(run in low for run in self._runs)

    @cached_property
    def _words(self) -> tuple[str, ...]:
        return tuple(word.lower() for phrase in self.phrases for word in phrase.split())

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[str], ...]:
        longest_first = sorted(self.phrases, key=len, reverse=True)
        return tuple(re.compile(r"\s+".join(map(re.escape, each.split())), re.IGNORECASE) for each in longest_first)

    @cached_property
    def _runs(self) -> tuple[bytes, ...]:
        runs = (max(_PLAIN.findall(word), key=len, default="") for word in self._words)
        return tuple({run.encode() for run in runs if run})


def parse_query(text: str) -> Query:
    """`/regex/`, where it compiles and cannot take for ever; else words, and "phrases" in double quotes."""
    text = text.strip()[:_MAX_CHARS]
    if len(text) > 2 and text[0] == text[-1] == "/" and _is_tame(text[1:-1]):
        try:
            return Query((), re.compile(text[1:-1], re.IGNORECASE | re.MULTILINE))
        except re.error:
            pass
    phrases = (" ".join((quoted or word.strip('"')).split()) for quoted, word in _PHRASE_OR_WORD.findall(text))
    return Query(tuple(dict.fromkeys(phrase for phrase in phrases if phrase)))


def _is_tame(pattern: str) -> bool:
    """Whether it is quick on any text: Python's engine tries every way, and holds up the whole program meanwhile."""
    bare = re.sub(r"\[\^?\]?[^\]]*\]", "x", re.sub(r"\\[^1-9]", "x", pattern))
    if re.search(r"\)\s*[*+{]|\\|\(\?P?[=(]", bare):
        return False
    repeats = len(re.findall(r"[*+]|\{[^}]*\}", bare))
    return repeats <= _MAX_REPEATS and _ways(bare) <= _MAX_WAYS[repeats]


def _ways(bare: str) -> int:
    """In how many ways a text may be taken: each `x?` doubles them, each group multiplies them by its branches."""
    ways: int = 2 ** len(re.findall(r"(?<![(*+?}])\?", bare))
    while group := re.search(r"\(([^()]*)\)", bare):
        ways *= group[1].count("|") + 1
        bare = f"{bare[: group.start()]}x{bare[group.end() :]}"
    return ways


def _find_in_pieces(pattern: re.Pattern[str], text: str) -> tuple[int, int] | None:
    """Find the first match within a few lines: on a long text even a tame pattern takes long, so it goes in pieces."""
    start = 0
    while start < len(text):
        limit = start + _PIECE
        line_end = text.rfind("\n", start, limit) + 1
        end = len(text) if limit >= len(text) else line_end or limit
        match = pattern.search(text, start, end)
        if match is not None:
            return match.span()
        start = end if end == line_end or end == len(text) else end - _OVERLAP
    return None


def cut_excerpt(text: str, span: tuple[int, int], *, max_chars: int) -> str:
    """One line of `text` around the match."""
    middle = (span[0] + min(span[1], span[0] + max_chars)) // 2
    first = max(0, min(middle - max_chars // 2, len(text) - max_chars))
    last = min(len(text), first + max_chars)
    cut = " ".join(text[first:last].split())
    return f"{'…' if first else ''}{cut}{'…' if last < len(text) else ''}"
