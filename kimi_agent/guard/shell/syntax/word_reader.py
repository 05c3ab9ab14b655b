"""Reader of the grammar's word nodes: quotes, escapes and expansions as the pieces of a shell word."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from kimi_agent.guard.shell.syntax.tree import ShellGroup
from kimi_agent.guard.shell.syntax.words import (
    WORKSPACE_TOP,
    ShellWord,
    WordPiece,
    decode_ansi_c,
    literal_word,
    source_pieces,
)

if TYPE_CHECKING:
    from tree_sitter import Node

EXPANSIONS = frozenset(
    {"simple_expansion", "expansion", "command_substitution", "process_substitution", "arithmetic_expansion"}
)
WORDS = EXPANSIONS | frozenset(
    {
        "word",
        "number",
        "string",
        "raw_string",
        "ansi_c_string",
        "translated_string",
        "concatenation",
        "brace_expression",
    }
    | {"extglob_pattern", "regex", "variable_name", "special_variable_name", "test_operator", "array", "subscript"}
)
_TRIMMED = re.compile(r"\$\{([A-Za-z_]\w*)(?:\[[@*]\])?(?::(?![-+=]).*|[?%#].*)?\}", re.DOTALL)
"""Values that are known as far as the variable's is: as it is, or cut at an end."""
_LEADING = re.compile(rb"[ \t\n]*")
_QUOTED_ESCAPE = re.compile(r'\\(?:([$`"\\])|\n)')
_UNREAD = re.compile(r"(?<!\\)(?:`((?:[^`\\]|\\.)*)`?|\$\((?!\()((?:[^()]|\([^()]*\))*)\)?)", re.DOTALL)


class WordReader:
    """Reads words out of `source`. Commands inside go through `read_group`, and are in `substitutions` then.

    `read_text` reads what the grammar takes for plain text although it is a substitution.
    """

    def __init__(
        self,
        source: bytes,
        read_group: "Callable[[Sequence[Node]], ShellGroup]",
        read_text: Callable[[str], ShellGroup],
    ) -> None:
        self._source = source
        self._read_group = read_group
        self._read_text = read_text
        self.substitutions: list[ShellGroup] = []

    def text(self, start: int, end: int) -> str:
        """The source between two bytes."""
        return self._source[start:end].decode("utf-8", "replace")

    def word(self, node: "Node") -> ShellWord:
        """The word that a node is."""
        return tuple(self._pieces(node))

    def document(self, node: "Node", *, quoted: bool) -> ShellWord:
        """A here-document's body; `quoted` says that nothing in it is expanded."""
        if quoted:
            return literal_word(self.text(node.start_byte, node.end_byte))
        return tuple(self._quoted_pieces(node.children, node.start_byte, node.end_byte))

    def collect(self, node: "Node") -> None:
        """Take note of every group of commands below `node`."""
        waiting = [node]
        while waiting:
            one = waiting.pop()
            if one.type in {"command_substitution", "process_substitution"}:
                self.substitutions.append(self._read_group(one.children))
                continue
            if one.child_count == 0:
                self._unread(self.text(one.start_byte, one.end_byte))
            waiting += reversed(one.children)

    def _pieces(self, node: "Node") -> Iterator[WordPiece]:
        """The pieces of an unquoted word."""
        kind, text = node.type, self.text(node.start_byte, node.end_byte)
        if kind in {"command_name", "concatenation"}:
            for child in node.children:
                yield from self._pieces(child)
        elif kind == "raw_string":
            yield WordPiece("text", text[1:-1], quoted=True)
        elif kind == "ansi_c_string":
            yield WordPiece("text", decode_ansi_c(text[2:-1]), quoted=True)
        elif kind == "translated_string":
            yield from self._pieces(node.children[-1])
        elif kind == "string":
            yield from self._quoted_pieces(node.children, node.children[0].end_byte, node.end_byte - text.endswith('"'))
        elif kind in EXPANSIONS:
            yield self._expanded(node, quoted=False)
        else:
            self._unread(text)
            yield from source_pieces(text)

    def _quoted_pieces(self, nodes: "Sequence[Node]", start: int, end: int) -> Iterator[WordPiece]:
        """The pieces between double quotes or of a here-document; blanks that the grammar leaves out are literal."""
        yield WordPiece("text", "", quoted=True)
        for node in nodes:
            if node.type in EXPANSIONS:
                blanks = _LEADING.match(self._source, node.start_byte, end)
                yield from self._literal(start, blanks.end() if blanks else node.start_byte)
                yield self._expanded(node, quoted=True)
                start = node.end_byte
        yield from self._literal(start, end)

    def _literal(self, start: int, end: int) -> Iterator[WordPiece]:
        text = self.text(start, end)
        self._unread(text)
        if text:
            yield WordPiece("text", _QUOTED_ESCAPE.sub(r"\1", text), quoted=True)

    def _unread(self, text: str) -> None:
        if "`" in text or "$(" in text:
            for match in _UNREAD.finditer(text):
                self.substitutions.append(self._read_text(match[1] or match[2] or ""))

    def _expanded(self, node: "Node", *, quoted: bool) -> WordPiece:
        """The piece of `$x`, `${x...}`, `$(...)`; commands inside are taken note of."""
        self.collect(node)
        text = self.text(node.start_byte, node.end_byte).strip()
        match = None
        if node.type == "simple_expansion":
            match = re.fullmatch(r"\$([A-Za-z_]\w*)", text)
        elif node.type == "expansion":
            match = _TRIMMED.fullmatch(text)
            quoted = quoted and not re.search(r"\[[@*]\]", text)  # `"${a[@]}"` is a word for each element
        elif node.type == "command_substitution":
            command = text.removeprefix("$(").strip("`() \t\n")
            if command.split(" ", 1)[0] == "mktemp":
                return WordPiece("text", "/tmp/from-mktemp", quoted)
            if command == "git rev-parse --git-dir":
                return WordPiece("text", ".git", quoted)
            if command == WORKSPACE_TOP:
                return WordPiece("variable", WORKSPACE_TOP, quoted)
            match = re.fullmatch("(pwd)", command)
        return (
            WordPiece("variable", "PWD" if match[1] == "pwd" else match[1], quoted)
            if match
            else WordPiece("unknown", "", quoted)
        )
