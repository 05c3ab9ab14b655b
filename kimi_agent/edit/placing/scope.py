"""Scope finder: the end of what a line opens (the definition, table or chapter that an `@@` line names).

Where it ends is judged with care: a scope that ends too soon would hide the second of two places that fit, and leave
the first as if it were the only one. So what only looks like an end (a label, a string at the margin) is none.
"""

import re
from collections.abc import Callable, Sequence

from kimi_agent.edit.placing.indent import leading_blanks

DEFINITION = re.compile(
    r"\s*(?:(?:export|default|pub(?:\([^)]*\))?|public|private|protected|internal|static|abstract|final|async|unsafe|"
    r"virtual|override|inline|extern)\s+)*"
    r"(?:def|class|func|fn|function|fun|struct|enum|impl|trait|interface|module|namespace|object|sub|defp?|type)\b"
)
_HEADING = re.compile(r"(#{1,6}) ")
_TABLE = re.compile(r"\[\[?[^\[\]]+\]\]?\s*(?:#.*)?$")
_UNDERLINE = re.compile(r"([=~^\-*+\"'`])\1{2,}\s*$")
_COMMENT = ("#", "//", "/*", "*", "--", "<!--", ";")


def find_scope_end(lines: Sequence[str], start: int) -> int:
    """The line after all that line `start` opens."""
    line = lines[start].strip()
    if heading := _HEADING.match(line):
        return _next(lines, start, lambda at: _level(lines[at]) <= len(heading[1]))
    if _TABLE.match(line):
        return _next(lines, start, lambda at: bool(_TABLE.match(lines[at].strip())))
    if _underlined(lines, start):
        return _next(lines, start + 1, lambda at: _underlined(lines, at))
    limit = len(leading_blanks(lines[start]))
    if _opens_brace(lines, start):
        return min(len(lines), 1 + _next(lines, start, lambda at: _outside(lines[at], limit) and _closes(lines[at])))
    if DEFINITION.match(line):
        return _next(lines, start, lambda at: _outside(lines[at], limit) and _begins_another(lines[at]))
    return _next(lines, start, lambda at: _outside(lines[at], limit) and not lines[at].lstrip().startswith(_COMMENT))


def _next(lines: Sequence[str], start: int, ends: Callable[[int], bool]) -> int:
    return next((at for at in range(start + 1, len(lines)) if ends(at)), len(lines))


def _level(line: str) -> int:
    found = _HEADING.match(line.lstrip())
    return len(found[1]) if found else 7


def _underlined(lines: Sequence[str], at: int) -> bool:
    """Whether a title stands there, as reStructuredText writes them."""
    return bool(lines[at].strip()) and at + 1 < len(lines) and bool(_UNDERLINE.match(lines[at + 1]))


def _outside(line: str, limit: int) -> bool:
    """Whether the line is no deeper than what opened the scope; a line of closing brackets does not count."""
    return bool(line.strip()) and len(leading_blanks(line)) <= limit and line.lstrip()[0] not in ")]"


def _opens_brace(lines: Sequence[str], start: int) -> bool:
    """Whether the scope is in braces: one stands open at the end of the line, or begins one of the next two."""
    following = [line.strip() for line in lines[start + 1 : start + 3]]
    return lines[start].rstrip().endswith("{") or any(line.startswith("{") for line in following)


def _closes(line: str) -> bool:
    """Whether the line closes the scope, and opens no further part of it (`} else {`)."""
    return line.lstrip().startswith("}") and not line.rstrip().endswith("{")


def _begins_another(line: str) -> bool:
    return bool(DEFINITION.match(line)) or line.lstrip().startswith("@")
