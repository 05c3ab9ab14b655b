"""Layout of the bottom rows: live text, activity, queued messages, question or prompt, matches, status.

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

from kimi_agent.faces.sanitize import cell_width, sanitize_line, truncate
from kimi_agent.faces.slash_commands import matching_commands
from kimi_agent.faces.summary_lines import format_seconds

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
class PromptLayout:
    """The container of all bottom rows, and the two that take keys."""

    root: HSplit
    input: Window
    choices: Window


def prompt_styles() -> Iterator[tuple[str, str]]:
    """Our style names for prompt-toolkit."""
    yield from (("dim", "dim"), ("bold", "bold"), ("strong", "bold ansired"), ("prompt", "ansicyan"))
    for colour in ("red", "green", "yellow", "blue", "magenta", "cyan"):
        yield colour, f"ansi{colour}"


def build_layout(screen: Screen) -> PromptLayout:
    """Lay out the bottom rows of `screen`."""
    search = SearchToolbar(backward_search_prompt="search history: ", forward_search_prompt="search forward: ")
    sign = screen.host.theme.glyphs.prompt
    typing = Condition(lambda: not screen.choosing)

    def before() -> StyleAndTextTuples:
        if screen.open_question is not None:
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
    return PromptLayout(root, prompt, choices)


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
    rows = screen.host.transcript.live(room)
    lines: list[StyleAndTextTuples] = [[(f"class:{style}" if style else "", text)] for style, text in rows]
    return _lines([*lines, [("", "")]] if lines and screen.open_question is None else lines)


def _activity(screen: Screen) -> StyleAndTextTuples:
    elapsed = screen.host.busy_s
    if elapsed is None or screen.open_question is not None:
        return []
    glyphs = screen.host.theme.glyphs
    spinner = glyphs.spinner[int(elapsed * 4) % len(glyphs.spinner)]
    tail = f" {format_seconds(float(int(elapsed)) if elapsed >= 1 else elapsed)} {glyphs.between} esc to interrupt"
    doing = truncate(screen.host.transcript.doing(), max(10, min(screen.columns(), _MOST_CELLS) - len(tail) - 4))
    return [("class:cyan", spinner), ("", f" {doing.removesuffix(glyphs.more)}{glyphs.more}"), ("class:dim", tail)]


def _queued(screen: Screen) -> StyleAndTextTuples:
    waiting = screen.host.queued
    room = max(10, min(screen.columns(), 80) - 12)
    rows: list[StyleAndTextTuples] = [[("class:dim", f"  queued: {sanitize_line(text, room)}")] for text in waiting]
    if len(rows) > _QUEUED_ROWS:
        rows[_QUEUED_ROWS - 1 :] = [[("class:dim", f"  and {len(rows) - _QUEUED_ROWS + 1} more queued")]]
    return _lines(rows)


def _choices(screen: Screen) -> StyleAndTextTuples:
    open_question = screen.open_question
    if open_question is None:
        return []
    if not open_question.armed:  # no choices yet, no answer yet
        return [("class:dim", f"  {screen.host.theme.glyphs.more}")]
    sign = screen.host.theme.glyphs.prompt
    asked = "Allow this?" if open_question.question.tool else "Go on?"
    rows: list[StyleAndTextTuples] = [[("class:bold", "What now?" if open_question.question.choices else asked)]]
    for at, choice in enumerate(open_question.choices):
        chosen = at == open_question.selected
        rows.append([("class:cyan" if chosen else "", f"{sign if chosen else ' '} {choice}")])
    return _lines(rows)


def _matches(screen: Screen) -> StyleAndTextTuples:
    if screen.open_question is not None:
        return []
    found = matching_commands(screen.buffer.text, screen.host.prompts)
    room = max(10, min(screen.columns(), 80) - 20)
    rows: list[StyleAndTextTuples] = [
        [("class:cyan", f"  /{name:<14} "), ("class:dim", sanitize_line(does, room))]
        for name, does in found[:_MATCH_ROWS]
    ]
    if len(found) > _MATCH_ROWS:
        rows.append([("class:dim", f"  and {len(found) - _MATCH_ROWS} more")])
    return _lines(rows)


def _status(screen: Screen) -> StyleAndTextTuples:
    if screen.hint:
        return [("class:yellow", f"  {screen.hint}")]
    mode, *rest = screen.host.status()
    between = f" {screen.host.theme.glyphs.between} "
    style = {"ask": "dim", "plan": "cyan", "yolo": "red"}.get(mode, "yellow")
    room = min(screen.columns() - 1, _MOST_CELLS) - 2 - len(mode)
    tail = "".join(f"{between}{each}" for each in fit_parts(rest, room, len(between)))
    return [(f"class:{style}", f"  {mode}"), ("class:dim", tail)]


def fit_parts(parts: Sequence[str], room: int, apart: int) -> list[str]:
    """Those of `parts` that fit into `room` cells, each with `apart` cells before it.

    They come in the order of their importance: the longest ones are cut down first, then the last ones go.
    """
    kept = list(parts)
    while kept and (over := sum(cell_width(each) + apart for each in kept) - room) > 0:
        longest = max(range(len(kept)), key=lambda at: cell_width(kept[at]))
        cells = cell_width(kept[longest])
        if cells > _LEAST_CELLS:
            kept[longest] = truncate(kept[longest], max(_LEAST_CELLS, cells - over))
        else:
            kept.pop()
    return kept
