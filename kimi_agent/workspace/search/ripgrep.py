"""Search over the workspace with ripgrep, or slowly in Python where that is missing."""

import asyncio
import os
import re
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from kimi_agent.errors import ToolError
from kimi_agent.workspace.files.access_rules import PathDenial, deny_nothing
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.process.process_runner import ProcessRunner, StreamedResult
from kimi_agent.workspace.search import python_grep, ripgrep_output
from kimi_agent.workspace.search.ripgrep_output import MatchGroup, MatchLine, MatchPage, order_by_path
from kimi_agent.workspace.search.search_target import SearchTarget, file_flags

SearchMode = Literal["content", "files", "count"]
CaseMode = Literal["smart", "sensitive", "ignore"]

MAX_COLUMNS = 500
MAX_LIMIT = 1_000
MAX_OFFSET = 5_000
MAX_CONTEXT = 20
_MAX_UNREADABLE = 5


@dataclass(frozen=True)
class FileMatches:
    """One file: how many of its lines match, and those of its lines that are on the page."""

    path: str
    matches: int
    lines: tuple[MatchLine, ...] = ()


@dataclass(frozen=True)
class Found:
    """One page of a search, and what there is besides it.

    `first` to `last` count the matches (or files) on the page from 1; `matches` and `files` are totals, without the
    `secret_matches` of `secret_files`, whose names say that they hold secrets, and the `denied_matches` of so many
    `denied_files`, which a rule of the person's denies. `ignored_matches` is None where nobody looked. `partial` says
    why not all was searched.
    """

    hits: tuple[FileMatches, ...]
    first: int
    last: int
    matches: int
    files: int
    searched: int
    where: str
    engine: Literal["ripgrep", "python"]
    ignored_matches: int | None = None
    secret_matches: int = 0
    secret_files: tuple[str, ...] = ()
    denied_matches: int = 0
    denied_files: int = 0
    unreadable: tuple[str, ...] = ()
    partial: str = ""


class Ripgrep:
    """Search over the files of the workspace. Paths and globs are relative to its root.

    `denied` are the rules that deny a path to a search alone; those that deny reading it are known to `files`.
    """

    def __init__(
        self,
        files: Files,
        runner: ProcessRunner,
        *,
        denied: PathDenial = deny_nothing,
        engine: Sequence[str] = (),
    ) -> None:
        self._files = files
        self._denied = denied
        self._runner = runner
        self._engine = tuple(engine)

    async def search(
        self,
        pattern: str,
        *,
        path: str = ".",
        glob: str = "",
        file_type: str = "",
        mode: SearchMode = "content",
        case: CaseMode = "smart",
        literal: bool = False,
        multiline: bool = False,
        before: int = 0,
        after: int = 0,
        include_ignored: bool = False,
        limit: int = 100,
        offset: int = 0,
        timeout_s: float = 30.0,
    ) -> Found:
        """Lines that match a regular expression. Raises ToolError for a bad pattern and a bad path, NeedsConsent."""
        before, after = (max(0, min(lines, MAX_CONTEXT)) for lines in (before, after))
        limit, offset = max(1, min(limit, MAX_LIMIT)), max(0, min(offset, MAX_OFFSET))
        target = self._target(path)
        flags = _match_flags(pattern, case=case, literal=literal, multiline=multiline)
        flags += [*file_flags(glob, file_type), *target.pass_over]
        output_flags = ["--count"] if mode != "content" else ["--line-number", f"-B{before}", f"-A{after}"]
        order = order_by_path if mode == "content" else ripgrep_output.order_by_count
        ignore_flags = ["--no-ignore"] if include_ignored else self._ignore_flags()
        if glob and not glob.startswith("!") and not include_ignored:
            target = replace(target, only=await self._list_paths(target, glob, file_type, timeout_s))
        page = MatchPage(offset + limit, after, order, target.hidden)
        result = await self._run([*flags, *output_flags, *ignore_flags], pattern, target, page, timeout_s)
        if mode == "content":
            hits = _content(page.groups, offset, limit, before, after)
            shown = sum(line.match for hit in hits for line in hit.lines)
        else:
            hits = page.groups[offset : offset + limit]
            shown = len(hits)
        hidden = None
        if not page.matches and not include_ignored and not result.timed_out:
            hidden = await self._count_ignored(flags, pattern, replace(target, only=None))
        return Found(
            hits=tuple(FileMatches(target.name(group.path), group.matches, tuple(group.lines)) for group in hits),
            first=offset + 1 if shown else 0,
            last=offset + shown if shown else 0,
            matches=page.matches,
            files=page.files,
            searched=page.searched if target.only is None else len(target.only),
            where=target.shown,
            engine="python" if self._is_slow else "ripgrep",
            ignored_matches=hidden,
            secret_matches=page.secret_matches,
            secret_files=tuple(sorted(map(target.name, page.secret_files))),
            denied_matches=page.denied_matches,
            denied_files=page.denied_files,
            unreadable=_unreadable(result.errors),
            partial=_partial(result, timeout_s),
        )

    async def files(
        self, path: str, *, glob: str = "", include_ignored: bool = False, timeout_s: float = 30.0
    ) -> list[str]:
        """The files below `path`, workspace-relative, sorted; hidden ones too, `.git` and what is ours never.

        Names that are not UTF-8 come with surrogate escapes, as `os` spells them. Raises ToolError, NeedsConsent.
        """
        target = self._target(path)
        found = await self._list_paths(target, glob, "", timeout_s, include_ignored=include_ignored)
        return sorted(target.spelled(name) for name in found if target.hidden(name) != "private")

    async def _list_paths(
        self, target: SearchTarget, glob: str, file_type: str, timeout_s: float, *, include_ignored: bool = False
    ) -> frozenset[bytes]:
        """The files that a search would look at. A glob brings ignored files back, hence a second list without it."""

        async def listed(*flags: str) -> frozenset[bytes]:
            names = ripgrep_output.NulPaths()
            argv = [*self._program(), "--files", *_ALWAYS_FLAGS, *flags, *target.pass_over, "--", target.argument]
            result = await self._runner.feed(argv, names.feed, timeout_s=timeout_s, cwd=self._files.root)
            if result.timed_out:
                raise ToolError("timeout", f"listing {target.shown} took over {timeout_s:g} s", "take a smaller folder")
            return frozenset(names.paths)

        if include_ignored:
            return await listed(*file_flags(glob, file_type), "--no-ignore")
        if not glob or glob.startswith("!"):
            return await listed(*file_flags(glob, file_type), *self._ignore_flags())
        with_glob = listed(*file_flags(glob, file_type), *self._ignore_flags())
        return frozenset.intersection(
            *await asyncio.gather(with_glob, listed(*file_flags("", ""), *self._ignore_flags()))
        )

    @property
    def _is_slow(self) -> bool:
        return self._program()[-1] == python_grep.__file__

    async def _run(
        self, words: list[str], pattern: str, target: SearchTarget, page: MatchPage, timeout_s: float
    ) -> StreamedResult:
        argv = [*self._program(), *_ALWAYS_FLAGS, *_SEARCH_FLAGS, *words, f"--regexp={pattern}", "--", target.argument]
        result = await self._runner.feed(argv, page.feed, timeout_s=timeout_s, cwd=self._files.root)
        page.finish()
        # Exit 1 is "no match" and 2 "something could not be read", but 2 without statistics is "nothing was done".
        if result.exit_code not in (0, 1, None) and not page.searched and not page.matches and result.errors:
            raise _refusal(result.errors, target)
        return result

    async def _count_ignored(self, match_flags: list[str], pattern: str, target: SearchTarget) -> int | None:
        """How many lines match in files that the search passed over, or None if five seconds were not enough."""
        page = MatchPage(1, 0, order_by_path, target.hidden)
        result = await self._run([*match_flags, "--count", "--no-ignore"], pattern, target, page, 5.0)
        return None if result.timed_out else page.matches

    def _target(self, path: str) -> SearchTarget:
        resolved = self._files.readable(path)
        if rule := self._denied(str(resolved)):
            raise ToolError("denied", f"the rule {rule} denies searching {path!r}", "go on without it")
        match self._files.kind(path):
            case "missing":
                close = self._files.similar(path)
                hint = f"similar: {', '.join(close)}" if close else "list_files shows what there is"
                raise ToolError("missing", f"there is no {path!r}", hint)
            case "other":
                raise ToolError("not_regular", f"{path!r} is neither a file nor a folder", "search a folder or a file")
            case _:
                return SearchTarget(resolved, self._files.shown(path), self._files, self._denied)

    def _ignore_flags(self) -> list[str]:
        """Outside of a git repository, flags by which ignore files count in the workspace, but not those above it."""
        root = self._files.root
        if any((folder / ".git").exists() for folder in (root, *root.parents)):
            return []
        return ["--no-require-git", "--no-ignore-parent"]

    def _program(self) -> tuple[str, ...]:
        """The program: the ripgrep installed with us, else the one on PATH, else our own slow substitute."""
        if not self._engine:
            beside = Path(sysconfig.get_path("scripts")) / "rg"
            found = str(beside) if os.access(beside, os.X_OK) else self._runner.which("rg")
            self._engine = (found,) if found else (sys.executable, "-I", python_grep.__file__)
        return self._engine


_NEWLINE = re.compile(r"(?<!\\)(?:\\\\)*\\n")
_TILDE_LINE = re.compile(r"^~+\n", re.MULTILINE)
_ALWAYS_FLAGS = ("--no-config", "--color=never", "--hidden", "--null")
# The engine "auto" takes PCRE2 for what ripgrep's own cannot do (look-around), where it is built in.
_SEARCH_FLAGS = (
    *("--engine=auto", "--with-filename", "--no-heading", "--no-context-separator", "--stats"),
    *(f"--max-columns={MAX_COLUMNS}", "--max-columns-preview"),
)


def _match_flags(pattern: str, *, case: CaseMode, literal: bool, multiline: bool) -> list[str]:
    """Flags that say what matches."""
    if not pattern:
        raise ToolError("bad_arguments", "pattern is empty", "give a regular expression, or list_files to see files")
    words = [{"smart": "--smart-case", "sensitive": "--case-sensitive", "ignore": "--ignore-case"}[case]]
    words += ["--fixed-strings"] if literal else []
    words += ["--multiline-dotall"] if multiline else []
    # A newline in the pattern says it too. (Without the flag PCRE2 would quietly find nothing.)
    spans = "\n" in pattern or (not literal and _NEWLINE.search(pattern) is not None)
    words += ["--multiline"] if multiline or spans else []
    return words


def _content(groups: list[MatchGroup], offset: int, limit: int, before: int, after: int) -> list[MatchGroup]:
    """The groups with only those lines that are on the page: its matches, and the context of these."""
    page: list[MatchGroup] = []
    passed = 0
    for group in groups:
        matches = [line.number for line in group.lines if line.match]
        wanted = matches[max(0, offset - passed) : max(0, offset + limit - passed)]
        passed += len(matches)
        if not wanted:
            continue
        near = {number for match in wanted for number in range(match - before, match + after + 1)}
        others = set(matches) - set(wanted)
        lines = [line for line in group.lines if line.number in near and line.number not in others]
        page.append(MatchGroup(group.path, group.matches, lines))
    return page


def _partial(result: StreamedResult, timeout_s: float) -> str:
    if result.timed_out:
        return f"stopped after {timeout_s:g} s"
    return f"stopped after {ripgrep_output.MAX_MATCHING_LINES:,} matches" if result.stopped else ""


def _unreadable(errors: str) -> tuple[str, ...]:
    """What could not be read, from ripgrep's own words; the first few, then how many more."""
    lines = [line.removeprefix("rg: ").removeprefix("./") for line in errors.splitlines() if line.strip()]
    more = len(lines) - _MAX_UNREADABLE
    return (*lines[:_MAX_UNREADABLE], *([f"{more} more"] if more > 0 else []))


def _refusal(errors: str, target: SearchTarget) -> ToolError:
    text = _TILDE_LINE.sub("", errors).removeprefix("rg: ").strip()[:2_000]
    if "multiline" in text:
        return ToolError("bad_arguments", text, "pass multiline=true")
    if "regex" in text:
        return ToolError("bad_arguments", text, "mend the pattern; literal=true searches the text as it stands")
    if "unrecognized file type" in text:
        return ToolError("bad_arguments", text, "use glob instead, for example glob='*.py'")
    if "glob" in text:
        return ToolError("bad_arguments", text, "mend the glob")
    return ToolError("io", f"searching {target.shown} failed: {text}")
