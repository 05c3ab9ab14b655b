"""Changes of the shell's state by commands: variables assigned, the folder after `cd`, links that `ln` makes."""

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, product

from kimi_agent.guard.shell.expansion import PathParts, ShellState, expand_word, resolve_parts, split_path
from kimi_agent.guard.shell.syntax.tree import Assignment, ShellCommand, ShellNode
from kimi_agent.guard.shell.syntax.words import WORKSPACE_TOP, ShellWord, ShellWords, WordPiece, word_text

MAX_VALUES = 16
MAX_SCANNED_COMMANDS = 4_000
_READING = frozenset({"read", "mapfile", "readarray", "getopts"})


def collect_variables(root: ShellNode, state: ShellState) -> dict[str, ShellWords | None]:
    """What variables may hold, from assignments and `for x in ...` anywhere in a tree; None is not known."""
    known = dict(state.variables)
    for command in islice(_commands(root), MAX_SCANNED_COMMANDS):
        for assignment in command.assignments:
            known[assignment.name] = _with_value(known, assignment)
        texts = [word_text(word) for word in command.words]
        if texts and texts[0] in _READING:
            known |= {text: None for text in texts[1:] if re.fullmatch(r"[A-Za-z_]\w*", text)}
        elif texts[:2] == ["printf", "-v"]:
            known[texts[2] if len(texts) > 2 else "_"] = None
    for separators in known.get("IFS") or ():
        known = {name: _with_blanks(values, word_text(separators)) for name, values in known.items()}
    return known


def _with_blanks(values: ShellWords | None, separators: str) -> ShellWords | None:
    """Values with a blank for each character that IFS makes a separator."""
    blanks = str.maketrans(dict.fromkeys(separators, " "))
    return values and tuple(
        tuple(replace(piece, text=piece.text.translate(blanks)) for piece in word) for word in values
    )


def _commands(root: ShellNode) -> Iterator[ShellCommand]:
    waiting: list[ShellNode] = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ShellCommand):
            yield node
            waiting += reversed(node.substitutions)
        else:
            waiting += reversed(node.parts)


def _with_value(known: dict[str, ShellWords | None], assignment: Assignment) -> ShellWords | None:
    """All the values of a variable, this one too; None where it is not known or there are too many."""
    before = known.get(assignment.name, ())
    choices: list[ShellWords] = []
    for piece in assignment.value:
        values = known.get(piece.text) if piece.kind == "variable" else None
        if piece.kind == "unknown" or (
            piece.kind == "variable" and not values and piece.text not in {"HOME", "PWD", WORKSPACE_TOP}
        ):
            return None
        choices.append(values or ((piece,),))
    made = tuple(sum(parts, ()) for parts in islice(product(*choices), MAX_VALUES + 1))
    if before is None or len(before) + len(made) > MAX_VALUES:
        return None
    if assignment.appends:
        blank: ShellWord = (WordPiece("text", "", quoted=True),)
        made = tuple(one + blank + other for one in before for other in made)[:MAX_VALUES] or made
    return (*before, *made)


def change_folder(words: ShellWords, state: ShellState) -> tuple[PathParts | None, ...]:
    """Where the shell may be after a `cd`, `pushd` or `popd` that succeeds."""
    name = word_text(words[0])
    targets = [word for word in words[1:] if not re.fullmatch(r"-[LPe@]*-?", word_text(word) or "-")]
    if not targets:
        return (split_path(state.home) if name == "cd" and len(words) == 1 else None,)
    goals: list[PathParts | None] = []
    for value in expand_word(targets[0], state):
        goals += [None if value.has_unknown else resolve_parts(value.text, cwd, state) for cwd in state.cwds]
    return tuple(dict.fromkeys(goals))[:8]


def make_links(words: ShellWords, state: ShellState) -> dict[PathParts, PathParts | None]:
    """The links there are after a command: one of `ln -s`, `cp -s` or `mount --bind` leads to its target."""
    texts = [word_text(word) for word in words]
    name = os.path.basename(texts[0]) if texts else ""
    options = [text for text in texts[1:] if re.match(r"-.", text)]
    links = name in {"ln", "cp"} and any(re.match(r"-[A-Za-z]*s|--sym", text) for text in options)
    mounts = name == "mount" and any(re.match(r"--(r?bind|move)$|-[BMR]$", text) for text in options)
    given = [word for word, text in zip(words[1:], texts[1:], strict=True) if not re.match(r"-.", text)]
    if not (links or mounts) or not given:
        return state.links
    made = dict(state.links)
    cwd = state.cwds[0]
    for value in expand_word(given[0], state)[:MAX_VALUES]:
        place = expand_word(given[1], state)[0] if len(given) > 1 else None
        names = place.text if place else os.path.basename(value.text.rstrip("/"))
        leads = None if value.has_unknown else resolve_parts(value.text, cwd, state)
        for each in (names, f"{names.rstrip('/')}/{os.path.basename(value.text.rstrip('/'))}"):
            # The second: where the name is a folder, the link is made in it.
            if (at := resolve_parts(each, cwd, state)) and at != leads:
                made[at] = leads
    return made
