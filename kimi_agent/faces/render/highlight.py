"""Syntax highlighter for code that arrives piece by piece: one lexer, one state, each line coloured once."""

from collections.abc import Iterator
from importlib import import_module  # pygments has no type stubs; it is Any here, and loaded at the first fence
from typing import Any

from kimi_agent.faces.theme import Style, Theme

_TOKENS: tuple[tuple[str, Style], ...] = (
    ("Token.Comment", "dim"),
    ("Token.Keyword.Constant", "cyan"),
    ("Token.Keyword", "magenta"),
    ("Token.Operator.Word", "magenta"),
    ("Token.Literal.String", "green"),
    ("Token.Literal.Number", "cyan"),
    ("Token.Name.Function", "blue"),
    ("Token.Name.Class", "blue"),
    ("Token.Name.Decorator", "yellow"),
    ("Token.Name.Tag", "magenta"),
    ("Token.Generic.Deleted", "red"),
    ("Token.Generic.Inserted", "green"),
    ("Token.Generic.Subheading", "cyan"),
    ("Token.Generic.Heading", "bold"),
)
_MAX_LINE = 2_000
"""Characters; a longer line (minified code) is shown without colours, since lexers may need quadratic time for it."""


class Highlighter:
    """Colours the lines of one piece of code, given in order, as ANSI text."""

    def __init__(self, language: str, theme: Theme) -> None:
        self._theme = theme
        self._lexer: Any = _lexer(language) if theme.colour else None
        self._stack = ["root"]
        self._styles: dict[object, Style | None] = {}

    def lines(self, code: str) -> list[str]:
        """The next lines of the code, coloured; `code` holds whole lines without the last newline."""
        if self._lexer is None or any(len(line) > _MAX_LINE for line in code.split("\n")):
            return code.split("\n")
        out: list[str] = []
        row: list[str] = []
        style: Style | None = None
        run = ""
        for kind, text in self._tokens(code + "\n"):
            wanted = self._style(kind)
            if wanted != style and not text.isspace():
                row.append(self._drawn(style, run))
                style, run = wanted, ""
            head, *tails = text.split("\n")
            run += head
            for tail in tails:  # a style never spans lines, so that each line can stand alone
                row.append(self._drawn(style, run))
                out.append("".join(row))
                row, run = [], tail
        return out

    def _drawn(self, style: Style | None, text: str) -> str:
        if style is None or not text.strip():
            return text
        words = text.rstrip(" ")
        return self._theme(style, words) + text[len(words) :]

    def _style(self, kind: object) -> Style | None:
        if kind not in self._styles:
            name = str(kind)
            self._styles[kind] = next((style for prefix, style in _TOKENS if name.startswith(prefix)), None)
        return self._styles[kind]

    def _tokens(self, code: str) -> Iterator[tuple[object, str]]:
        base = import_module("pygments.lexer")
        if isinstance(self._lexer, base.RegexLexer) and not isinstance(self._lexer, base.ExtendedRegexLexer):
            yield from self._resumed(self._lexer, code)
            return
        for _, kind, text in self._lexer.get_tokens_unprocessed(code):
            yield kind, text

    def _resumed(self, lexer: Any, code: str) -> Iterator[tuple[object, str]]:
        """`RegexLexer.get_tokens_unprocessed`, which starts afresh on each call, with its stack of states kept."""
        token = import_module("pygments.token")
        table = lexer._tokens
        stack, at, end = self._stack, 0, len(code)
        while at < end:
            for match_at, action, new_state in table[stack[-1]]:
                match = match_at(code, at)
                if match is None:
                    continue
                if action is not None:
                    if isinstance(action, tuple):  # a token type; else a callback
                        yield action, match.group()
                    else:
                        for _, kind, text in action(lexer, match):
                            yield kind, text
                at = match.end()
                _enter(stack, new_state)
                break
            else:
                if code[at] == "\n":  # a newline that no rule takes resets the state, as pygments has it
                    del stack[:]
                    stack.append("root")
                    yield token.Whitespace, "\n"
                else:
                    yield token.Error, code[at]
                at += 1


def _enter(stack: list[str], new_state: Any) -> None:
    if new_state is None:
        return
    if isinstance(new_state, int):
        del stack[max(1, len(stack) + new_state if new_state < 0 else len(stack)) :]
        return
    if new_state == "#push":
        stack.append(stack[-1])
        return
    for state in new_state:
        if state == "#pop":
            if len(stack) > 1:
                stack.pop()
        else:
            stack.append(stack[-1] if state == "#push" else state)


def _lexer(language: str) -> Any:
    """The lexer for a fence's language, None where there is none of that name."""
    if not language:
        return None
    try:
        return import_module("pygments.lexers").get_lexer_by_name(language)
    except import_module("pygments.util").ClassNotFound:
        return None
