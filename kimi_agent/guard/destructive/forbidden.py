"""Finder of forbidden commands, refused even in yolo mode: they would destroy the machine, home or workspace.

A net for accidents, not a wall: a program can delete files without any of these words. Where the text proves the
loss (`rm -rf /`) the effect is `certain`; where only the run would show it (`rm -rf "$DIR"`) it is not, and a person
may still say yes.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from kimi_agent.guard.destructive.arguments import find_operands
from kimi_agent.guard.destructive.disks import find_disk_effects
from kimi_agent.guard.destructive.protected_paths import ForbiddenEffect, check_removal
from kimi_agent.guard.destructive.removing_code import find_paths_in_code
from kimi_agent.guard.destructive.struck_trees import REMOVERS, STRIKING_COMMANDS, StruckTree, find_struck_trees
from kimi_agent.guard.shell.expansion import ShellState, expand_word, has_pattern, split_path
from kimi_agent.guard.shell.invocation import Invocation
from kimi_agent.guard.shell.invocations import UNREADABLE, ShellWalk, find_invocations
from kimi_agent.guard.shell.launchers import SHELL_PROGRAMS
from kimi_agent.guard.shell.syntax.parser import MAX_SHELL_CHARS
from kimi_agent.guard.shell.syntax.words import literal_word, word_text

_NAME = r"(?<![^\s(){};|&])([^\s(){};|&]{1,60})"
_FORK_BOMB = re.compile(_NAME + r"(?:\s{0,9}\(\s{0,9}\))?\s{0,9}\{\s{0,9}\1\s{0,9}\|\s{0,9}\1\s{0,9}&[^}]{0,80}\}")


def find_forbidden_effect(
    text: str, *, home: Path, workspace: Path, cwd: Path | None = None, walk: ShellWalk | None = None
) -> ForbiddenEffect | None:
    """The worst that `text` is seen to do; None if nothing is seen. It starts in `cwd`, by default the workspace.

    `walk` is that of `text` from there, for a caller that has it.
    """
    if len(text) > MAX_SHELL_CHARS:
        return ForbiddenEffect(f"it has more than {MAX_SHELL_CHARS:,} characters, too many to be read", certain=False)
    if _FORK_BOMB.search(text):
        return ForbiddenEffect("it is a fork bomb", certain=True)
    walk = walk or find_invocations(text, ShellState(home, workspace, (split_path(cwd or workspace),)))
    first: ForbiddenEffect | None = None
    for made in walk.invocations:
        for effect in _effects(made):
            if effect.certain:
                return effect
            first = first or effect
    if first is None and walk.unclear in UNREADABLE:
        return ForbiddenEffect(f"it cannot be read: it holds {walk.unclear}", certain=False)
    return first


def _effects(made: Invocation) -> Iterator[ForbiddenEffect]:
    """What one command would do that is forbidden; sure only if it is sure that it runs."""
    if made.name in SHELL_PROGRAMS | {"eval"} and any(map(_FORK_BOMB.search, map(word_text, made.args))):
        yield ForbiddenEffect("it is a fork bomb", certain=True)
    for effect in (*find_disk_effects(made), *_of_trees(made)):
        yield effect if made.certain else replace(effect, certain=False)


def _of_trees(made: Invocation) -> Iterator[ForbiddenEffect]:
    if not made.words:
        return
    value = expand_word(made.words[0], made.state)[0]
    name = made.name
    if value.starts_unknown or (has_pattern(name) and any(fnmatchcase(each, name) for each in STRIKING_COMMANDS)):
        # `$TOOL -rf /`: whatever it is, it is not to be tried.
        words = (literal_word("rm"), *made.args)
        for effect in _of_trees(replace(made, words=words)):
            if effect.certain:
                yield replace(effect, certain=False)
        return
    for tree in find_struck_trees(made):
        yield from _of_tree(tree, made)
    if name == "mv":
        given = find_operands(made.args)
        if any(value.text == "/dev/null" for word in given[-1:] for value in expand_word(word, made.state)):
            yield ForbiddenEffect("it would put files in the place of /dev/null", certain=True)
    for path in find_paths_in_code(made):
        if (found := check_removal(path, made.state)) and found.certain:
            yield replace(found, certain=False)


def _of_tree(tree: StruckTree, made: Invocation) -> Iterator[ForbiddenEffect]:
    follow = tree.verb != "remove" or made.name not in REMOVERS
    for value in expand_word(tree.word, made.state):
        effect = check_removal(value, made.state, workspace_too=tree.workspace_too, follow_last=follow)
        if effect is None or (not effect.certain and (tree.guessed or tree.certain_only)):
            continue
        why = effect.why.replace("it would remove", f"it would {tree.verb}")
        if not tree.chosen:
            yield ForbiddenEffect(why, effect.certain and not tree.guessed)
        elif "workspace itself" not in why:
            yield ForbiddenEffect(why, certain=False)
