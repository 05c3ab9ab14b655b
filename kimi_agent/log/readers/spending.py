"""Payments of all sessions of this machine, read from their logs; records of other kinds are not parsed.

What was paid in a session that is removed is kept beside the sessions, as a log of these records alone. A request
that went out and whose end the log does not know counts by its estimate: its process was killed, or it is
under way.

A log names its session in its last `Opened`; a fork begins with the records of the session that it was copied from,
still under that one's name. So a payment is known by session, agent, number and time, and counts once, however often
it was copied.
"""

import os
import stat
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import structs

from kimi_agent.log.events import Dispatched, Event, Opened, Spent, Stamped, Unanswered
from kimi_agent.log.messages import Usage
from kimi_agent.log.store.codec import encode_record
from kimi_agent.log.store.durable_io import make_private_folder, open_to_read, sync_data, sync_folder, write_all
from kimi_agent.log.store.log_scan import LogScan

_WANTED = (b'Spent"', b'Dispatched"', b'Unanswered"', b'Opened"')
_KEPT = (Opened, Dispatched, Unanswered, Spent)
_SLACK_S = 2.0
"""How far a file's time may lie before that of the record in it: file systems keep it more coarsely."""


@dataclass(frozen=True)
class Payment:
    """One request that was paid for: `at` in Unix seconds, `usd` None where its price was not known.

    `open` says that the log does not know its end.
    """

    at: float
    session: str
    workspace: str
    agent: str
    model: str
    usage: Usage
    usd: float | None
    purpose: str
    estimated: bool
    open: bool = False


_Key = tuple[str, str, int, float]


@dataclass
class _Log:
    """How far a log was read: the next byte, whose it is there, and what was found."""

    inode: int
    session: str
    workspace: str = ""
    at: int = 0
    payments: dict[_Key, Payment] = field(default_factory=dict)
    open: list[_Key] = field(default_factory=list)

    def settle(self) -> None:
        """The request that went out last is paid for as another record says, or not at all."""
        if self.open:
            self.payments.pop(self.open.pop(), None)


def find_cut_requests(log: Iterable[Stamped]) -> list[Dispatched]:
    """The requests of one agent's log whose process was killed before their end; a fork's are its original's.

    `Spent` or `Unanswered` says what became of a `Dispatched`; one that neither follows was cut.
    """
    open_requests: list[Dispatched] = []
    for stamped in log:
        match stamped.event:
            case Dispatched() as sent:
                open_requests.append(sent)
            case Spent() | Unanswered() if open_requests:
                open_requests.pop()
            case Opened():
                open_requests.clear()
            case _:
                pass
    return open_requests


def estimate_cut_request(sent: Dispatched) -> Spent:
    """What a request counts as of whose answer nothing was kept: all of its input, at the full price."""
    return Spent(sent.model, Usage(input=sent.input), sent.usd, sent.purpose, estimated=True)


class SpendingReader:
    """Reads the logs below `state`/sessions; each byte once, so that asking again is cheap."""

    def __init__(self, state: Path) -> None:
        self._folders = (state / "sessions", _kept_folder(state))
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

    def others(self, at: float, session: str, *, claimed: Collection[str] = ()) -> tuple[float, int]:
        """What all sessions but `session` spent since `at`: USD as far as prices are known, and tokens.

        Without what is under way in the sessions that are `claimed`: who has their claims counts it.
        """
        others = (each for each in self.since(at) if each.session != session)
        spent = [each for each in others if not (each.open and each.session in claimed)]
        return sum(each.usd or 0.0 for each in spent), sum(each.usage.input + each.usage.output for each in spent)

    def _touched(self, at: float) -> Iterator[tuple[str, os.stat_result]]:
        """The files that were written to since `at`. Logs of sub-agents lie beside the main one."""
        for workspace in (each for folder in self._folders for each in _folders(folder)):
            for session in _folders(workspace):
                for entry, status in _entries(session):
                    is_log = entry.name.endswith(".jsonl") and stat.S_ISREG(status.st_mode)
                    if is_log and status.st_mtime >= at - _SLACK_S:
                        yield entry.path, status


def keep_spending(folder: Path) -> None:
    """Keep what was paid in the session of `folder` (STATE/sessions/KEY/ID), which is about to be removed.

    What was said in it goes. Raises OSError where it cannot be kept; then the session should stay.
    """
    kept = _kept_folder(folder.parents[2]) / folder.parent.name / folder.name
    for entry, status in _entries(folder):
        if not entry.name.endswith(".jsonl") or not stat.S_ISREG(status.st_mode):
            continue
        try:
            records = [structs.replace(each, event=_without_text(each.event)) for each in _read_spending(entry.path)]
        except OSError:  # what cannot be read was never counted
            continue
        if all(isinstance(each.event, Opened) for each in records):
            continue
        make_private_folder(kept)
        fresh = kept / f".{entry.name}.new"
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            write_all(fd, b"".join(encode_record(each).data for each in records))
            sync_data(fd)
        finally:
            os.close(fd)
        fresh.replace(kept / entry.name)
        sync_folder(kept)


def _kept_folder(state: Path) -> Path:
    return state / "spending" / "removed"


def _without_text(event: Event) -> Event:
    return structs.replace(event, system="") if isinstance(event, Opened) else event


def _read_spending(path: str) -> Iterator[Stamped]:
    """The records of a log that say what was paid, and for which session."""
    with open_to_read(path) as fd:
        scan = LogScan(fd, lambda _: "", wanted=_is_wanted)
        yield from (each for each in scan if isinstance(each.event, _KEPT))


def _is_wanted(line: bytes, event: int) -> bool:
    return line.startswith(_WANTED, event)


def find_local_midnight(now: float) -> float:
    """When the local day of `now` began, as Unix time."""
    local = time.localtime(now)
    return time.mktime((local.tm_year, local.tm_mon, local.tm_mday, 0, 0, 0, 0, 0, -1))


def _read_on(path: str, log: _Log) -> None:
    """Take in what was written since. A record without its end is left for the next time: it may be written still."""
    with suppress(OSError), open_to_read(path) as fd:
        # A long system prompt lies in a blob, and is not wanted here.
        scan = LogScan(fd, lambda _: "", start=log.at, wanted=_is_wanted)
        for stamped in scan:
            _take(stamped, log)
        log.at = scan.end


def _take(stamped: Stamped, log: _Log) -> None:
    match stamped:
        case Stamped(event=Opened(session, workspace)):
            while log.open:  # of a fork: they are in the log of its original
                log.settle()
            log.session, log.workspace = session, workspace
        case Stamped(agent, seq, at, Dispatched(model, tokens, usd, purpose)):
            usage, key = Usage(input=tokens), (log.session, agent, seq, at)
            log.payments[key] = Payment(
                at, log.session, log.workspace, agent, model, usage, usd, purpose, estimated=True, open=True
            )
            log.open.append(key)
        case Stamped(event=Unanswered()):
            log.settle()
        case Stamped(agent, seq, at, Spent(model, usage, usd, purpose, estimated=estimated)):
            log.settle()
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
