"""Shell words as values: literal text, variables and what only the run shows, each quoted or not."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class WordPiece:
    """A part of a word: literal `text`, the value of variable `text`, or something only known at run time."""

    kind: Literal["text", "variable", "unknown"]
    text: str
    quoted: bool


ShellWord = tuple[WordPiece, ...]
ShellWords = tuple[ShellWord, ...]

WORKSPACE_TOP = "git rev-parse --show-toplevel"
"""The name of a variable that no shell has: the output of that command, the top of the workspace."""

_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{1,4}|U[0-9A-Fa-f]{1,8}|[0-7]{1,3}|c.|.)", re.DOTALL)
_CONTROL = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "v": "\v"}
_BACKSLASHED = re.compile(r"\\(.?)", re.DOTALL)


def decode_ansi_c(body: str) -> str:
    """The value of $'body', which ends at a NUL."""

    def value(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] in "xuU" and len(code) > 1:
            number = int(code[1:], 16)
            return chr(number) if number < 0x110000 else ""
        if code[0] in "01234567":
            return chr(int(code, 8) & 0xFF)
        return _CONTROL.get(code, code)

    return _ESCAPE.sub(value, body).partition("\0")[0]


def literal_word(text: str) -> ShellWord:
    """The word whose value is `text`, whatever stands in it."""
    return (WordPiece("text", text, quoted=True),)


def source_pieces(source: str) -> ShellWord:
    """The pieces of an unquoted source text without expansions: a backslash quotes the character behind it."""
    if "\\" not in source:
        return (WordPiece("text", source, quoted=False),)
    pieces: list[WordPiece] = []
    at = 0
    for match in _BACKSLASHED.finditer(source):
        if match.start() > at:
            pieces.append(WordPiece("text", source[at : match.start()], quoted=False))
        if match[1] != "\n":
            pieces.append(WordPiece("text", match[1], quoted=True))
        at = match.end()
    if at < len(source):
        pieces.append(WordPiece("text", source[at:], quoted=False))
    return tuple(pieces)


def word_text(word: ShellWord) -> str:
    """Shell text again, for a word that another shell will read: literals as they are, what is open as a variable."""
    return "".join(piece.text if piece.kind == "text" else f"${{{piece.text or '_'}}}" for piece in word)


def words_text(words: Iterable[ShellWord]) -> str:
    """`words` as the text that another shell would read."""
    return " ".join(map(word_text, words))
