"""Finder of the losses that a shell command causes, and whether a snapshot taken first brings each back.

Like `forbidden` a net for accidents and not a wall. What the snapshot covers runs, and its result names the way
back; what it cannot cover (another folder, a remote, a database) is asked about, in every mode.
"""

import glob
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

from kimi_agent.guard.destructive import forbidden, target_files
from kimi_agent.guard.destructive.command_table import FILE_DESTROYERS, LOSSY_COMMANDS, Loss
from kimi_agent.guard.destructive.forbidden import CommandContext, command_basename, operands
from kimi_agent.guard.destructive.git_commands import find_git_losses
from kimi_agent.guard.destructive.protected_paths import ShellState, expand_word, split_path, unescape_pattern
from kimi_agent.guard.destructive.target_files import COPY_COMMANDS, MAX_PATH_MATCHES
from kimi_agent.guard.shell.launchers import LAUNCHERS, SHELL_KEYWORDS, SHELL_PROGRAMS
from kimi_agent.guard.shell.lexer import CommandSegment, ShellWord, parse_shell, unparse_words

MAX_COMMANDS = 400
_RUN_BY_LAUNCHERS = (LOSSY_COMMANDS, COPY_COMMANDS, SHELL_PROGRAMS, LAUNCHERS, SHELL_KEYWORDS)
_OVERWRITING = frozenset({">", ">|", "&>", "<>"})
_INTERPRETERS = re.compile(r"python[\d.]*|node|perl|ruby|php|deno|bun")
_REMOVING_CODE = re.compile(
    r"\b(rmtree|os\.(remove|unlink|rmdir|removedirs)|\.unlink\(|rmSync|rmdirSync|unlinkSync|rm_rf?|FileUtils\.rm|unlink)\b"
)
_SQL = re.compile(
    r"\b(drop\s+(table|database|schema|view|index|column|user|role)|truncate\s+(table\s+)?\w|delete\s+from\s+[\w.\"`\[\]]+\s*(;|$|['\"])"
    r"|flushall\b|flushdb\b|dropdatabase\(|\.drop\(|deletemany\(\s*\{\s*\})",
    re.IGNORECASE,
)
_SQL_CLIENTS = frozenset(
    {"psql", "mysql", "mariadb", "sqlcmd", "sqlplus", "mongo", "mongosh", "redis-cli", "clickhouse-client", "duckdb"}
    | {"cockroach", "cqlsh", "usql", "pgcli", "mycli", "bq", "snowsql", "sqlite3", "litecli", "sqlite", "valkey-cli"}
)
_FILE_DATABASES = frozenset({"sqlite3", "sqlite", "litecli", "duckdb"})
PathExists = Callable[[str], bool]


def find_losses(
    text: str, *, home: Path, workspace: Path, cwd: Path | None = None, exists: PathExists = os.path.lexists
) -> tuple[Loss, ...]:
    """What the shell text `text` is seen to destroy, each loss once. It starts in `cwd`, by default the workspace.

    `exists` says whether there is a file at an absolute path: writing a new one loses nothing.
    """
    if len(text) > forbidden.MAX_SHELL_CHARS:
        return ()  # `find_forbidden_effect` has it asked about
    state = ShellState(home, workspace, (split_path(cwd or workspace),))
    return tuple(dict.fromkeys(_LossFinder(exists).of_text(text, state, 0)))


class _LossFinder:
    """Reads a text and the texts within it, a bounded number of commands."""

    def __init__(self, exists: PathExists) -> None:
        self._left = MAX_COMMANDS
        self._exists = exists

    def of_text(self, text: str, state: ShellState, depth: int) -> Iterator[Loss]:
        if depth > forbidden.MAX_COMMAND_DEPTH:
            return
        reading = parse_shell(text)
        state = replace(state, variables=forbidden.collect_assignments(reading.segments, state))
        for inner in reading.substitutions:
            yield from self.of_text(inner, state, depth + 1)
        fed: list[CommandSegment] = []
        for segment in reading.segments:
            self._left -= 1
            if self._left < 0:
                return
            fed = [*fed[-3:], segment] if segment.before in {"|", "|&"} else [segment]
            yield from self._of_segment(CommandContext(segment, fed[:-1], state, depth))
            if "|" not in (segment.before, segment.after):
                state = replace(state, cwds=forbidden.follow_cd(segment, state))

    def _of_segment(self, context: CommandContext) -> Iterator[Loss]:
        segment, state = context.segment, context.state
        for operator, target in zip(segment.redirects, segment.targets, strict=False):
            if operator in _OVERWRITING:
                for text in _plains(target, state):
                    yield from self._overwritten(text, state)
        yield from self._of_command(forbidden.skip_assignments(segment.words), context)

    def _of_command(self, words: tuple[ShellWord, ...], context: CommandContext) -> Iterator[Loss]:
        if not words or context.depth > forbidden.MAX_COMMAND_DEPTH:
            return
        name, args = command_basename(expand_word(words[0], context.state)[0].text), words[1:]
        if name in SHELL_PROGRAMS or name in {"eval", "trap"}:
            for payload in forbidden.find_payloads(name, args, context):
                yield from self.of_text(payload, context.state, context.depth + 1)
        elif name in LAUNCHERS or name in SHELL_KEYWORDS:
            yield from self._of_wrapped(name, words, context)
        yield from self._of_name(name, args, context)

    def _of_wrapped(self, wrapper: str, words: tuple[ShellWord, ...], context: CommandContext) -> Iterator[Loss]:
        if wrapper == "find":
            return
        state, deeper = context.state, replace(context, depth=context.depth + 1)
        remote = wrapper in {"ssh", "su", "runuser", "chroot", "nsenter"}
        for at, word in enumerate(words[1:], 1):
            text = unparse_words((word,))
            found = list(self.of_text(text, state, deeper.depth)) if re.search(r"\s", text) else []
            name = command_basename(expand_word(word, state)[0].text)
            if not found and (name == "git" or any(name in each for each in _RUN_BY_LAUNCHERS)):
                found = list(self._of_command(words[at:], deeper))
            if found:
                yield from (replace(loss, covered=False) if remote and not loss.refs else loss for loss in found)
                return

    def _of_name(self, name: str, args: tuple[ShellWord, ...], context: CommandContext) -> Iterator[Loss]:
        state = context.state
        texts = [_plain(word, state) for word in args]
        if name == "git":
            yield from find_git_losses(texts)
        elif name in LOSSY_COMMANDS:
            loss = LOSSY_COMMANDS[name](texts)
            if loss is not None:
                yield from self._placed(loss, operands(args), name, state)
        elif name == "find":
            yield from self._of_find(args, texts, state)
        elif name in COPY_COMMANDS:
            files = [_plain(word, state) for word in operands(args)]
            for target in target_files.find_copy_targets(name, files, texts, self._is_folder(state)):
                yield from self._overwritten(target, state)
        elif name in _SQL_CLIENTS:
            yield from self._of_database(name, texts, context)
        if _INTERPRETERS.fullmatch(name) and any(map(_REMOVING_CODE.search, texts)):
            yield Loss("deletes files from within its code")

    def _of_database(self, name: str, texts: list[str], context: CommandContext) -> Iterator[Loss]:
        sent = [*texts, *context.segment.documents]
        for each in context.fed:
            sent += [unparse_words(each.words[1:]), *each.documents]
        found = next((match for text in sent if (match := _SQL.search(text))), None)
        if found is None:
            return
        what = f"runs {' '.join(found[0].split())[:40]!r} on a database"
        files = [text for text in texts if not text.startswith("-") and not re.search(r"[\s;]", text)][:1]
        if name in _FILE_DATABASES and files and (path := self._inside(files[0], context.state)) is not None:
            yield Loss(what, paths=(path,), exact=True)
        else:
            yield Loss(what, covered=False)

    def _placed(self, loss: Loss, words: tuple[ShellWord, ...], name: str, state: ShellState) -> Iterator[Loss]:
        """`loss` with the files that it destroys: those of the workspace can be kept, also ignored ones; others not."""
        if loss.covered is False or name not in FILE_DESTROYERS:
            yield loss
            return
        paths: list[str] = []
        harmful, exact = not words, bool(words)
        for value in (each for word in words for each in expand_word(word, state)):
            text = "" if value.has_unknown else unescape_pattern(value.text)
            if text and self._is_scratch(text, state):
                continue
            harmful = True
            matches, all_ = self._matching(value.text, state) if text else ([""], True)
            exact = exact and all_
            for each in matches:
                path = self._inside(each, state)
                if path is None:
                    yield Loss(f"{loss.what} outside the workspace ({each[:80]})", covered=False)
                elif not path:
                    exact = False
                else:
                    paths.append(path)
        if harmful:
            yield replace(loss, paths=tuple(dict.fromkeys(paths)), exact=exact)

    def _of_find(self, args: tuple[ShellWord, ...], texts: list[str], state: ShellState) -> Iterator[Loss]:
        removes = "-delete" in texts or any(
            text in ("-exec", "-execdir", "-ok") and command_basename(after) in {"rm", "unlink", "shred"}
            for text, after in pairwise(texts)
        )
        if not removes:
            return
        first = next((at for at, text in enumerate(texts) if re.match(r"-[a-z]{2}|[(!]", text)), len(texts))
        patterns = [after for text, after in pairwise(texts) if text in ("-name", "-iname")]
        for loss in self._placed(Loss("deletes the files that it finds"), args[:first], "find", state):
            if not loss.covered:
                yield loss
                continue
            roots = [_absolute(text, state) for text in texts[:first] or ["."]]
            paths, all_ = target_files.walk_find_matches(roots, patterns)
            inside = [path for each in paths if (path := self._inside(each, state))]
            yield replace(loss, paths=tuple(inside), exact=all_ and "" not in texts[:first])

    def _matching(self, pattern: str, state: ShellState) -> tuple[list[str], bool]:
        """What a word of the shell stands for, and whether that is all; a pattern stands for what it matches now."""
        text = unescape_pattern(pattern)
        if not glob.has_magic(re.sub(r"\[.\]", "", pattern)) or text.startswith("~"):
            return [text], True
        whole = pattern if pattern.startswith("/") else f"{glob.escape(_absolute('.', state))}/{pattern}"
        found = list(islice(glob.iglob(whole), MAX_PATH_MATCHES + 1))  # noqa: PTH207 - a shell's * passes over dotfiles too
        return found[:MAX_PATH_MATCHES], len(found) <= MAX_PATH_MATCHES

    def _is_scratch(self, text: str, state: ShellState) -> bool:
        """Whether a path is nobody's work, wherever the shell may be: below a folder for temporary files."""
        places = [replace(state, cwds=(cwd,)) for cwd in state.cwds]
        if None in state.cwds and not text.startswith("/"):
            return False
        return all(self._inside(text, at) is None and target_files.is_scratch(_absolute(text, at)) for at in places)

    def _is_folder(self, state: ShellState) -> Callable[[str], bool]:
        return lambda text: bool(text) and self._exists(_absolute(text, state) + "/.")

    def _overwritten(self, text: str, state: ShellState) -> Iterator[Loss]:
        if re.fullmatch(r"\d+|-|", text) or text.startswith("/dev/") or self._is_scratch(text, state):
            return
        path = self._inside(text, state)
        if path is None:
            if self._exists(_absolute(text, state)):
                yield Loss(f"overwrites {text[:80]}, outside the workspace", covered=False)
        elif path and self._exists(os.path.join(state.workspace, path)):
            yield Loss(f"overwrites {path[:80]}", paths=(path,), exact=True)

    def _inside(self, text: str, state: ShellState) -> str | None:
        """`text` as a path of the workspace ("" for one that is not known), None where it lies outside."""
        if not text:
            return ""
        root = os.path.realpath(state.workspace)
        whole = _absolute(text, state)
        for each in (whole, os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole))):
            if each == root or each.startswith(root.rstrip("/") + "/"):
                return each[len(root) :].lstrip("/")
        return None


def _absolute(text: str, state: ShellState) -> str:
    if text == "~" or text.startswith("~/"):
        text = str(state.home) + text[1:]
    cwd = next((each for each in state.cwds if each is not None), None)
    parts = () if cwd is None else (re.sub(r"\[(.)\]", r"\1", part) for part in cwd)
    folder = state.workspace if cwd is None else Path("/", *parts)
    return os.path.normpath(os.path.join(folder, text))


def _plains(word: ShellWord, state: ShellState) -> list[str]:
    """What `word` may be, as plain texts; "" for what only the run shows."""
    return ["" if each.has_unknown else unescape_pattern(each.text) for each in expand_word(word, state)]


def _plain(word: ShellWord, state: ShellState) -> str:
    return _plains(word, state)[0]
