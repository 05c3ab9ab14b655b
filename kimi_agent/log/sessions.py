"""The sessions of one workspace: find, list, search, create, resume, copy, remove and export them."""

import os
import random
import re
import shlex
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

from msgspec import structs

from kimi_agent.errors import UserError
from kimi_agent.layers import workspace_key
from kimi_agent.log.events import Opened, Stamped
from kimi_agent.log.readers.export import export_json, export_markdown
from kimi_agent.log.readers.search_query import Query
from kimi_agent.log.readers.search_sessions import SearchHit, search_session
from kimi_agent.log.readers.spending import keep_spending
from kimi_agent.log.readers.summary import SessionSummary, read_session_summary
from kimi_agent.log.store.fork import fork_session
from kimi_agent.log.store.log_scan import list_logs, read_events
from kimi_agent.log.store.remove import remove_session
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

        A damaged one too, by its id. Raises UserError, with the candidates, where there is none or more than one.
        """
        all_ = self.list()
        sound = [one for one in all_ if not one.damaged]
        if not all_ or (word == "last" and not sound):
            raise UserError(f"there is no session of {self.workspace} yet{self._elsewhere(word)}")
        if word == "last":  # one that was opened and left without a word is not what people mean
            return next((one for one in sound if one.turns), sound[0])
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
                if one is not None and one.workspace:
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
        """The session that `word` means, open for writing. Raises UserError, SessionInUse among them.

        A session's name is its folder's: one whose folder was copied or moved goes on as a fork of what it was.
        """
        session = Session.resume(self._find_sound(word).folder, now=self._now)
        opened, name = session.opened, session.folder.name
        if opened.session != name:
            here = str(self.workspace)
            session.emit(structs.replace(opened, session=name, workspace=here, forked_from=opened.session))
        return session

    def fork(self, word: str) -> Session:
        """An open copy of the session that `word` means, which may be in use."""
        return fork_session(self._find_sound(word).folder, self._new_folder(), now=self._now)

    def remove(self, word: str) -> SessionSummary:
        """Delete a session with all that lies beside its log, be it damaged. Raises UserError where it is in use."""
        found = self.find(word)
        remove_session(found.folder, now=self._now, keep=keep_spending)
        return found

    def log(self, word: str) -> Iterator[Stamped]:
        """The records of the session that `word` means, which may be in use. Raises UserError."""
        yield from _read_log(self._find_sound(word).folder / "main.jsonl")

    def export(self, word: str, form: Literal["markdown", "brief", "json"] = "markdown") -> str:
        """The session as one text; JSON holds the records of its sub-agents too, each log behind the other.

        "brief" is Markdown that leaves out most of a compaction's summary.
        """
        found = self._find_sound(word)
        if form != "json":
            most = _SUMMARY_LINES if form == "brief" else None
            log = _read_log(found.folder / "main.jsonl")
            return export_markdown(log, name=found.id, clock=format_time, summary_lines=most)
        return export_json(stamped for log in list_logs(found.folder) for stamped in _read_log(log))

    def _find_sound(self, word: str) -> SessionSummary:
        """As `find`, for whoever reads it. Raises UserError where it is damaged, too."""
        found = self.find(word)
        if found.damaged:
            mend = f"`kimi-agent sessions rm {shlex.quote(found.id)}` removes it"
            raise UserError(f"session {found.id} is damaged: {found.damaged}; {mend}", 1)
        return found

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
    labels = ((one.id, "damaged" if one.damaged else one.title) for one in found)
    return join_some([f"{id} ({label})" if label else id for id, label in labels], _MOST_CANDIDATES)
