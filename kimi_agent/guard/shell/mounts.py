"""Mounts: the folders of this machine that a command in a container or behind `chroot` can reach."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from kimi_agent.guard.shell.expansion import (
    ShellState,
    WordValue,
    expand_word,
    resolve_places,
    split_path,
    without_patterns,
)
from kimi_agent.guard.shell.invocation import Invocation
from kimi_agent.guard.shell.syntax.words import ShellWord, ShellWords, WordPiece, literal_word

_ENGINES = frozenset({"docker", "podman", "nerdctl"})


def find_mounts(words: ShellWords, texts: Sequence[str], state: ShellState) -> ShellState:
    """The state behind a launcher: what it does not put into another root is as it was.

    `texts` are the words as plain texts, "" for one that is not known.
    """
    name = PurePosixPath(texts[0] or "_").name
    if name == "nsenter":
        return replace(state, mounts=None)
    if name == "chroot":
        root = next((word for word, text in zip(words[1:], texts[1:], strict=True) if not text.startswith("-")), None)
        return state if root is None else replace(state, mounts=(("/", root),), cwds=((),))
    if name not in _ENGINES or not {"run", "exec", "create"} & set(texts[1:4]):
        return state
    folder = next((each for each in _values(texts, r"-w|--workdir") if each.startswith("/")), "")
    cwds = (split_path(Path(folder)) if folder else None,)
    return replace(state, mounts=tuple(_volumes(words, texts)), cwds=cwds)


def _values(texts: Sequence[str], option: str) -> Iterator[str]:
    for at, text in enumerate(texts):
        if re.fullmatch(option, text):
            yield from texts[at + 1 : at + 2]
        elif match := re.match(rf"(?:{option})=?(.+)", text):
            yield match[1]


def _volumes(words: ShellWords, texts: Sequence[str]) -> Iterator[tuple[str, ShellWord]]:
    """`-v HERE:THERE` and `--mount type=bind,source=HERE,target=THERE`: there, and the word for here."""
    for at, text in enumerate(texts):
        word = words[at + 1] if re.fullmatch(r"-v|--volume|--mount", text) and at + 1 < len(words) else words[at]
        if re.fullmatch(r"-v|--volume", text) or re.match(r"--volume=|-v.", text):
            here, there = _split(word, ":")
            yield there.partition(":")[0], _without_option(here)
        elif re.match(r"--mount\b", text):
            plain = "".join(piece.text if piece.kind == "text" else f"${piece.text}" for piece in word)
            found = dict(part.partition("=")[::2] for part in plain.removeprefix("--mount=").split(","))
            here_text = found.get("source", found.get("src", ""))
            there = found.get("target", found.get("destination", found.get("dst", "")))
            variable = re.fullmatch(r"\$([A-Za-z_]\w*)", here_text)
            yield there, (WordPiece("variable", variable[1], quoted=True),) if variable else literal_word(here_text)


def _split(word: ShellWord, separator: str) -> tuple[ShellWord, str]:
    """A word up to the first separator in a literal piece, and the text behind it."""
    for at, piece in enumerate(word):
        if piece.kind == "text" and separator in piece.text:
            before, _, behind = piece.text.partition(separator)
            rest = "".join(each.text for each in word[at + 1 :])
            return (*word[:at], replace(piece, text=before)), behind + rest
    return word, ""


def _without_option(word: ShellWord) -> ShellWord:
    """`--volume=~` and `-v~` without the option's name."""
    first = word[0] if word else None
    if first is None or first.kind != "text":
        return word
    return (replace(first, text=re.sub(r"^(--volume=|-v=?)", "", first.text)), *word[1:])


def find_mounted(value: WordValue, state: ShellState) -> Iterator[WordValue]:
    """What a path in a container is on this machine: each mount at it, above or below it."""
    here = replace(state, mounts=None)
    for cwd in state.cwds:
        inside = None if value.starts_unknown else resolve_places(value.text, cwd, here)[0]
        for there, word in state.mounts or ():
            at = split_path(Path(there or "/"))
            for each in expand_word(word, here):
                outside = replace(each, has_unknown=each.has_unknown or value.has_unknown)
                if inside is None:
                    yield replace(outside, has_unknown=True)
                elif at[: len(without_patterns(inside))] == without_patterns(inside):
                    yield outside
                elif inside[: len(at)] == at:
                    yield replace(outside, text="/".join((outside.text.rstrip("/"), *inside[len(at) :])))


def from_container(made: Invocation) -> Invocation:
    """A command in a container as one of this machine: its paths where they are mounted, without the others."""
    if made.state.mounts is None:
        return made
    words = list(made.words[:1])
    for word in made.args:
        values = expand_word(word, made.state)
        if values[0].text.startswith("-"):
            words.append(word)
        else:
            found = [each for value in values for each in find_mounted(value, made.state) if not each.has_unknown]
            words += [(WordPiece("text", each.text, quoted=False),) for each in found]
    return replace(made, words=tuple(words), state=replace(made.state, mounts=None), redirects=())
