"""Layout of the bottom rows: live text, activity, queued messages, question or prompt, matches, status.

Styles are set on words, never on windows: a styled window would be painted to the full width, and rows of full width
leave ghosts in the scrollback when the terminal shrinks.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prompt_toolkit.data_structures import Size
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout import ConditionalContainer, Dimension, HSplit, VerticalAlign, Window
from prompt_toolkit.layout.controls import BufferControl, FormattedTextControl
from prompt_toolkit.layout.processors import BeforeInput
from prompt_toolkit.widgets import SearchToolbar

from kimi_agent.faces.sanitize import cell_width, sanitize_line, truncate
from kimi_agent.faces.screen.prompt import Prompt
from kimi_agent.faces.slash_commands import matching_commands
from kimi_agent.faces.summary_lines import format_seconds

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
    """The container of all bottom rows, and the choices of a question in it, which take keys."""

    root: HSplit
    choices: Window


def prompt_styles() -> Iterator[tuple[str, str]]:
    """Our style names for prompt-toolkit."""
    yield from (("dim", "dim"), ("bold", "bold"), ("strong", "bold ansired"), ("prompt", "ansicyan"))
    for colour in ("red", "green", "yellow", "blue", "magenta", "cyan"):
        yield colour, f"ansi{colour}"


def build_layout(prompt: Prompt, size: Callable[[], Size]) -> PromptLayout:
    """Lay out the bottom rows of a terminal of that `size`."""
    search = SearchToolbar(backward_search_prompt="search history: ", forward_search_prompt="search forward: ")
    sign = prompt.host.theme.glyphs.prompt
    typing = Condition(lambda: not prompt.choosing)

    def before() -> StyleAndTextTuples:
        if prompt.open_question is not None:
            return [("class:yellow", f"instead {sign} ")]
        return [("class:prompt", f"{sign} ")]

    control = BufferControl(
        buffer=prompt.buffer,
        input_processors=[BeforeInput(before)],
        search_buffer_control=search.control,
        preview_search=True,
    )
    line = Window(
        control,
        height=Dimension(min=1, max=_INPUT_ROWS),
        wrap_lines=True,
        dont_extend_height=True,
        get_line_prefix=lambda line, wrapped: [] if line == 0 and wrapped == 0 else [("", "  ")],
    )
    choices = Window(
        FormattedTextControl(lambda: _choices(prompt), focusable=True, show_cursor=False),
        dont_extend_height=True,
        wrap_lines=True,
    )
    root = HSplit(
        [
            Window(height=1),
            _text(lambda: _live(prompt, size().rows)),
            _text(lambda: _activity(prompt, size().columns)),
            _text(lambda: _queued(prompt, size().columns)),
            ConditionalContainer(choices, ~typing),
            ConditionalContainer(line, typing),
            search,
            _text(lambda: _matches(prompt, size().columns)),
            _text(lambda: _status(prompt, size().columns)),
        ],
        align=VerticalAlign.TOP,
    )
    return PromptLayout(root, choices)


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


def _live(prompt: Prompt, rows: int) -> StyleAndTextTuples:
    room = max(2, min(_LIVE_ROWS, rows // 3))
    drawn = prompt.host.transcript.live(room)
    lines: list[StyleAndTextTuples] = [[(f"class:{style}" if style else "", text)] for style, text in drawn]
    return _lines([*lines, [("", "")]] if lines and prompt.open_question is None else lines)


def _activity(prompt: Prompt, columns: int) -> StyleAndTextTuples:
    elapsed = prompt.host.busy_s
    if elapsed is None or prompt.open_question is not None:
        return []
    glyphs = prompt.host.theme.glyphs
    spinner = glyphs.spinner[int(elapsed * 4) % len(glyphs.spinner)]
    tail = f" {format_seconds(float(int(elapsed)) if elapsed >= 1 else elapsed)} {glyphs.between} esc to interrupt"
    doing = truncate(prompt.host.transcript.doing(), max(10, min(columns, _MOST_CELLS) - len(tail) - 4))
    return [("class:cyan", spinner), ("", f" {doing.removesuffix(glyphs.more)}{glyphs.more}"), ("class:dim", tail)]


def _queued(prompt: Prompt, columns: int) -> StyleAndTextTuples:
    waiting = prompt.host.queued
    room = max(10, min(columns, 80) - 12)
    rows: list[StyleAndTextTuples] = [[("class:dim", f"  queued: {sanitize_line(text, room)}")] for text in waiting]
    if len(rows) > _QUEUED_ROWS:
        rows[_QUEUED_ROWS - 1 :] = [[("class:dim", f"  and {len(rows) - _QUEUED_ROWS + 1} more queued")]]
    return _lines(rows)


def _choices(prompt: Prompt) -> StyleAndTextTuples:
    open_question = prompt.open_question
    if open_question is None:
        return []
    if not open_question.armed:  # no choices yet, no answer yet
        return [("class:dim", f"  {prompt.host.theme.glyphs.more}")]
    sign = prompt.host.theme.glyphs.prompt
    asked = "Allow this?" if open_question.question.tool else "Go on?"
    rows: list[StyleAndTextTuples] = [[("class:bold", "What now?" if open_question.question.choices else asked)]]
    for at, choice in enumerate(open_question.choices):
        chosen = at == open_question.selected
        rows.append([("class:cyan" if chosen else "", f"{sign if chosen else ' '} {choice}")])
    return _lines(rows)


def _matches(prompt: Prompt, columns: int) -> StyleAndTextTuples:
    if prompt.open_question is not None:
        return []
    found = matching_commands(prompt.buffer.text, prompt.host.prompts)
    room = max(10, min(columns, 80) - 20)
    rows: list[StyleAndTextTuples] = [
        [("class:cyan", f"  /{name:<14} "), ("class:dim", sanitize_line(does, room))]
        for name, does in found[:_MATCH_ROWS]
    ]
    if len(found) > _MATCH_ROWS:
        rows.append([("class:dim", f"  and {len(found) - _MATCH_ROWS} more")])
    return _lines(rows)


def _status(prompt: Prompt, columns: int) -> StyleAndTextTuples:
    if prompt.hint:
        return [("class:yellow", f"  {prompt.hint}")]
    mode, *rest = prompt.host.status()
    between = f" {prompt.host.theme.glyphs.between} "
    style = {"ask": "dim", "plan": "cyan", "yolo": "red"}.get(mode, "yellow")
    room = min(columns - 1, _MOST_CELLS) - 2 - len(mode)
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
