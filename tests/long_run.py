"""One session of thousands of steps over real HTTP, with faults and compactions: for a test, and for `make bench`."""

import asyncio
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from kimi_agent.app.bootstrap import load_setup
from kimi_agent.app.open_agent import open_agent
from kimi_agent.guard.tool_wrappers.approval import refuse_all
from kimi_agent.log.events import Compacted, Opened, Retrying, Said, Shortened, Stamped, TurnEnded
from kimi_agent.log.messages import Assistant, user_message
from kimi_agent.log.sessions import Sessions
from kimi_agent.log.store.session import Session
from kimi_agent.model.mock_server import MockServer
from kimi_agent.model.retrying.rate_limiter import RateLimiter
from kimi_agent.model.tape.tape_format import Fault, Tape

WINDOW = 32_000
FAULTS = (
    Fault(status=429, body={"error": {"message": "max RPM: 100000", "type": "rate_limit_reached_error"}}),
    Fault(status=500),
    Fault(status=503, body="<html><title>Bad gateway</title></html>"),
    Fault(cut=1),
    Fault(cut=3, clean=True),
    Fault(cut_bytes=150),
    Fault(malformed=1),
    Fault(drop=True),
    Fault(stall=1),
)
TAPE = """\
{"agent": "*", "if": {"note_contains": "Make room"}, "say": "Marks were set, one after the other. {{place}}"}
{"repeat": COUNT, "reason": "On to mark {{step}}.", "say": "Mark {{step}}.",
 "calls": [{"name": "set_mark", "args": {"number": "{{step}}"}}]}
{"say": "All marks are set."}
""".replace('"say": "Mark {{step}}.",\n ', '"say": "Mark {{step}}.", ')
TOOL = '''\
"""A tool of the user's own: it leaves a trace in the world, so that nothing can be done twice unseen."""

from typing import Annotated

from kimi_agent.tool import Context, Field, tool


@tool(effect="network")
async def set_mark(ctx: Context, number: Annotated[str, Field("Which.")]) -> str:
    """Set a mark."""
    with open("MARKS", "a") as file:
        file.write(number + "\\n")
    return f"mark {number} is set\\n" + "and this is what it looks like\\n" * 40
'''


@dataclass(frozen=True)
class Played:
    """What came of a run: one time (s) and one peak (bytes in use now) for each step, and what was told."""

    ended: TurnEnded
    marks: Sequence[str]
    answers: int
    retries: int
    made_room: int
    compactions: int
    at: Sequence[float]
    resident: Sequence[int]

    @property
    def took(self) -> list[float]:
        """Seconds of each step."""
        return [later - earlier for earlier, later in pairwise(self.at)]


class _Skipping:
    """A clock that sleeping only moves on."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def now(self) -> float:
        return time.monotonic() + self._skipped

    async def sleep(self, seconds: float) -> None:
        self._skipped += max(0.0, seconds)
        await asyncio.sleep(0)


class _Watching:
    """A listener that counts, and looks at the process after each answer."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self.resident: list[int] = []
        self.answers = self.retries = self.made_room = self.compactions = 0

    def __call__(self, stamped: Stamped) -> None:
        match stamped.event:
            case Said(Assistant()):
                self.answers += 1
                self.at.append(time.process_time())
                self.resident.append(resident())
            case Retrying():
                self.retries += 1
            case Shortened():
                self.made_room += 1
            case Compacted():
                self.compactions += 1
            case _:
                pass


def resident() -> int:
    """Bytes of memory that this process has now; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def new_session(sessions: Sessions, opened: Opened) -> Session:
    return sessions.create(model=opened.model, version=opened.version, system=opened.system)


async def play(
    folder: Path,
    steps: int,
    *,
    share: float = 0.02,
    faults: Sequence[Fault] = FAULTS,
    window: int = WINDOW,
    seed: int = 4,
) -> Played:
    """Run `steps` steps in `folder` (made new), of which `share` meet one of the faults."""
    marks, workspace = folder / "marks", folder / "work"
    (folder / "home" / "config" / "tools").mkdir(parents=True)
    workspace.mkdir()
    tape = folder / "tape.jsonl"
    tape.write_text(TAPE.replace("COUNT", str(steps)))
    rng = random.Random(seed)

    def chaos(number: int) -> Fault | None:
        return rng.choice(faults) if rng.random() < share else None

    async with MockServer(Tape.load(tape), window=window, chaos=chaos, received=lambda request: None) as server:
        environ = {**os.environ, "KIMI_AGENT_HOME": str(folder / "home"), "KIMI_BASE_URL": server.base_url}
        sets = (f"window={window}", "mode=yolo", f"max_steps={steps + 10}", "clocks.no_bytes_s=1")
        setup = load_setup({}, sets=sets, directory=str(workspace), environ=environ, trust=False)
        (setup.user_folders.config / "tools").mkdir(parents=True, exist_ok=True)
        (setup.user_folders.config / "tools" / "set_mark.py").write_text(TOOL.replace("MARKS", str(marks)))
        watching, clock = _Watching(), _Skipping()
        home = await open_agent(
            setup, new_session, refuse_all("nobody"), [watching], unattended=True,
            limiter=RateLimiter(clock=clock.now, sleep=clock.sleep),
        )  # fmt: skip
        try:
            ended = await home.run_turn(user_message("Set every mark."))
        finally:
            await home.aclose()
    return Played(
        ended,
        marks.read_text().split("\n")[:-1],
        watching.answers,
        watching.retries,
        watching.made_room,
        watching.compactions,
        watching.at,
        watching.resident,
    )
