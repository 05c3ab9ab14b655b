"""Commands that destroy work: what each would lose, and whether a snapshot taken first brings it back.

Like `catastrophe` a net for accidents and not a wall. What the snapshot covers runs, and its result names the way back;
what it cannot cover (another folder, a remote, a database) is asked about, in every mode.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from kimi_agent.guard.catastrophe import MAX_CHARS, MAX_DEPTH, assigned, bare_name, moved, operands, payloads
from kimi_agent.guard.irreplaceable import Place, parts_of, spellings
from kimi_agent.guard.lossy import LOSSY, UNDONE, Loss
from kimi_agent.guard.lossy_git import git_losses
from kimi_agent.guard.shellwords import Segment, Word, read_shell, source
from kimi_agent.guard.wrappers import KEYWORDS, SHELLS, WRAPPERS

__all__ = ["Loss", "losses"]

MAX_COMMANDS = 400
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
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
Exists = Callable[[str], bool]


def losses(
    text: str, *, home: Path, workspace: Path, cwd: Path | None = None, exists: Exists = os.path.lexists
) -> tuple[Loss, ...]:
    """What the shell text `text` is seen to destroy, each loss once. It starts in `cwd`, by default the workspace.

    `exists` tells whether there is a file at an absolute path: writing a new one loses nothing.
    """
    if len(text) > MAX_CHARS:
        return ()  # `catastrophe` has it asked about
    place = Place(home, workspace, (parts_of(cwd or workspace),))
    return tuple(dict.fromkeys(_Reader(exists).of_text(text, place, 0)))


class _Reader:
    """Reads a text and the texts within it, a bounded number of commands."""

    def __init__(self, exists: Exists) -> None:
        self._left = MAX_COMMANDS
        self._exists = exists

    def of_text(self, text: str, place: Place, depth: int) -> Iterator[Loss]:
        if depth > MAX_DEPTH:
            return
        reading = read_shell(text)
        place = replace(place, variables=assigned(reading.segments, place))
        for inner in reading.substitutions:
            yield from self.of_text(inner, place, depth + 1)
        fed: list[Segment] = []
        for segment in reading.segments:
            self._left -= 1
            if self._left < 0:
                return
            fed = [*fed[-3:], segment] if segment.before in {"|", "|&"} else [segment]
            yield from self._of_segment(segment, fed[:-1], place, depth)
            if "|" not in (segment.before, segment.after):
                place = replace(place, cwds=moved(segment, place))

    def _of_segment(self, segment: Segment, fed: list[Segment], place: Place, depth: int) -> Iterator[Loss]:
        for operator, target in zip(segment.redirects, segment.targets, strict=False):
            if operator in _OVERWRITING:
                yield from self._overwritten(target, place)
        words = segment.words
        while words and words[0][0].kind == "text" and not words[0][0].quoted and _ASSIGNMENT.match(words[0][0].text):
            words = words[1:]
        yield from self._of_command(words, segment, fed, place, depth)

    def _of_command(
        self, words: tuple[Word, ...], segment: Segment, fed: list[Segment], place: Place, depth: int
    ) -> Iterator[Loss]:
        if not words or depth > MAX_DEPTH:
            return
        name, args = bare_name(spellings(words[0], place)[0].text), words[1:]
        if name in SHELLS or name in {"eval", "trap"}:
            for payload in payloads(name, args, segment, fed):
                yield from self.of_text(payload, place, depth + 1)
        elif name in WRAPPERS or name in KEYWORDS:
            yield from self._of_wrapped(name, words, segment, fed, place, depth)
        yield from self._of_name(name, args, segment, fed, place)

    def _of_wrapped(
        self, wrapper: str, words: tuple[Word, ...], segment: Segment, fed: list[Segment], place: Place, depth: int
    ) -> Iterator[Loss]:
        if wrapper == "find":
            return
        remote = wrapper in {"ssh", "su", "runuser", "chroot", "nsenter"}
        for at, word in enumerate(words[1:], 1):
            text = source((word,))
            found = list(self.of_text(text, place, depth + 1)) if re.search(r"\s", text) else []
            name = bare_name(spellings(word, place)[0].text)
            if not found and (name == "git" or name in LOSSY or name in SHELLS or name in WRAPPERS or name in KEYWORDS):
                found = list(self._of_command(words[at:], segment, fed, place, depth + 1))
            if found:
                yield from (replace(loss, covered=False) if remote and not loss.refs else loss for loss in found)
                return

    def _of_name(
        self, name: str, args: tuple[Word, ...], segment: Segment, fed: list[Segment], place: Place
    ) -> Iterator[Loss]:
        texts = [_plain(word, place) for word in args]
        if name == "git":
            yield from git_losses(texts)
        elif name in LOSSY:
            loss = LOSSY[name](texts)
            if loss is not None:
                yield from self._placed(loss, operands(args), name, place)
        elif name == "find":
            if "-delete" in texts or any(
                text in ("-exec", "-execdir", "-ok") and bare_name(after) in {"rm", "unlink", "shred"}
                for text, after in pairwise(texts)
            ):
                first = next((at for at, text in enumerate(texts) if re.match(r"-[a-z]{2}|[(!]", text)), len(texts))
                yield from self._placed(Loss("deletes the files that it finds"), args[:first], name, place)
        elif name in _SQL_CLIENTS:
            yield from self._of_database(name, texts, segment, fed, place)
        if _INTERPRETERS.fullmatch(name) and any(map(_REMOVING_CODE.search, texts)):
            yield Loss("deletes files from within its code")

    def _of_database(
        self, name: str, texts: list[str], segment: Segment, fed: list[Segment], place: Place
    ) -> Iterator[Loss]:
        sent = [
            *texts,
            *segment.documents,
            *(source(each.words[1:]) for each in fed),
            *(d for each in fed for d in each.documents),
        ]
        found = next((match for text in sent if (match := _SQL.search(text))), None)
        if found is None:
            return
        what = f"runs {' '.join(found[0].split())[:40]!r} on a database"
        files = [text for text in texts if not text.startswith("-") and not re.search(r"[\s;]", text)][:1]
        if name in _FILE_DATABASES and files and (path := self._inside(files[0], place)) is not None:
            yield Loss(what, paths=(path,))
        else:
            yield Loss(what, covered=False)

    def _placed(self, loss: Loss, targets: tuple[Word, ...], name: str, place: Place) -> Iterator[Loss]:
        """`loss` where it strikes: files of the workspace are kept, also ignored ones; others cannot be."""
        if loss.covered is False or name not in UNDONE:
            yield loss
            return
        paths: list[str] = []
        for word in targets[1:] if name in {"chmod", "chown"} else targets:
            for text in _plains(word, place):
                if _scratch(text):
                    continue
                path = self._inside(text, place)
                if path is None:
                    yield Loss(f"{loss.what} outside the workspace ({text[:80]})", covered=False)
                elif path and not _regenerated(path):
                    paths.append(path)
        if not targets or any(not _scratch(text) for word in targets for text in _plains(word, place)):
            yield replace(loss, paths=tuple(dict.fromkeys(paths)))

    def _overwritten(self, target: Word, place: Place) -> Iterator[Loss]:
        for text in _plains(target, place):
            if re.fullmatch(r"\d+|-|", text) or text.startswith("/dev/") or _scratch(text):
                continue
            path = self._inside(text, place)
            if path is None:
                if self._exists(_absolute(text, place)):
                    yield Loss(f"overwrites {text[:80]}, outside the workspace", covered=False)
            elif path and self._exists(os.path.join(place.workspace, path)):
                yield Loss(f"overwrites {path[:80]}", paths=(path,))

    def _inside(self, text: str, place: Place) -> str | None:
        """`text` as a path of the workspace ("" for one that is not known), None where it lies outside."""
        if not text:
            return ""
        root = os.path.realpath(place.workspace)
        whole = _absolute(text, place)
        for each in (whole, os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole))):
            if each == root or each.startswith(root.rstrip("/") + "/"):
                return each[len(root) :].lstrip("/")
        return None


def _absolute(text: str, place: Place) -> str:
    if text == "~" or text.startswith("~/"):
        text = str(place.home) + text[1:]
    cwd = next((each for each in place.cwds if each is not None), None)
    folder = (
        "/" + "/".join(re.sub(r"\[(.)\]", r"\1", part) for part in cwd) if cwd is not None else str(place.workspace)
    )
    return os.path.normpath(os.path.join(folder, text))


def _plains(word: Word, place: Place) -> list[str]:
    """What `word` may be, as plain texts; "" for what only the run shows."""
    return ["" if each.hole else re.sub(r"\[([*?\[{},~])\]", r"\1", each.text) for each in spellings(word, place)]


def _plain(word: Word, place: Place) -> str:
    return _plains(word, place)[0]


def _scratch(text: str) -> bool:
    """Whether a path is nobody's work: below a folder for temporary files."""
    return bool(re.match(r"/(tmp|var/tmp|dev/shm|private/tmp)/.", os.path.normpath(text) if text else ""))


def _regenerated(path: str) -> bool:
    """Whether a build or an installation makes it again; so much of it is not kept where git ignores it."""
    return any(_GENERATED.fullmatch(part) for part in path.split("/"))


_GENERATED = re.compile(
    r"node_modules|__pycache__|\.(pytest|mypy|ruff)_cache|\.hypothesis|\.tox|\.nox|\.?venv|env|build|dist|target|out|bin|obj"
    r"|\.next|\.nuxt|\.cache|\.parcel-cache|\.turbo|\.gradle|coverage|htmlcov|\.coverage.*|\.eggs|.*\.egg-info|.*\.py[co]"
    r"|.*\.(o|a|so|log|tmp|class)|tmp|temp|logs?|\.DS_Store|vendor|Pods|DerivedData|_build|deps"
)
