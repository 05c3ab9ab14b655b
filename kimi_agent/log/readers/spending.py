"""Payments of all sessions of this machine, read from their logs; records of other kinds are not parsed.

A log names its session in its last `Opened`; a fork begins with the records of the session that it was copied from,
still under that one's name. So a payment is known by session, agent, number and time, and counts once, however often
it was copied.
"""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from kimi_agent.log.events import Opened, Spent, Stamped
from kimi_agent.log.messages import Usage
from kimi_agent.log.store.durable_io import open_to_read
from kimi_agent.log.store.log_scan import LogScan

_WANTED = (b'Spent"', b'Opened"')
_SLACK_S = 2.0
"""How far a file's time may lie before that of the record in it: file systems keep it more coarsely."""


@dataclass(frozen=True)
class Payment:
    """One request that was paid for: `at` in Unix seconds, `usd` None where its price was not known."""

    at: float
    session: str
    workspace: str
    agent: str
    model: str
    usage: Usage
    usd: float | None
    purpose: str
    estimated: bool


_Key = tuple[str, str, int, float]


@dataclass
class _Log:
    """How far a log was read: the next byte, whose it is there, and what was found."""

    inode: int
    session: str
    workspace: str = ""
    at: int = 0
    payments: dict[_Key, Payment] = field(default_factory=dict)


class SpendingReader:
    """Reads the logs below `state`/sessions; each byte once, so that asking again is cheap."""

    def __init__(self, state: Path) -> None:
        self._sessions = state / "sessions"
        self._logs: dict[str, _Log] = {}

    def since(self, at: float) -> list[Payment]:
        """Every payment since `at` (Unix seconds), oldest first. What cannot be read is passed over."""
        found: dict[_Key, Payment] = {}
        for path, status in self._touched(at):
            log = self._logs.get(path)
            if log is None or log.inode != status.st_ino or status.st_size < log.at:  # new, replaced, or cut
                log = self._logs[path] = _Log(status.st_ino, Path(path).parent.name)
            if status.st_size > log.at:
                _read_on(path, log)
            found |= log.payments
        payments = (payment for payment in found.values() if payment.at >= at)
        return sorted(payments, key=lambda payment: (payment.at, payment.session, payment.agent))

    def others(self, at: float, session: str) -> tuple[float, int]:
        """What all sessions but `session` spent since `at`: USD as far as prices are known, and tokens."""
        spent = [each for each in self.since(at) if each.session != session]
        return sum(each.usd or 0.0 for each in spent), sum(each.usage.input + each.usage.output for each in spent)

    def _touched(self, at: float) -> Iterator[tuple[str, os.stat_result]]:
        """The files that were written to since `at`. Logs of sub-agents lie beside the main one."""
        for workspace in _folders(self._sessions):
            for session in _folders(workspace):
                for entry, status in _entries(session):
                    is_log = entry.name.endswith(".jsonl") and stat.S_ISREG(status.st_mode)
                    if is_log and status.st_mtime >= at - _SLACK_S:
                        yield entry.path, status


def find_local_midnight(now: float) -> float:
    """When the local day of `now` began, as Unix time."""
    local = time.localtime(now)
    return time.mktime((local.tm_year, local.tm_mon, local.tm_mday, 0, 0, 0, 0, 0, -1))


def _read_on(path: str, log: _Log) -> None:
    """Take in what was written since. A record without its end is left for the next time: it may be written still."""
    with suppress(OSError), open_to_read(path) as fd:
        # A long system prompt lies in a blob, and is not wanted here.
        scan = LogScan(fd, lambda _: "", start=log.at, wanted=lambda line, event: line.startswith(_WANTED, event))
        for stamped in scan:
            _take(stamped, log)
        log.at = scan.end


def _take(stamped: Stamped, log: _Log) -> None:
    match stamped:
        case Stamped(event=Opened(session, workspace)):
            log.session, log.workspace = session, workspace
        case Stamped(agent, seq, at, Spent(model, usage, usd, purpose, estimated=estimated)):
            payment = Payment(at, log.session, log.workspace, agent, model, usage, usd, purpose, estimated)
            log.payments[log.session, agent, seq, at] = payment


def _folders(folder: Path | str) -> list[str]:
    found = ((entry, stat.S_ISDIR(status.st_mode)) for entry, status in _entries(folder))
    return [entry.path for entry, is_folder in found if is_folder and not entry.name.startswith(".")]


def _entries(folder: Path | str) -> Iterator[tuple["os.DirEntry[str]", os.stat_result]]:
    """What lies in a folder; what cannot be read is passed over."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                yield entry, entry.stat(follow_symlinks=False)
