"""Stand-in until the allow lists land."""

from collections.abc import Sequence
from pathlib import Path

from kimi_agent.guard.shell.risky_options import find_risky_options


def find_uncovered_words(words: tuple[str, ...]) -> list[str]:
    return find_risky_options(words)


def find_outside_words(words: tuple[str, ...], *, folder: Path, roots: Sequence[str], home: str) -> list[str]:
    return []


def only_reads_operands(words: tuple[str, ...]) -> bool:
    return words[0] in {"ls", "cat", "head", "tail", "wc", "grep", "rg", "find", "tree", "pwd"}
