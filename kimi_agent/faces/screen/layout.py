"""The bottom rows: text in motion, activity, queued messages, question or prompt, matching commands, status.

Styles stand on words, never on windows: a styled window would be painted to the full width, and rows of full width
leave ghosts in the scrollback when the terminal shrinks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout import ConditionalContainer, Dimension, HSplit, VerticalAlign, Window
from prompt_toolkit.layout.controls import BufferControl, FormattedTextControl
from prompt_toolkit.layout.processors import BeforeInput
from prompt_toolkit.widgets import SearchToolbar

from kimi_agent.faces.sanitize import clean_line, cut, width
from kimi_agent.faces.slash_commands import matching
from kimi_agent.faces.summary_lines import seconds

if TYPE_CHECKING:
    from kimi_agent.faces.screen.screen import Screen

_LIVE_ROWS = 8
_INPUT_ROWS = 12
_MATCH_ROWS = 8
_QUEUED_ROWS = 3
_MOST_CELLS = 78
"""However wide the terminal is: a row as wide leaves a ghost when it shrinks."""

_LEAST_CELLS = 12
"""A part of the status is cut down to this before another one goes."""


@dataclass(frozen=True)
class Bottom:
    """The container of all bottom rows, and the two that take keys."""

    root: HSplit
    input: Window
    choices: Window


def styles() -> Iterator[tuple[str, str]]:
    """Our style names for prompt-toolkit."""
    yield from (("dim", "dim"), ("bold", "bold"), ("strong", "bold ansired"), ("prompt", "ansicyan"))
    for colour in ("red", "green", "yellow", "blue", "magenta", "cyan"):
        yield colour, f"ansi{colour}"


def bottom(screen: Screen) -> Bottom:
    """Lay out the bottom rows of `screen`."""
    search = SearchToolbar(backward_search_prompt="search history: ", forward_search_prompt="search forward: ")
    sign = screen.desk.ink.glyphs.prompt
    typing = Condition(lambda: not screen.choosing)

    def before() -> StyleAndTextTuples:
        if screen.asking is not None:
            return [("class:yellow", f"instead {sign} ")]
        return [("class:prompt", f"{sign} ")]

    control = BufferControl(
        buffer=screen.buffer,
        input_processors=[BeforeInput(before)],
        search_buffer_control=search.control,
        preview_search=True,
    )
    prompt = Window(
        control,
        height=Dimension(min=1, max=_INPUT_ROWS),
        wrap_lines=True,
        dont_extend_height=True,
        get_line_prefix=lambda line, wrapped: [] if line == 0 and wrapped == 0 else [("", "  ")],
    )
    choices = Window(
        FormattedTextControl(lambda: _choices(screen), focusable=True, show_cursor=False),
        dont_extend_height=True,
        wrap_lines=True,
    )
    root = HSplit(
        [
            Window(height=1),
            _text(lambda: _live(screen)),
            _text(lambda: _activity(screen)),
            _text(lambda: _queued(screen)),
            ConditionalContainer(choices, ~typing),
            ConditionalContainer(prompt, typing),
            search,
            _text(lambda: _matches(screen)),
            _text(lambda: _status(screen)),
        ],
        align=VerticalAlign.TOP,
    )
    return Bottom(root, prompt, choices)


def _text(rows: Callable[[], StyleAndTextTuples]) -> ConditionalContainer:
    """A window of as many rows as there are, none when there are none."""
    return ConditionalContainer(
        Window(FormattedTextControl(rows), dont_extend_height=True), Condition(lambda: bool(rows()))
    )


def _lines(rows: list[StyleAndTextTuples]) -> StyleAndTextTuples:
    out: StyleAndTextTuples = []
    for at, row in enumerate(rows):
        out += [("", "\n"), *row] if at else row
    return out


def _live(screen: Screen) -> StyleAndTextTuples:
    room = max(2, min(_LIVE_ROWS, screen.rows() // 3))
    rows = screen.desk.transcript.live(room)
    lines: list[StyleAndTextTuples] = [[(f"class:{style}" if style else "", text)] for style, text in rows]
    return _lines([*lines, [("", "")]] if lines and screen.asking is None else lines)


def _activity(screen: Screen) -> StyleAndTextTuples:
    elapsed = screen.desk.busy_s
    if elapsed is None or screen.asking is not None:
        return []
    glyphs = screen.desk.ink.glyphs
    spinner = glyphs.spinner[int(elapsed * 4) % len(glyphs.spinner)]
    tail = f" {seconds(float(int(elapsed)) if elapsed >= 1 else elapsed)} {glyphs.between} esc to interrupt"
    doing = cut(screen.desk.transcript.doing(), max(10, min(screen.columns(), _MOST_CELLS) - len(tail) - 4))
    return [("class:cyan", spinner), ("", f" {doing.removesuffix(glyphs.more)}{glyphs.more}"), ("class:dim", tail)]


def _queued(screen: Screen) -> StyleAndTextTuples:
    waiting = screen.desk.queued
    room = max(10, min(screen.columns(), 80) - 12)
    rows: list[StyleAndTextTuples] = [[("class:dim", f"  queued: {clean_line(text, room)}")] for text in waiting]
    if len(rows) > _QUEUED_ROWS:
        rows[_QUEUED_ROWS - 1 :] = [[("class:dim", f"  and {len(rows) - _QUEUED_ROWS + 1} more queued")]]
    return _lines(rows)


def _choices(screen: Screen) -> StyleAndTextTuples:
    asking = screen.asking
    if asking is None:
        return []
    if not asking.armed:  # no choices yet, no answer yet
        return [("class:dim", f"  {screen.desk.ink.glyphs.more}")]
    sign = screen.desk.ink.glyphs.prompt
    asked = "Allow this?" if asking.question.tool else "Go on?"
    rows: list[StyleAndTextTuples] = [[("class:bold", "What now?" if asking.question.choices else asked)]]
    for at, choice in enumerate(asking.choices):
        chosen = at == asking.at
        rows.append([("class:cyan" if chosen else "", f"{sign if chosen else ' '} {choice}")])
    return _lines(rows)


def _matches(screen: Screen) -> StyleAndTextTuples:
    if screen.asking is not None:
        return []
    found = matching(screen.buffer.text, screen.desk.prompts)
    room = max(10, min(screen.columns(), 80) - 20)
    rows: list[StyleAndTextTuples] = [
        [("class:cyan", f"  /{name:<14} "), ("class:dim", clean_line(does, room))] for name, does in found[:_MATCH_ROWS]
    ]
    if len(found) > _MATCH_ROWS:
        rows.append([("class:dim", f"  and {len(found) - _MATCH_ROWS} more")])
    return _lines(rows)


def _status(screen: Screen) -> StyleAndTextTuples:
    if screen.hint:
        return [("class:yellow", f"  {screen.hint}")]
    mode, *rest = screen.desk.status()
    between = f" {screen.desk.ink.glyphs.between} "
    style = {"ask": "dim", "plan": "cyan", "yolo": "red"}.get(mode, "yellow")
    room = min(screen.columns() - 1, _MOST_CELLS) - 2 - len(mode)
    tail = "".join(f"{between}{each}" for each in fitting(rest, room, len(between)))
    return [(f"class:{style}", f"  {mode}"), ("class:dim", tail)]


def fitting(parts: Sequence[str], room: int, apart: int) -> list[str]:
    """Those of `parts` that fit into `room` cells, each with `apart` cells before it.

    They come in the order of their importance: the longest ones are cut down first, then the last ones go.
    """
    kept = list(parts)
    while kept and (over := sum(width(each) + apart for each in kept) - room) > 0:
        longest = max(range(len(kept)), key=lambda at: width(kept[at]))
        cells = width(kept[longest])
        if cells > _LEAST_CELLS:
            kept[longest] = cut(kept[longest], max(_LEAST_CELLS, cells - over))
        else:
            kept.pop()
    return kept
