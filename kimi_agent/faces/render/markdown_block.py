"""Markdown renderer: draws one finished block with rich, as plain rows of ANSI text.

Imported at the first text: rich.markdown and markdown-it cost 60 ms. What differs from rich's own look: nothing of
the source is lost (HTML, image and link addresses, link definitions stay visible), no backgrounds, no padding to the
width, no OSC 8 links, and line breaks stay where the model put them.
"""

import io
from collections.abc import Iterable, Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich import box
from rich.color import ColorSystem
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, HorizontalRule, Markdown, TableElement
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text
from rich.theme import Theme as RichTheme

from kimi_agent.faces.render.highlight import Highlighter
from kimi_agent.faces.sanitize import sanitize, wrap_line
from kimi_agent.faces.theme import Theme

_MAX_BLOCK = 64_000
_MAX_PARAGRAPH_LINE = 10_000
"""Characters; beyond them a block is drawn as it is, since inline markup costs more than linear time in places."""

_MAX_DEPTH = 8
"""Lists and quotes within each other; deeper ones leave no width to draw in."""

_THEME = RichTheme(
    {
        "markdown.code": "cyan",
        "markdown.code_block": "none",
        "markdown.block_quote": "dim",
        "markdown.hr": "dim",
        "markdown.h1": "bold cyan underline",
        "markdown.h2": "bold cyan",
        "markdown.h3": "bold",
        "markdown.h4": "bold",
        "markdown.h5": "bold",
        "markdown.h6": "bold",
        "markdown.item.bullet": "cyan",
        "markdown.item.number": "cyan",
        "markdown.link": "cyan",
        "markdown.link_url": "dim",
        "markdown.table.header": "bold",
        "markdown.table.border": "dim",
    }
)


class _Heading(Heading):
    LEVEL_ALIGN = dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), "left")


class _Code(CodeBlock):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        theme = Theme(console.color_system is not None)
        for line in Highlighter(self.lexer_name, theme).lines(str(self.text).rstrip("\n").expandtabs(4)):
            yield Text.from_ansi("  " + line, overflow="fold")


class _Rule(HorizontalRule):
    new_line = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text("-" * min(options.max_width, 24), "markdown.hr")


class _Table(TableElement):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, style="markdown.table.border")
        for cell in self.header.row.cells if self.header and self.header.row else ():
            heading = cell.content.copy()
            heading.stylize("markdown.table.header")
            table.add_column(heading, overflow="fold")
        for row in self.body.rows if self.body else ():
            table.add_row(*(cell.content for cell in row.cells))
        yield table


class _Document(Markdown):
    elements = Markdown.elements | {
        "heading_open": _Heading,
        "fence": _Code,
        "code_block": _Code,
        "hr": _Rule,
        "table_open": _Table,
    }

    def __init__(self, tokens: list[Token]) -> None:
        super().__init__("", hyperlinks=False)
        self.parsed = tokens


class MarkdownRenderer:
    """Parses Markdown into top-level blocks and draws them in one theme."""

    def __init__(self, theme: Theme) -> None:
        self._theme = theme
        # Without "reference", a link definition is text like other text: shown, and no block depends on a later one.
        self._parser = MarkdownIt().enable(["strikethrough", "table"]).disable("reference")
        self._console = Console(
            file=io.StringIO(),
            width=80,
            force_terminal=True,
            color_system="standard" if theme.colour else None,
            legacy_windows=False,
            markup=False,
            emoji=False,
            highlight=False,
            theme=_THEME,
            _environ={},
        )
        self._codes: dict[Style, tuple[str, str]] = {}

    def starts(self, source: str) -> list[tuple[int, str, str]]:
        """First line, type and info of each top-level block of `source`."""
        tokens: list[Token] = []
        self._parser.block.parse(source, self._parser, {}, tokens)
        return [(t.map[0], t.type, t.info) for t in tokens if t.level == 0 and t.nesting >= 0 and t.map]

    def rows(self, source: str, width: int) -> list[str]:
        """The blocks of `source` (clean text) at `width` cells, with an empty row between each two."""
        if len(source) > _MAX_BLOCK or any(len(line) > _MAX_PARAGRAPH_LINE for line in source.split("\n")):
            return _plain(source, width)
        tokens = self._parser.parse(source)
        if max((token.level for token in tokens), default=0) > 2 * _MAX_DEPTH:
            return _plain(source, width)
        options = self._console.options.update(width=width)
        rows = list(self._drawn(self._console.render(_Document(list(_keep_hidden_text(tokens, self._theme))), options)))
        while rows and not rows[0]:  # rich begins a list or quote with an empty line, also where it comes first
            del rows[0]
        return rows

    def _drawn(self, segments: Iterable[Segment]) -> Iterator[str]:
        row: list[tuple[str, Style | None]] = []
        for text, style, _ in segments:
            head, *tails = text.split("\n")
            row.append((head, style))
            for tail in tails:
                yield self._row(row)
                row = [(tail, style)]
        if any(text for text, _ in row):
            yield self._row(row)

    def _row(self, parts: list[tuple[str, Style | None]]) -> str:
        """One row without what a terminal does not need: blanks at its end, a style taken up again at once."""
        while parts and not parts[-1][0].strip(" "):
            parts.pop()
        if not parts:
            return ""
        parts[-1] = (parts[-1][0].rstrip(" "), parts[-1][1])
        merged: list[tuple[str, Style | None]] = []
        for text, style in parts:
            if merged and merged[-1][1] == style:
                merged[-1] = (merged[-1][0] + text, style)
            elif text:
                merged.append((text, style))
        return "".join(self._styled(text, style) for text, style in merged)

    def _styled(self, text: str, style: Style | None) -> str:
        text = sanitize(text)  # an entity such as &#x202e; is decoded by the parser, after the stream was cleaned
        if not style or not self._theme.colour:
            return text
        if style not in self._codes:
            before, _, after = style.render("\0", color_system=ColorSystem.STANDARD).partition("\0")
            self._codes[style] = (before, after)
        before, after = self._codes[style]
        return f"{before}{text}{after}" if text.strip() else text


def _keep_hidden_text(tokens: list[Token], theme: Theme) -> Iterator[Token]:
    """The tokens with what rich would leave out turned into text."""
    for token in tokens:
        if token.type == "html_block":
            text = Token("inline", "", 0, content=token.content, children=_lines(token.content.rstrip("\n")), level=1)
            yield Token("paragraph_open", "p", 1)
            yield text
            yield Token("paragraph_close", "p", -1)
            continue
        if token.children is not None:
            token.children = list(_inline(token.children))
        yield token
        if token.type == "heading_open" and not theme.colour:
            yield Token("text", "", 0, content=f"{token.markup if token.markup[0] == '#' else '#'} ")


def _inline(children: list[Token]) -> Iterator[Token]:
    links: list[bool] = []
    for at, token in enumerate(children):
        if token.type == "softbreak":
            yield Token("hardbreak", "br", 0)
        elif token.type == "html_inline":
            yield Token("text", "", 0, content=token.content)
        elif token.type == "image":
            yield Token("text", "", 0, content=f"[image: {token.content}] ({token.attrs.get('src', '')})")
        elif token.type == "link_open":
            text = children[at + 1].content
            links.append(str(token.attrs.get("href", "")).removeprefix("mailto:") != text)
            if links[-1]:
                yield token
        elif token.type == "link_close":
            if links.pop():
                yield token
        else:
            yield token


def _lines(text: str) -> list[Token]:
    found: list[Token] = []
    for line in text.split("\n"):
        found += [Token("hardbreak", "br", 0), Token("text", "", 0, content=line)]
    return found[1:]


def _plain(source: str, width: int) -> list[str]:
    return [row for line in source.rstrip("\n").split("\n") for row in wrap_line(line.expandtabs(4), width)]
