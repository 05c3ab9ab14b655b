"""Finder of the losses that a shell command causes, and whether a snapshot taken first brings each back.

Like `forbidden` a net for accidents and not a wall. What the snapshot covers runs, and its result names the way
back; what it cannot cover (another folder, a remote, a database) is asked about, in every mode.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from kimi_agent.guard.destructive.arguments import find_operands, find_option_value, plain_text, plain_texts
from kimi_agent.guard.destructive.command_table import FILE_DESTROYERS, LOSSY_COMMANDS, Loss
from kimi_agent.guard.destructive.enumerated_paths import FIND_COMMANDS, find_enumerated, find_roots
from kimi_agent.guard.destructive.git_commands import find_git_losses
from kimi_agent.guard.destructive.moves import find_move_losses
from kimi_agent.guard.destructive.removing_code import find_database_losses, removes_files
from kimi_agent.guard.destructive.struck_trees import TRANSFER_COMMANDS, find_struck_trees
from kimi_agent.guard.destructive.target_files import (
    COPY_COMMANDS,
    PathExists,
    WorkspacePaths,
    find_copy_targets,
    walk_find_matches,
)
from kimi_agent.guard.destructive.written_paths import has_open_target
from kimi_agent.guard.shell.expansion import ShellState, expand_word, split_path, unescape_pattern
from kimi_agent.guard.shell.invocation import Invocation
from kimi_agent.guard.shell.invocations import ShellWalk, find_invocations
from kimi_agent.guard.shell.mounts import from_container
from kimi_agent.guard.shell.syntax.parser import MAX_SHELL_CHARS
from kimi_agent.guard.shell.syntax.words import ShellWords, word_text

MAX_JUDGED_COMMANDS = 400
_OVERWRITING = frozenset({">", ">|", "&>", "<>"})
_APPENDING = frozenset({">>", "&>>"})
_OF_THE_SYSTEM = re.compile(r"/(etc|usr|boot|lib|lib64|bin|sbin|private/etc)/.")
_EDITORS_IN_PLACE = re.compile(r"g?sed|perl|ruby|g?awk")
_IN_PLACE = re.compile(r"-[a-zA-Z]*i.*|--in-place(=.*)?")
_VALUES = {"truncate": ("-s", "--size"), "shred": ("-n", "--iterations")}
"""Options of commands that destroy files whose value is a word of its own."""


def find_losses(
    text: str,
    *,
    home: Path,
    workspace: Path,
    cwd: Path | None = None,
    exists: PathExists = os.path.lexists,
    environ: Mapping[str, str] = os.environ,
    walk: ShellWalk | None = None,
) -> tuple[Loss, ...]:
    """What the shell text `text` is seen to destroy, each loss once. It starts in `cwd`, by default the workspace.

    `exists` says whether there is a file at an absolute path: writing a new one loses nothing. `environ` is git's,
    which is asked what it ignores when a file or folder is moved. `walk` is that of `text`, for a caller that has it.
    """
    if len(text) > MAX_SHELL_CHARS:
        return ()  # `find_forbidden_effect` has it asked about
    walk = walk or find_invocations(text, ShellState(home, workspace, (split_path(cwd or workspace),)))
    finder = _LossFinder(exists, environ)
    judged = [made for made in walk.invocations[:MAX_JUDGED_COMMANDS] if made.certain]
    found = [loss for made in judged for loss in finder.find(made)]
    return tuple(dict.fromkeys((*found, *_of_loops(judged, exists))))


def _of_loops(judged: Sequence[Invocation], exists: PathExists) -> Iterator[Loss]:
    """What a loop over the files of another folder destroys: `for f in $(find ~); do rm "$f"; done`."""
    if not any(map(has_open_target, judged)):
        return
    for made in judged:
        for word in find_roots(made.args) if made.name in FIND_COMMANDS else ():
            paths = WorkspacePaths(made.state, exists)
            for text in plain_texts(word, made.state):
                if text and paths.is_outside(text) and not paths.is_scratch(text):
                    yield Loss(f"deletes what it finds in {text[:80]}, outside the workspace", covered=False)


class _LossFinder:
    """The losses of one command after the other."""

    def __init__(self, exists: PathExists, environ: Mapping[str, str]) -> None:
        self._exists = exists
        self._environ = environ

    def find(self, made: Invocation) -> Iterator[Loss]:
        """What one command destroys; on another machine or as somebody else no snapshot covers it."""
        for loss in self._of_command(from_container(made)):
            yield replace(loss, covered=False) if made.remote and not loss.refs else loss

    def _of_command(self, made: Invocation) -> Iterator[Loss]:
        paths = WorkspacePaths(made.state, self._exists)
        for redirect in made.redirects:
            for text in plain_texts(redirect.target, made.state):
                if redirect.operator in _OVERWRITING:
                    yield from self._overwritten(text, paths)
                elif redirect.operator in _APPENDING:
                    yield from self._appended(text, paths)
        name = made.name
        texts = [plain_text(word, made.state) for word in made.args]
        struck = tuple(tree.word for tree in find_struck_trees(made)) if name in TRANSFER_COMMANDS else ()
        outside = list(self._outside("removes files of", struck, paths))
        yield from outside
        if name == "git":
            yield from find_git_losses(texts)
        elif outside:
            pass
        elif name in LOSSY_COMMANDS:
            loss = LOSSY_COMMANDS[name](texts)
            if loss is not None:
                yield from self._destroyed(loss, made, paths)
        elif name in FIND_COMMANDS and "-delete" in texts:
            yield from self._found_files(Loss("deletes the files that it finds"), made.args, paths)
        if name in COPY_COMMANDS:
            files = [plain_text(word, made.state) for word in find_operands(made.args)]
            if name == "tee":
                for text in files:
                    yield from self._appended(text, paths)
            for target in find_copy_targets(name, files, texts, paths.is_folder):
                yield from self._overwritten(target, paths)
        if name == "patch" or (_EDITORS_IN_PLACE.fullmatch(name) and any(map(_IN_PLACE.fullmatch, texts))):
            yield from self._outside("edits", self._edited(made, texts), paths)
        yield from find_move_losses(made, paths, self._environ)
        yield from find_database_losses(name, texts, made, paths)
        if removes_files(made):
            yield Loss("deletes files from within its code")

    def _destroyed(self, loss: Loss, made: Invocation, paths: WorkspacePaths) -> Iterator[Loss]:
        """`loss` with the operands of the command and with what `find`, a pipe or `xargs` hands it."""
        value = find_option_value([word_text(word) for word in made.args], *_VALUES.get(made.name, ()))
        given = tuple(word for word in find_operands(made.args) if word_text(word) not in ("{}", value or "{}"))
        finders = list(_finders(made)) if made.name in FILE_DESTROYERS else []
        handed = tuple(path.word for path in find_enumerated(made) if not path.tree)
        for args in finders:
            yield from self._found_files(replace(loss, what=f"{loss.what} that `find` finds"), args, paths)
        if given or handed or not finders:
            yield from self._placed(loss, (*given, *handed), made.name, paths)

    def _edited(self, made: Invocation, texts: Sequence[str]) -> ShellWords:
        """The files that `sed -i` and the like edit: all but the script, which is the first where no -e gives one."""
        script = find_option_value(texts, "-e", "--expression", "-f", "--file")
        given = tuple(word for word in find_operands(made.args) if not script or word_text(word) != script)
        if made.name == "patch":
            return given[:1]
        handed = tuple(path.word for path in find_enumerated(made))
        return (*(given if script else given[1:]), *handed)

    def _outside(self, verb: str, words: ShellWords, paths: WorkspacePaths) -> Iterator[Loss]:
        """A loss for each file outside the workspace that is there."""
        for word in words:
            for text in plain_texts(word, paths.state):
                if text and paths.is_outside(text) and not paths.is_scratch(text):
                    yield Loss(f"{verb} {text[:80]}, outside the workspace", covered=False)

    def _placed(self, loss: Loss, words: ShellWords, name: str, paths: WorkspacePaths) -> Iterator[Loss]:
        """`loss` with the files that it destroys: those of the workspace can be kept, also ignored ones; others not."""
        if loss.covered is False or name not in FILE_DESTROYERS:
            yield loss
            return
        kept: list[str] = []
        outside = False
        harmful, exact = not words, bool(words)
        for value in (each for word in words for each in expand_word(word, paths.state)):
            text = "" if value.has_unknown else unescape_pattern(value.text)
            if text and paths.is_scratch(text):
                continue
            harmful = True
            matches, all_ = paths.matching(value.text) if text else ([""], True)
            exact = exact and all_
            for each in matches:
                path = paths.inside(each)
                if path is None:
                    outside = True
                    yield Loss(f"{loss.what} outside the workspace ({each[:80]})", covered=False)
                elif not path:
                    exact = False
                else:
                    kept.append(path)
        if harmful and (kept or not exact or not outside):
            yield replace(loss, paths=tuple(dict.fromkeys(kept)), exact=exact)

    def _found_files(self, loss: Loss, args: ShellWords, paths: WorkspacePaths) -> Iterator[Loss]:
        """`loss` with the files below the roots of `find` that its names choose."""
        texts = [plain_text(word, paths.state) for word in args]
        roots = [plain_text(word, paths.state) for word in find_roots(args)]
        patterns = [after for text, after in pairwise(texts) if text in ("-name", "-iname")]
        for each in self._placed(loss, find_roots(args), "find", paths):
            if not each.covered:
                yield each
                continue
            found, all_ = walk_find_matches([paths.absolute(text) for text in roots], patterns)
            inside = [path for one in found if (path := paths.inside(one))]
            yield replace(each, paths=tuple(inside), exact=all_ and "" not in roots)

    def _appended(self, text: str, paths: WorkspacePaths) -> Iterator[Loss]:
        """What is added to a file of the system, which other programs obey."""
        if text and paths.inside(text) is None and _OF_THE_SYSTEM.match(paths.absolute(text)):
            yield Loss(f"writes to {text[:80]}, a file of the system", covered=False)

    def _overwritten(self, text: str, paths: WorkspacePaths) -> Iterator[Loss]:
        if re.fullmatch(r"\d+|-|", text) or text.startswith("/dev/") or paths.is_scratch(text):
            return
        path = paths.inside(text)
        if path is None:
            if paths.exists(text):
                yield Loss(f"overwrites {text[:80]}, outside the workspace", covered=False)
        elif path and paths.exists(text):
            yield Loss(f"overwrites {path[:80]}", paths=(path,), exact=True)


def _finders(made: Invocation) -> Iterator[ShellWords]:
    """The arguments of each `find` whose files a command is handed."""
    for launch in made.launchers:
        if launch.name in FIND_COMMANDS:
            yield launch.words[1:]
        elif launch.name in {"xargs", "parallel"}:
            yield from (feeder.args for feeder in made.fed if feeder.name in FIND_COMMANDS)
    yield from (feeder.args for feeder in made.substituted if feeder.name in FIND_COMMANDS)
