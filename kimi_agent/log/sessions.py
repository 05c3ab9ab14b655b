"""The sessions of one workspace: find, list, search, create, resume, copy, remove and export them."""

import os
import random
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from kimi_agent.errors import UserError
from kimi_agent.layers import workspace_key
from kimi_agent.log.events import Opened, Stamped
from kimi_agent.log.readers.export import export_json, export_markdown
from kimi_agent.log.readers.search_query import Query
from kimi_agent.log.readers.search_sessions import SearchHit, search_session
from kimi_agent.log.readers.spending import keep_spending
from kimi_agent.log.readers.summary import SessionSummary, read_session_summary
from kimi_agent.log.store.durable_io import sync_data
from kimi_agent.log.store.fork import fork_session
from kimi_agent.log.store.lock import SessionInUse, SessionLock
from kimi_agent.log.store.log_scan import list_logs, read_events
from kimi_agent.log.store.logfile import LogFile
from kimi_agent.log.store.session import Session
from kimi_agent.printable import format_time, join_some

_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
"""The letters of an id: none that is easily taken for another."""
_MOST_CANDIDATES = 8
_MOST_OF_ONE = 5
"""Hits of one session, so that it does not hide the others."""
_SUMMARY_LINES = 8


class Sessions:
    """`STATE/sessions/WORKSPACE KEY/`, with a folder for each session."""

    def __init__(self, state: Path, workspace: Path, *, now: Callable[[], float], rng: random.Random) -> None:
        self.workspace = Path(os.path.realpath(workspace))
        self._all = state / "sessions"
        self.folder = self._all / workspace_key(self.workspace)
        self._now = now
        self._rng = rng

    def list(self) -> tuple[SessionSummary, ...]:
        """The sessions of this workspace, the last used first."""
        return _summaries([self.folder])

    def list_all(self) -> tuple[SessionSummary, ...]:
        """The sessions of all workspaces, the last used first."""
        return _summaries(_folders(self._all))

    def find(self, word: str) -> SessionSummary:
        """The one session that `word` means: its id, the start of it, "last", or (part of) its title.

        Raises UserError, with the candidates, where there is none or more than one.
        """
        all_ = self.list()
        if not all_:
            raise UserError(f"there is no session of {self.workspace} yet{self._elsewhere(word)}")
        if word == "last":  # one that was opened and left without a word is not what people mean
            return next((one for one in all_ if one.turns), all_[0])
        title = word.casefold()
        readings = (
            [one for one in all_ if one.id == word],
            [one for one in all_ if word and one.id.startswith(word)],
            [one for one in all_ if word and one.title.casefold() == title],
            [one for one in all_ if word and title in one.title.casefold()],
        )
        for meant in readings:
            if len(meant) == 1:
                return meant[0]
            if meant:
                raise UserError(f"{word!r} means more than one session; say which: {_named(meant)}")
        raise UserError(f"there is no session {word!r} here{self._elsewhere(word)}; there are: {_named(all_)}")

    def _elsewhere(self, word: str) -> str:
        """Where a session of this id lies, if it is another workspace's."""
        if re.fullmatch(r"[0-9]{8}-[0-9]{6}-[a-z0-9]+", word):
            for folder in _folders(self._all):
                one = read_session_summary(folder / word)
                if one is not None:
                    return f" (it belongs to {one.workspace}: use -C)"
        return ""

    def search(
        self, query: Query, *, everything: bool, most: int
    ) -> Iterator[tuple[SessionSummary, tuple[SearchHit, ...], int]]:
        """Each session that holds what is looked for, the last written first: the newest of its hits, and how many.

        At most `most` hits in all are given; `everything` looks at the sessions of every workspace.
        """
        workspaces = _folders(self._all) if everything else [self.folder]
        folders = [session for workspace in workspaces for session in _folders(workspace)]
        for folder in sorted(folders, key=_written, reverse=True):
            if most <= 0:
                return
            found, total = search_session(folder, query, most=min(most, _MOST_OF_ONE))
            one = read_session_summary(folder) if found else None
            if one is not None:
                most -= len(found)
                yield one, found, total

    def create(self, *, model: str, version: str, system: str = "") -> Session:
        """A new session of this workspace."""
        folder = self._new_folder()
        opened = Opened(folder.name, str(self.workspace), model, version, system)
        return Session.create(folder, opened, now=self._now)

    def resume(self, word: str) -> Session:
        """The session that `word` means, open for writing. Raises UserError, SessionInUse among them."""
        return Session.resume(self.find(word).folder, now=self._now)

    def fork(self, word: str) -> Session:
        """An open copy of the session that `word` means, which may be in use."""
        return fork_session(self.find(word).folder, self._new_folder(), now=self._now)

    def remove(self, word: str) -> SessionSummary:
        """Delete a session with all that lies beside its log. Raises SessionInUse where it is open somewhere."""
        found = self.find(word)
        with ExitStack() as locked:
            for log in sorted(found.folder.glob("*.jsonl")):
                lock = SessionLock(log.with_suffix(".lock"), session=found.id, now=self._now)
                file = LogFile(log, lock, sync_data)
                try:
                    file.open()
                except SessionInUse as error:
                    raise UserError(f"{str(error).partition(';')[0]}; end it first", 1) from error
                except OSError as error:
                    raise UserError(f"session {found.id} cannot be removed: {error.strerror} ({log})", 1) from error
                locked.callback(file.close)
            try:
                keep_spending(found.folder)
            except OSError as error:
                why = f"what was paid in it cannot be kept ({error.strerror or error})"
                raise UserError(f"session {found.id} cannot be removed: {why}; make room first", 1) from error
            try:
                shutil.rmtree(found.folder)
            except OSError as error:
                why = error.strerror or str(error)
                raise UserError(f"session {found.id} cannot be removed whole: {why} ({error.filename})", 1) from error
        return found

    def log(self, word: str) -> Iterator[Stamped]:
        """The records of the session that `word` means, which may be in use. Raises UserError."""
        yield from _read_log(self.find(word).folder / "main.jsonl")

    def export(self, word: str, form: Literal["markdown", "brief", "json"] = "markdown") -> str:
        """The session as one text; JSON holds the records of its sub-agents too, each log behind the other.

        "brief" is Markdown that leaves out most of a compaction's summary.
        """
        if form != "json":
            most = _SUMMARY_LINES if form == "brief" else None
            return export_markdown(self.log(word), clock=format_time, summary_lines=most)
        return export_json(stamped for log in list_logs(self.find(word).folder) for stamped in _read_log(log))

    def _new_folder(self) -> Path:
        """Sorts by time, and is free: two sessions of one second differ in their letters."""
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(self._now()))
        while True:
            folder = self.folder / f"{stamp}-{''.join(self._rng.choices(_LETTERS, k=4))}"
            if not os.path.lexists(folder):
                return folder


def _read_log(path: Path) -> Iterator[Stamped]:
    try:
        yield from read_events(path)
    except OSError as error:
        raise UserError(f"session {path.parent.name} cannot be read: {error.strerror} ({path})", 1) from error


def _folders(folder: Path) -> list[Path]:
    try:
        return [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    except OSError:
        return []


def _summaries(workspaces: Iterable[Path]) -> tuple[SessionSummary, ...]:
    sessions = (read_session_summary(session) for workspace in workspaces for session in _folders(workspace))
    found = [session for session in sessions if session is not None]
    return tuple(sorted(found, key=lambda session: (session.last_used, session.id), reverse=True))


def _written(folder: Path) -> tuple[float, str]:
    """When a session was last written to; quicker than reading it."""
    try:
        return (folder / "main.jsonl").stat().st_mtime, folder.name
    except OSError:
        return 0.0, folder.name


def _named(found: Iterable[SessionSummary]) -> str:
    return join_some([f"{one.id} ({one.title})" if one.title else one.id for one in found], _MOST_CANDIDATES)
