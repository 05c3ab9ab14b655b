"""A tolerant shell lexer for the checks that look for harm: commands and words, expansions left open.

`parse_simple_command` decides what is surely simple; this one never refuses:
it reads any text as far as it can.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class WordPiece:
    """A part of a word: literal `text`, the value of variable `text`, or something only known at run time."""

    kind: Literal["text", "variable", "unknown"]
    text: str
    quoted: bool


ShellWord = tuple[WordPiece, ...]
ShellToken = ShellWord | str


@dataclass(frozen=True)
class CommandSegment:
    """One command between operators. `before` and `after` are those operators ("" at an end), `depth` counts ( ).

    `redirects` are the operators in front of the `targets`, one each.
    """

    words: tuple[ShellWord, ...]
    targets: tuple[ShellWord, ...]
    documents: tuple[str, ...]
    before: str
    after: str
    depth: int
    redirects: tuple[str, ...] = ()


@dataclass(frozen=True)
class ShellParse:
    """A parsed shell text: its commands in order, and the texts of all substitutions in it, which are commands too."""

    segments: tuple[CommandSegment, ...]
    substitutions: tuple[str, ...]


_OPERATOR = re.compile(r"&&|\|\||;;&?|;&|\|&|&>>|&>|<<<|<<-|<<|<&|>&|>\||>>|<>|[;|&()<>\n]")
_REDIRECT = frozenset(["&>>", "&>", "<&", ">&", ">|", ">>", "<>", "<", ">", "<<<"])
_VARIABLE = re.compile(r"[A-Za-z_]\w*")
_TRIMMED = re.compile(r"([A-Za-z_]\w*)(?:[:?%#].*)?", re.DOTALL)
_TEXT = re.compile(r"[^\s;|&()<>'\"\\$`]+")
_QUOTED_TEXT = re.compile(r'[^"\\$`]+')
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{1,4}|U[0-9A-Fa-f]{1,8}|[0-7]{1,3}|c.|.)", re.DOTALL)
_CONTROL = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "v": "\v"}


def parse_shell(text: str) -> ShellParse:
    """`text` as segments. Never raises; an unclosed quote or bracket ends at the end of the text."""
    lexer = _Lexer(text)
    lexer.read()
    return ShellParse(tuple(_segments(lexer)), tuple(lexer.substitutions))


def decode_ansi_c(body: str) -> str:
    """The value of $'body'."""

    def value(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] in "xuU" and len(code) > 1:
            number = int(code[1:], 16)
            return chr(number) if number < 0x110000 else ""
        if code[0] in "01234567":
            return chr(int(code, 8) & 0xFF)
        return _CONTROL.get(code, code)

    return _ESCAPE.sub(value, body)


@dataclass
class _OpenSegment:
    """A segment that is being filled."""

    words: list[ShellWord] = field(default_factory=list)
    targets: list[ShellWord] = field(default_factory=list)
    redirects: list[str] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)


def _segments(lexer: "_Lexer") -> Iterator[CommandSegment]:
    current, before, depth, redirect = _OpenSegment(), "", 0, ""
    for index, token in enumerate([*lexer.tokens, ""]):
        if isinstance(token, tuple):
            if redirect == "<<<":
                current.documents.append(unparse_words((token,)))
            elif redirect and redirect not in {"<<", "<<-"}:
                current.targets.append(token)
                current.redirects.append(redirect)
            elif not redirect:
                current.words.append(token)
            redirect = ""
        elif token in _REDIRECT:
            redirect = token
        elif token in {"<<", "<<-"}:
            current.documents.append(lexer.documents.get(index, ""))
            redirect = token
        else:
            if current.words or current.targets:
                parts = tuple(current.words), tuple(current.targets), tuple(current.documents)
                yield CommandSegment(*parts, before, token, depth, tuple(current.redirects))
            depth += (token == "(") - (token == ")")
            current, before, redirect = _OpenSegment(), token, ""


def unparse_words(words: tuple[ShellWord, ...]) -> str:
    """Shell text again, for words that another shell will read: literals as they are, what is open as a variable."""
    return " ".join("".join(_piece_source(piece) for piece in word) for word in words)


def _piece_source(piece: WordPiece) -> str:
    return piece.text if piece.kind == "text" else f"${{{piece.text or '_'}}}"


class _Lexer:
    """Walks the text once; `documents` holds the bodies of here-documents by the place of their operator."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._pieces: list[WordPiece] = []
        self._pending: list[tuple[int, ShellWord]] = []
        self.tokens: list[ShellToken] = []
        self.substitutions: list[str] = []
        self.documents: dict[int, str] = {}

    def read(self) -> None:
        while self._at < len(self._text):
            char = self._text[self._at]
            operator = _OPERATOR.match(self._text, self._at)
            if self._text.startswith(("<(", ">("), self._at):
                self._at += 2
                self._substitution(self._enclosed("(", ")"), quoted=False)
            elif operator:
                self._end_word()
                self._at = operator.end()
                self.tokens.append(operator[0])
                if operator[0] == "\n":
                    self._take_documents()
            elif char in " \t\r\v\f":
                self._end_word()
                self._at += 1
            elif char == "#" and not self._pieces:
                self._until("\n")
                self._at -= self._text.endswith("\n", 0, self._at)
            else:
                self._piece()
        self._end_word()

    def _end_word(self) -> None:
        if self._pieces:
            word: ShellWord = tuple(self._pieces)
            if self.tokens and self.tokens[-1] in {"<<", "<<-"}:
                self._pending.append((len(self.tokens) - 1, word))
            self.tokens.append(word)
            self._pieces = []

    def _take_documents(self) -> None:
        """At a line's end: the bodies of the here-documents that this line opened."""
        for index, delimiter in self._pending:
            end = "".join(piece.text for piece in delimiter)
            lines: list[str] = []
            while self._at < len(self._text):
                line = self._until("\n")
                if (line.lstrip("\t") if self.tokens[index] == "<<-" else line) == end:
                    break
                lines.append(line)
            self.documents[index] = "\n".join(lines)
            if not any(piece.quoted for piece in delimiter):
                inner = _Lexer(self.documents[index].replace('"', " "))
                inner._double_quoted()
                self.substitutions += inner.substitutions
        self._pending = []

    def _piece(self) -> None:
        """Read one piece of an unquoted word."""
        text, char = self._text, self._text[self._at]
        plain = _TEXT.match(text, self._at)
        if plain:
            self._at = plain.end()
            self._add(plain[0], quoted=False)
            return
        self._at += 1
        if char == "'":
            self._add(self._until("'"), quoted=True)
        elif char == "\\":
            self._escaped(text[self._at : self._at + 1])
        elif char == '"' or text.startswith('$"', self._at - 1):
            self._at += char == "$"
            self._double_quoted()
        elif text.startswith("$'", self._at - 1):
            self._at += 1
            self._add(decode_ansi_c(self._until("'", escapes=True)), quoted=True)
        elif char in "$`":
            self._expansion(char, quoted=False)
        else:
            self._add(char, quoted=False)

    def _double_quoted(self) -> None:
        """Read to the closing double quote, which is taken too."""
        self._add("", quoted=True)
        while self._at < len(self._text):
            plain = _QUOTED_TEXT.match(self._text, self._at)
            if plain:
                self._at = plain.end()
                self._add(plain[0], quoted=True)
                continue
            char = self._text[self._at]
            self._at += 1
            if char == '"':
                return
            following = self._text[self._at : self._at + 1]
            if char != "\\":
                self._expansion(char, quoted=True)
            elif following in {"$", "`", '"', "\\", "\n"}:
                self._escaped(following)
            else:
                self._add(char, quoted=True)

    def _escaped(self, char: str) -> None:
        self._at += len(char)
        if char != "\n":
            self._add(char, quoted=True)

    def _expansion(self, char: str, *, quoted: bool) -> None:
        """Read what comes behind `$` or a backtick."""
        text, following = self._text, self._text[self._at : self._at + 1]
        name = _VARIABLE.match(text, self._at)
        if char == "`":
            self._substitution(self._until("`", escapes=True).replace("\\", ""), quoted=quoted)
        elif following == "(":
            self._at += 1
            self._substitution(self._enclosed("(", ")"), quoted=quoted)
        elif following == "{":
            self._at += 1
            body = self._enclosed("{", "}")
            if "`" in body or "$" in body:
                self.substitutions.append(body)
            trimmed = _TRIMMED.fullmatch(body)
            if trimmed is not None and body[trimmed.end(1) :][:2] not in {":-", ":+", ":="}:
                self._pieces.append(WordPiece("variable", trimmed[1], quoted))
            else:
                self._pieces.append(WordPiece("unknown", "", quoted))
        elif name:
            self._at = name.end()
            self._pieces.append(WordPiece("variable", name[0], quoted))
        elif following and following in "@*#?$!-0123456789":
            self._at += 1
            self._pieces.append(WordPiece("unknown", "", quoted))
        else:
            self._add(char, quoted=quoted)

    def _substitution(self, body: str, *, quoted: bool) -> None:
        self.substitutions.append(body)
        command = body.strip()
        if command == "pwd":
            self._pieces.append(WordPiece("variable", "PWD", quoted))
        elif command.split(" ", 1)[0] == "mktemp":
            self._add("/tmp/from-mktemp", quoted=quoted)
        else:
            self._pieces.append(WordPiece("unknown", "", quoted))

    def _add(self, text: str, *, quoted: bool) -> None:
        self._pieces.append(WordPiece("text", text, quoted))

    def _until(self, end: str, *, escapes: bool = False) -> str:
        """The text up to `end` (taken too) or to the end of all; with `escapes` a backslash hides the next one."""
        start = at = self._at
        while True:
            at = self._text.find(end, at)
            if at < 0:
                self._at = len(self._text)
                return self._text[start:]
            before = self._text[start:at]
            if not escapes or (len(before) - len(before.rstrip("\\"))) % 2 == 0:
                self._at = at + 1
                return before
            at += 1

    def _enclosed(self, opening: str, closing: str) -> str:
        """The text up to the bracket that closes this one (taken too), past quotes and inner pairs."""
        start, depth = self._at, 1
        inside = re.compile(rf"""\\.|'[^']*'|"(?:[^"\\]|\\.)*"|[{opening}{closing}]""", re.DOTALL)
        for match in inside.finditer(self._text, start):
            depth += (match[0] == opening) - (match[0] == closing)
            if depth == 0:
                self._at = match.end()
                return self._text[start : match.start()]
        self._at = len(self._text)
        return self._text[start:]
