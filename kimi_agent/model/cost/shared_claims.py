"""Shared claims: what the requests under way may cost at most, told to the other processes of this machine.

A folder with two files a process: `ID.lock`, which it holds locked while it lives, and `ID.json`, its claim. Where
nobody holds the lock, the process is gone: both are removed, so that no claim stands for ever, and what was under way
there is in its session's log (see `log.readers.spending`). A claim that is damaged or gone counts by that log, too.
Who adds up and claims holds the lock of the whole folder meanwhile, so that two never take the same money.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from kimi_agent.log.store.durable_io import make_private_folder
from kimi_agent.model.cost.spend_totals import Amount

MAX_TURN_WAIT_S = 5.0
"""How long to wait for the folder's lock: it is held for milliseconds, but for a process that was stopped."""
_RETRY_S = 0.01
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class SharedClaims:
    """The claim of this process for one session, and those of the others. Where nothing can be written, it is alone.

    `others` and `sessions` (whose they are) are as of the last `look`. `undisturbed` says in a turn that no other
    process had one since this one's last.
    """

    def __init__(self, folder: Path, session: str) -> None:
        self.others = Amount()
        self.sessions: frozenset[str] = frozenset()
        self.undisturbed = False
        self._folder = folder
        self._session = session
        self._id = secrets.token_hex(8)
        self._lock = -1

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Keep the other processes from claiming; after 5 s without the lock it goes on without."""
        fd = -1
        with contextlib.suppress(OSError):
            make_private_folder(self._folder)
            fd = os.open(self._folder / "turn", _FLAGS, 0o600)
        try:
            tries = int(MAX_TURN_WAIT_S / _RETRY_S) if fd >= 0 else 0
            while tries and not _take(fd):
                tries -= 1
                await asyncio.sleep(_RETRY_S)
            self.undisturbed = tries > 0 and os.pread(fd, 64, 0) == self._id.encode()
            if tries:
                with contextlib.suppress(OSError):
                    os.pwrite(fd, self._id.encode(), 0)
            yield
        finally:
            if fd >= 0:
                os.close(fd)

    def look(self) -> None:
        """Read the claims of the other processes, and remove those of processes that are gone."""
        others, sessions = Amount(), set[str]()
        with contextlib.suppress(OSError):
            for path in sorted(self._folder.glob("*.lock")):
                if path.stem != self._id and self._is_alive(path):
                    session, amount = _read_claim(path.with_suffix(".json"))
                    others += amount
                    sessions |= {session} if amount.tokens else set()
        self.others, self.sessions = others, frozenset(sessions)

    def tell(self, amount: Amount) -> None:
        """Claim `amount` for all that this process has under way; nothing is claimed where it cannot be written."""
        with contextlib.suppress(OSError):
            if self._lock < 0:
                self._enter()
            claim = {"session": self._session, "usd": amount.usd, "tokens": amount.tokens}
            fresh = self._folder / f".{self._id}.new"
            fresh.write_text(json.dumps(claim), "utf-8")
            fresh.replace(self._folder / f"{self._id}.json")

    def close(self) -> None:
        """Take the claim back for good."""
        if self._lock >= 0:
            with contextlib.suppress(OSError):
                self._remove(self._folder / f"{self._id}.lock")
            os.close(self._lock)
            self._lock = -1

    def _enter(self) -> None:
        """Make this process's lock; in its `turn`, or others might take it for one that nobody holds."""
        self._lock = os.open(self._folder / f"{self._id}.lock", _FLAGS | os.O_EXCL, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _is_alive(self, path: Path) -> bool:
        try:
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            if not _take(fd):
                return True
            self._remove(path)
            return False
        finally:
            os.close(fd)

    def _remove(self, lock: Path) -> None:
        lock.with_suffix(".json").unlink(missing_ok=True)
        lock.unlink(missing_ok=True)


def _take(fd: int) -> bool:
    """Whether the lock is ours now; it never waits."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _read_claim(path: Path) -> tuple[str, Amount]:
    """Whose claim it is, and what is claimed; nothing where it is damaged or gone."""
    try:
        held = json.loads(path.read_text("utf-8"))
        return str(held["session"]), Amount(max(0.0, float(held["usd"])), max(0, int(held["tokens"])))
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return "", Amount()
