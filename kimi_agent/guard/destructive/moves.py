"""Moves of which a snapshot holds only one end: a repository's `.git`, files that git ignores, files outside."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from kimi_agent.guard.destructive.arguments import find_operands, find_option_value, plain_text, plain_texts
from kimi_agent.guard.destructive.command_table import Loss
from kimi_agent.guard.destructive.enumerated_paths import find_enumerated
from kimi_agent.guard.destructive.target_files import MAX_WALKED, WorkspacePaths, is_build_output
from kimi_agent.guard.shell.invocation import Invocation
from kimi_agent.guard.shell.syntax.words import ShellWords
from kimi_agent.workspace.git.ignored_files import list_ignored_paths

MAX_NAMED = 3


def find_move_losses(made: Invocation, paths: WorkspacePaths, environ: Mapping[str, str]) -> Iterator[Loss]:
    """What a move loses: what lies outside, and what undo could bring back at one end only."""
    inside: list[str] = []
    for word in _sources(made):
        for text in plain_texts(word, made.state):
            matches = paths.matching(text)[0] if text else []
            for each in matches:
                path = paths.inside(each)
                if path:
                    inside += [path] if paths.exists(each) else []
                elif path is None and paths.exists(each) and not paths.is_scratch(each):
                    yield Loss(f"moves {each[:80]}, outside the workspace", covered=False)
    if made.name in {"mv", "gmv"}:
        for handed in find_enumerated(made):
            for text in plain_texts(handed.word, made.state):
                if text and paths.is_outside(text) and not paths.is_scratch(text):
                    yield Loss(f"moves files of {text[:80]}, outside the workspace", covered=False)
    root = os.path.realpath(made.state.workspace)
    for path in inside:
        if repository := _find_repository(root, path):
            yield _one_end(f"moves {repository[:80]}, a repository with its history")
    ignored = list_ignored_paths(Path(root), inside, environ) if Path(root).is_dir() else ()
    leaves = paths.inside(_target(made)) is None
    yield from _of_ignored([path for path in ignored if not is_build_output(path)], [] if leaves else inside)


def _of_ignored(ignored: list[str], moved: list[str]) -> Iterator[Loss]:
    kept = tuple(path for path in ignored if path in moved)
    if kept:
        yield Loss(f"moves {', '.join(kept[:MAX_NAMED])[:80]}, ignored by git", paths=kept, exact=True)
    below = [path for path in ignored if path not in moved]
    if below:
        more = f" and {len(below) - MAX_NAMED} more" if len(below) > MAX_NAMED else ""
        yield _one_end(f"moves {', '.join(below[:MAX_NAMED])[:120]}{more}, ignored by git")


def _one_end(what: str) -> Loss:
    return Loss(f"{what} (undo could bring back one end of the move only)", covered=False)


def _sources(made: Invocation) -> ShellWords:
    """The words that a command moves."""
    words = made.args
    if made.name == "git":
        first = plain_text(words[0], made.state) if words else ""
        if first != "mv":
            return ()
        words = words[1:]
    elif made.name not in {"mv", "gmv"}:
        return ()
    texts = [plain_text(word, made.state) for word in words]
    given = find_operands(words)
    if target := find_option_value(texts, "-t", "--target-directory"):
        return tuple(word for word in given if plain_text(word, made.state) != target)
    return given[:-1]


def _target(made: Invocation) -> str:
    """Where a command moves to, as it is written; "" where that is not known."""
    texts = [plain_text(word, made.state) for word in made.args]
    given = find_operands(made.args)
    return find_option_value(texts, "-t", "--target-directory") or (plain_text(given[-1], made.state) if given else "")


def _find_repository(root: str, path: str) -> str:
    """The `.git` at or below a path of the workspace, "" where there is none."""
    if path.rpartition("/")[2] == ".git":
        return path
    looked_at = 0
    for folder, folders, files in os.walk(os.path.join(root, path)):
        if ".git" in folders or ".git" in files:
            return os.path.relpath(os.path.join(folder, ".git"), root)
        folders[:] = [each for each in folders if not is_build_output(each)]
        looked_at += len(files) + len(folders)
        if looked_at > MAX_WALKED:
            break
    return ""
