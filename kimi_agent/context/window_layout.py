"""Window layout: token limits and shares of the model's window, all derived from its size."""

from dataclasses import dataclass

from kimi_agent.model.protocol import DEFAULT_OUTPUT_TOKENS


@dataclass(frozen=True)
class CompactionSettings:
    """When the conversation is shortened (`at`), and down to what (`target`), as parts of the window.

    `tail` is what a compaction leaves word for word.
    """

    at: float = 0.80
    target: float = 0.50
    tail: float = 0.15


DEFAULT_COMPACTION = CompactionSettings()


@dataclass(frozen=True)
class WindowLayout:
    """Sizes in tokens. `limit`: more than that leaves no room for an answer. `trigger`: from here on it is shortened.

    `target`: shortening goes on until there. `least`: what it must free, else it is not worth a broken cache.
    `recent`: the newest results, which are not stale. `step`: the newest step may take this much. `tail`: what a
    compaction leaves word for word, up to `most_tail` for the newest step. `preserved` and `narrative`: what it writes.
    """

    window: int
    limit: int
    trigger: int
    target: int
    least: int
    recent: int
    step: int
    tail: int
    most_tail: int
    preserved: int
    narrative: int
    output: int


def lay_out_window(settings: CompactionSettings, window: int, around: int) -> WindowLayout:
    """Lay out `window`, of which the system prompt, the tools and the notes take `around`."""
    output = min(DEFAULT_OUTPUT_TOKENS, window // 4)
    limit = max(0, window - output - 1_024)
    room = max(0, limit - around)
    # Where the tools take most of the window, it is full from the start: then what is left of it counts.
    act = min(limit, max(int(settings.at * window), around + int(min(0.9, settings.at) * room)))
    # All that a compaction leaves must end below where it began.
    filled = max(0, act - around)
    return WindowLayout(
        window=window,
        limit=limit,
        trigger=act,
        target=min(int(settings.target * window), around + filled * 6 // 10),
        least=filled // 5,
        recent=filled // 5,
        step=filled * 3 // 10,
        tail=min(int(settings.tail * window), filled // 5),
        most_tail=filled * 4 // 10,
        preserved=min(40_000, filled * 3 // 10),
        narrative=min(12_000, window // 10, filled * 15 // 100),
        output=min(16_000, output),
    )
