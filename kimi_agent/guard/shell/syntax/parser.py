"""Shell parser: a text as a syntax tree, by tree-sitter-bash, and why it could not be read for sure.

Where the grammar reads otherwise than bash (a redirect's further words are arguments, what follows `<<E` on its line
stands inside the redirect, a redirect around a list is its last command's) the tree is made as bash reads. What is
left, an error of the grammar, a control byte, a word continued over a line, makes the reading `unclear`.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from kimi_agent.guard.shell.syntax.tree import (
    Assignment,
    GroupKind,
    Redirect,
    ShellCommand,
    ShellGroup,
    ShellNode,
    ShellScript,
    with_redirects,
    with_stages,
)
from kimi_agent.guard.shell.syntax.word_reader import WORDS, WordReader
from kimi_agent.guard.shell.syntax.words import ShellWord, WordPiece, source_pieces

if TYPE_CHECKING:
    from tree_sitter import Node

MAX_SHELL_CHARS = 100_000
MAX_NESTING = 40
MAX_SLOW_OPERATORS = 3_000
"""Pipes and the like whose number the grammar's time grows with squared: 3,000 take 0.2 s, 49,000 took 80 s."""

TOO_DEEP = "commands that are nested too deeply"
TOO_MANY_OPERATORS = f"more than {MAX_SLOW_OPERATORS:,} pipes or here-documents"
NO_GRAMMAR = "something that is no plain shell grammar"
PASSED_OVER = "characters that the grammar passes over"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
# Beyond ASCII a byte is part of a word, like `%`; code points there make the grammar's scanner read past C's tables.
ASCII_ONLY = bytes(range(128)) + b"%" * 128
_SLOW = re.compile(r"\||<<|=\(|\[\[")
_BLANK_GAP = re.compile(r"(?:[ \t\n]|\\\n)*")
_SPACED_GAP = re.compile(r"[ \t\n]*|[ \t\n].*|.*[ \t]", re.DOTALL)
_REDIRECTS = frozenset({"file_redirect", "herestring_redirect", "heredoc_redirect"})
_COMMANDS = frozenset({"command", "declaration_command", "unset_command", "variable_assignments"})
_EITHER = frozenset(
    {"if_statement", "elif_clause", "else_clause", "while_statement", "c_style_for_statement", "case_statement"}
    | {"case_item", "do_group", "function_definition"}
)
_EXPRESSIONS = frozenset(
    {"test_command", "compound_statement", "binary_expression", "unary_expression", "postfix_expression"}
    | {"ternary_expression", "parenthesized_expression"}
)


def parse_shell(text: str) -> ShellScript:
    """`text` as a tree. Never raises; what can be found in an unclear text is in the tree all the same."""
    if len(text) > MAX_SHELL_CHARS:
        return ShellScript(ShellGroup("sequence", ()), f"more than {MAX_SHELL_CHARS:,} characters")
    if len(_SLOW.findall(text)) > MAX_SLOW_OPERATORS:
        return ShellScript(ShellGroup("sequence", ()), TOO_MANY_OPERATORS)
    reader = _Reader(text.replace("\0", "").encode("utf-8", "replace"), depth=0)  # bash drops NULs too
    root = reader.read()
    if control := _CONTROL.search(text):
        reader.doubt(f"a control character (U+{ord(control[0]):04X})")
    return ShellScript(root, reader.unclear)


@cache
def _grammar() -> "Callable[[bytes], Node]":
    """The grammar's parser, loaded at the first command that is judged and not at every start."""
    import tree_sitter_bash
    from tree_sitter import Language, Parser

    parser = Parser(Language(tree_sitter_bash.language()))
    return lambda source: parser.parse(source).root_node


@dataclass
class _Parts:
    """A command that is being filled."""

    words: list[ShellWord] = field(default_factory=list)
    assignments: list[Assignment] = field(default_factory=list)
    redirects: list[Redirect] = field(default_factory=list)
    documents: list[ShellWord] = field(default_factory=list)
    substitutions: list[ShellGroup] = field(default_factory=list)

    def command(self) -> ShellCommand:
        given = tuple(self.words), tuple(self.assignments), tuple(self.redirects)
        return ShellCommand(*given, tuple(self.documents), tuple(self.substitutions))


class _Reader:
    """Turns the grammar's nodes into ours. `unclear` is the first reason why the reading is not sure."""

    def __init__(self, source: bytes, depth: int) -> None:
        self._source = source
        self._depth = depth
        self._words = WordReader(source, lambda nodes: self._group("subshell", nodes), self._text_group)
        self.unclear = ""

    def read(self) -> ShellGroup:
        root = self._group("sequence", (tree := _grammar()(self._source.translate(ASCII_ONLY))).children)
        if tree.has_error:
            self.doubt(NO_GRAMMAR)
        return root

    def doubt(self, why: str) -> None:
        self.unclear = self.unclear or why

    def _text_group(self, text: str) -> ShellGroup:
        """A substitution that the grammar took for plain text."""
        self.doubt("a substitution that is not read for sure")
        if self._depth >= MAX_NESTING:
            return ShellGroup("subshell", ())
        return _Reader(text.encode("utf-8", "replace"), self._depth + 1).read()

    def _group(self, kind: GroupKind, nodes: "Sequence[Node]", *, loose: bool = False) -> ShellGroup:
        """The statements among `nodes`. Words that stand alone are commands if `loose`, else e.g. a case's patterns."""
        if self._depth >= MAX_NESTING:
            self.doubt(TOO_DEEP)
            return ShellGroup(kind, ())
        self._depth += 1
        parts = tuple(self._statements(nodes, loose=loose))
        self._depth -= 1
        return ShellGroup(kind, parts)

    def _statements(self, nodes: "Sequence[Node]", *, loose: bool) -> Iterator[ShellNode]:
        words = _Parts()
        for at, node in enumerate(nodes):
            if at and not _BLANK_GAP.fullmatch(self._words.text(nodes[at - 1].end_byte, node.start_byte)):
                self.doubt(PASSED_OVER)
            if node.type in WORDS:
                with_word = self._words.word(node)
                words.words += [with_word] if loose else []
                continue
            if words.words:
                yield words.command()
                words = _Parts()
            if node.is_named and node.type != "comment":
                statement = self._statement(node)
                background = at + 1 < len(nodes) and nodes[at + 1].type == "&"
                yield ShellGroup("subshell", (statement,)) if background else statement
        if words.words:
            yield words.command()

    def _statement(self, node: "Node") -> ShellNode:
        kind = node.type
        outer, self._words.substitutions = self._words.substitutions, []
        made = self._node(node, kind)
        inner, self._words.substitutions = self._words.substitutions, outer
        if inner:
            return ShellGroup("sequence", (ShellCommand(substitutions=tuple(inner)), made))
        return made

    def _node(self, node: "Node", kind: str) -> ShellNode:
        if kind in _COMMANDS:
            return self._command(node.children)
        if kind == "variable_assignment":
            return self._command([node])
        if kind == "redirected_statement":
            return self._redirected(node.children)
        if kind == "list":
            return self._list(node)
        if kind == "pipeline":
            return self._group("pipeline", node.children)
        if kind == "for_statement":
            return self._for(node.children)
        if kind == "subshell":
            return self._group("subshell", node.children)
        if kind in {"compound_statement", "negated_command"} and node.children[0].type != "((":
            return self._group("sequence", node.children)
        if kind in _EITHER:
            return self._group("either", node.children)
        if kind in _EXPRESSIONS:
            self._words.collect(node)
            return ShellCommand()
        self.doubt(NO_GRAMMAR)
        return self._group("sequence", node.children, loose=True)

    def _list(self, node: "Node") -> ShellGroup:
        """`a && b || c`, which the grammar nests to the left, as deep as it is long."""
        operators: list[str] = []
        parts: list[Node] = []
        while node.type == "list":
            left, *between, right = node.children
            for one, other in pairwise(node.children):
                self._passed_over(one, other, _Parts())
            operators.append(between[0].type if between else "&&")
            parts.append(right)
            node = left
        statements = [self._statement(each) for each in (node, *reversed(parts))]
        return ShellGroup("chain", tuple(statements), operators=tuple(reversed(operators)))

    def _redirected(self, children: "Sequence[Node]") -> ShellNode:
        """A statement with its redirects, which are those of its last command; behind `<<E` more may follow."""
        bare = children[0].type in _REDIRECTS
        made: ShellNode = ShellCommand() if bare else self._statement(children[0])
        parts = _Parts()
        outer, self._words.substitutions = self._words.substitutions, parts.substitutions
        following: list[Node] = []
        for at, child in enumerate(children):
            if at:
                self._passed_over(children[at - 1], child, parts)
            if at or bare:
                following += self._redirect(child, parts)
        self._words.substitutions = outer
        made = with_redirects(made, parts.command())
        if following and following[0].type == "pipeline":
            stages = self._statement(following.pop(0))
            made = with_stages(made, stages.parts if isinstance(stages, ShellGroup) else (stages,))
        operators = tuple(node.type for node in following if node.type in {"&&", "||"})
        chained = (made, *(self._statement(node) for node in following if node.is_named))
        if len(operators) != len(chained) - 1:
            self.doubt(NO_GRAMMAR)
            return ShellGroup("sequence", chained)
        return ShellGroup("chain", chained, operators=operators) if operators else made

    def _for(self, children: "Sequence[Node]") -> ShellGroup:
        """`for x in words; do ...; done`: an assignment of each word, and the body."""
        name = self._words.text(children[1].start_byte, children[1].end_byte)
        values = [self._words.word(child) for child in children[2:] if child.type in WORDS]
        # Each word is a value of its own. Without words it goes over "$@".
        each = (Assignment(name, value) for value in values or [(WordPiece("unknown", "", quoted=False),)])
        return ShellGroup("either", (ShellCommand(assignments=tuple(each)), self._statement(children[-1])))

    def _command(self, children: "Sequence[Node]") -> ShellCommand:
        parts = _Parts()
        outer, self._words.substitutions = self._words.substitutions, parts.substitutions
        for at, child in enumerate(children):
            joined = at > 0 and self._joins(children[at - 1], child, parts)
            if child.type == "variable_assignment":
                self._assign(child, parts)
            elif child.type in _REDIRECTS:
                if self._redirect(child, parts):
                    self.doubt(NO_GRAMMAR)
            elif child.type == "command_name" or child.type in WORDS or not child.is_named:
                # `$"x"` is a `$` and a string to the grammar.
                if not (child.type == "$" and at + 1 < len(children) and children[at + 1].type == "string"):
                    self._add_word(parts, child, joined=joined)
            else:
                self.doubt(NO_GRAMMAR)
                parts.substitutions.append(self._group("subshell", [child], loose=True))
        self._words.substitutions = outer
        return parts.command()

    def _joins(self, before: "Node", child: "Node", parts: _Parts) -> bool:
        """Whether a node goes on with the word before it; what the grammar passes over between them is not lost."""
        gap = self._words.text(before.end_byte, child.start_byte)
        if not _BLANK_GAP.fullmatch(gap):
            self.doubt(PASSED_OVER)
            if parts.words:
                parts.words[-1] += source_pieces(gap)
            return True
        if gap and not _SPACED_GAP.fullmatch(gap):
            self.doubt("a word continued on the next line")
            return True
        return not gap and before.type != "$" and before.type in WORDS | {"command_name"}

    def _passed_over(self, before: "Node", child: "Node", parts: _Parts) -> None:
        """Take the words between two nodes that the grammar leaves out: the `-` of `make -f - <<E` is in no node."""
        gap = self._words.text(before.end_byte, child.start_byte)
        if not _BLANK_GAP.fullmatch(gap):
            parts.words += [source_pieces(word) for word in gap.split()]
            if gap.strip() != "-":
                self.doubt(PASSED_OVER)

    def _add_word(self, parts: _Parts, node: "Node", *, joined: bool) -> None:
        word = self._words.word(node)
        if joined and parts.words:
            parts.words[-1] += word
        else:
            parts.words.append(word)

    def _assign(self, node: "Node", parts: _Parts) -> None:
        """`a=b`, `a+=b`, `a=(b c)`: before a command, alone, or as a word of it (`export a=b`)."""
        name, operator, *values = node.children
        self._words.collect(name)
        bare = self._words.text(name.start_byte, name.end_byte).partition("[")[0]
        elements = [one for value in values for one in (value.children[1:-1] if value.type == "array" else [value])]
        value: ShellWord = ()
        for at, element in enumerate(elements):
            value += ((WordPiece("text", " ", quoted=False),) if at else ()) + self._words.word(element)
        parts.assignments.append(Assignment(bare, value, appends=operator.type == "+="))
        if parts.words:
            parts.words.append((WordPiece("text", f"{bare}=", quoted=False), *value))

    def _redirect(self, node: "Node", parts: _Parts) -> "list[Node]":
        """Take one redirect; returns what else stands on the line of a here-document."""
        if node.type == "heredoc_redirect":
            return self._heredoc(node, parts)
        if node.type not in _REDIRECTS or any(child.type == "ERROR" for child in node.children):
            self.doubt(NO_GRAMMAR)
        operator = next((child.type for child in node.children if not child.is_named), "")
        for one, other in pairwise(node.children):
            self._passed_over(one, other, parts)
        for at, child in enumerate(child for child in node.children if child.type in WORDS):
            word = self._words.word(child)
            if at:
                parts.words.append(word)  # bash: an argument behind a redirect
            elif operator == "<<<":
                parts.documents.append(word)
            else:
                parts.redirects.append(Redirect(operator, word))
        return []

    def _heredoc(self, node: "Node", parts: _Parts) -> "list[Node]":
        following: list[Node] = []
        quoted = False
        for at, child in enumerate(node.children):
            if at and not {child.type, node.children[at - 1].type} & {"heredoc_body", "heredoc_end"}:
                self._passed_over(node.children[at - 1], child, parts)
            if child.type == "heredoc_start":
                end = self._words.text(child.start_byte, child.end_byte)
                quoted = bool(re.search(r"['\"\\]", end))
                if re.search(r"[^ -~]|%", end):
                    self.doubt("a here-document whose end is no plain word")
            elif child.type == "heredoc_body":
                parts.documents.append(self._words.document(child, quoted=quoted))
            elif child.type in WORDS:
                parts.words.append(self._words.word(child))
            elif child.type in _REDIRECTS:
                self._redirect(child, parts)
            elif child.type not in {"<<", "<<-", "heredoc_end", "file_descriptor"}:
                following.append(child)
        return following
