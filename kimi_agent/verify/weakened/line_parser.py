"""Line-based test parser for any language: where each test begins, what it asserts, what skips it.

Nothing here knows a grammar; comments are taken out, and a test reaches to where the next thing begins.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from kimi_agent.verify.weakened.language_patterns import PYTHON_PATTERNS, LanguagePatterns
from kimi_agent.verify.weakened.parsed_tests import ParsedTest, ParsedTestFile

_MOST_LINE = 2_000
_MOST_HEADS = 60
_TRIPLES = re.compile(r'("""|\'\'\').*?(?:\1|\Z)', re.DOTALL)
# What closes a test may close what is around it too, which is no part of what it does.
_CLOSERS = re.compile(r"(?:[\s)\]};]|\bend\b)+$")
_OPEN_CALL = re.compile(r"\(\s*+(?=['\"`])")
_FOCUS_PREFIX = re.compile("^[xf](?=describe|context|suite|feature)")


class _CompiledPatterns:
    """The patterns of a language, compiled."""

    def __init__(self, language: LanguagePatterns) -> None:
        self.comments = re.compile(language.comments, re.DOTALL)
        self.start = re.compile(language.start, re.VERBOSE)
        self.checks = re.compile(language.checks, re.VERBOSE)
        self.skips = re.compile(language.skips, re.VERBOSE)
        self.trivial = re.compile(language.trivial, re.VERBOSE)
        self.head = re.compile(language.head, re.VERBOSE)
        self.marked = re.compile(language.marked, re.VERBOSE)
        self.other = re.compile(language.other, re.VERBOSE)


@dataclass
class _Section:
    """From the line where something begins to where the next thing does; `heads` are the marks before it.

    `rest` is what stands behind its name in the line where it begins.
    """

    name: str = ""
    group: bool = False
    start: str = ""
    rest: str = ""
    heads: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def parse_test_lines(text: str, language: LanguagePatterns) -> ParsedTestFile:
    """The tests of a file, as far as its lines show them."""
    text = text.replace("\r\n", "\n")
    if language is PYTHON_PATTERNS:
        text = _TRIPLES.sub(lambda found: '""' + "\n" * found.group().count("\n"), text)
    rules = _CompiledPatterns(language)
    bare = rules.comments.sub(lambda found: found["kept"] or "\n" * found.group().count("\n"), text)
    tests: dict[str, ParsedTest] = {}
    other: list[str] = []
    outside: list[str] = []
    skips = 0
    for section in _sections(_OPEN_CALL.sub("(", bare).split("\n"), rules):
        code = [section.start, *section.lines]
        checks = tuple(_find_assertions(code, rules))
        stops = sum(len(rules.skips.findall(line)) for line in (*section.heads, *code))
        if not section.name:
            other += checks
            skips += stops
            outside += [*section.heads, *code]
            continue
        known = tests.get(section.name, ParsedTest(section.name))
        body = _CLOSERS.sub("", _joined([known.body, section.rest, *section.lines]))
        source = _joined([known.source, *section.heads, section.rest, *section.lines])
        checks, stops = known.assertions + checks, known.skips + stops
        tests[section.name] = ParsedTest(section.name, checks, stops, body, is_group=section.group, source=source)
    return ParsedTestFile(tests, tuple(other), skips, _joined(outside))


def _joined(lines: Iterable[str]) -> str:
    return " ".join(" ".join(lines).split())


def _sections(lines: Iterable[str], rules: _CompiledPatterns) -> Iterator[_Section]:
    section = _Section()
    heads: list[str] = []
    open_in_head = 0
    for whole in lines:
        line = whole[:_MOST_LINE]
        found = rules.start.search(line)
        if found is None and (open_in_head > 0 or rules.head.match(line)) and len(heads) < _MOST_HEADS:
            heads.append(line)
            open_in_head += line.count("(") + line.count("[") - line.count(")") - line.count("]")
            continue
        open_in_head = 0
        if found is None and not rules.other.match(line):
            if line.strip():
                section.lines += [*heads, line]
                heads = []
            continue
        yield section
        group = found is not None and bool(found.groupdict().get("group"))
        is_test = found is not None and (group or _is_marked([*heads, line], rules))
        named = found is not None and is_test
        section = _Section(_name(found) if found and named else "", group, line, _behind_name(found, line), heads)
        heads = []
    section.lines += heads
    yield section


def _is_marked(lines: Iterable[str], rules: _CompiledPatterns) -> bool:
    return any(rules.marked.search(line) for line in lines)


def _behind_name(found: re.Match[str] | None, line: str) -> str:
    if found is None:
        return ""
    return line[max(found.end(key) for key in found.groupdict() if key.startswith("name")) :]


def _name(found: re.Match[str]) -> str:
    names = found.groupdict()
    name = next((names[key] for key in ("name", "name2", "name3") if names.get(key)), "")
    group = _FOCUS_PREFIX.sub("", names.get("group") or "")
    return f"{group} ".lstrip() + " ".join(name.strip("'\"`").replace("DISABLED_", "").split())[:200] or "?"


def _find_assertions(lines: Iterable[str], rules: _CompiledPatterns) -> Iterator[str]:
    for line in lines:
        count = len(rules.checks.findall(line)) - len(rules.trivial.findall(line))
        if count > 0:
            yield from [" ".join(line.split())] * count
