"""Spend totals added up from the log: by scope, purpose and step, with the provider cache's hits and misses.

Everything counts that an agent of the session paid for: sub-agents, summaries, attempts that broke off. What a fork
copied was paid by the session that it came from; what was rewound was paid all the same.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from kimi_agent.log.events import Answered, Asked, Opened, Said, Spent, Stamped, TurnEnded
from kimi_agent.log.messages import Assistant, Usage, User
from kimi_agent.log.questions import Question
from kimi_agent.log.readers.spending import find_local_midnight
from kimi_agent.model.cost.prices import Price

SpendScope = Literal["turn", "run", "session", "day"]
SpendPurpose = Literal["answer", "compaction", "wrap_up", "sub-agent"]
MAIN_AGENT = "main"
_RECENT_COUNT = 20
_MIN_SAMPLES = 5
"""So many costs must be known before one can be called a spike."""
_SPIKE_FACTOR = 4.0
_MIN_SPIKE_USD = 0.05
_MIN_SPIKE_TOKENS = 100_000


@dataclass(frozen=True)
class Amount:
    """Money and tokens (input and output); `unpriced` are those of the tokens whose price is not known."""

    usd: float = 0.0
    tokens: int = 0
    unpriced: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.usd + other.usd, self.tokens + other.tokens, self.unpriced + other.unpriced)


@dataclass(frozen=True)
class Cost:
    """Cost of one request or one step: money (None where it is not known), input that was not cached, all tokens."""

    usd: float | None
    uncached: int
    tokens: int = 0

    def find_usual(self, others: Iterable["Cost"]) -> "Cost | None":
        """The median of `others` where this one cost far more (over fourfold); else None."""
        usd = [other.usd for other in others if other.usd is not None]
        if self.usd is not None:
            usual = sorted(usd)[len(usd) // 2] if len(usd) >= _MIN_SAMPLES else self.usd
            return Cost(usual, 0) if self.usd > max(_SPIKE_FACTOR * usual, _MIN_SPIKE_USD) else None
        uncached = [other.uncached for other in others]
        middle = sorted(uncached)[len(uncached) // 2] if len(uncached) >= _MIN_SAMPLES else self.uncached
        return Cost(None, middle) if self.uncached > max(_SPIKE_FACTOR * middle, _MIN_SPIKE_TOKENS) else None


@dataclass(frozen=True)
class CostSpike:
    """A request or a step that cost far more than usual; `miss` is why the cache did not hold, "" where it did."""

    what: Literal["request", "step"]
    cost: Cost
    usual: Cost
    miss: str = ""


@dataclass(frozen=True)
class CacheStats:
    """The provider cache's hits: `held` of the `due` tokens came from it, `misses` counts by reason.

    In USD, as far as prices are known: `saved` is what its tokens would have cost besides, `wasted` what was paid for
    tokens that were due and did not come from it.
    """

    due: int = 0
    held: int = 0
    saved: float = 0.0
    wasted: float = 0.0
    misses: Mapping[str, int] = field(default_factory=dict)


class SpendTotals:
    """A listener that adds up the `Spent` records of every agent of a session. `clock` is Unix time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.prices: dict[str, Price] = {}
        self.steps = 0
        self.in_turn = False
        self.spikes: list[CostSpike] = []
        self.recent_steps: deque[Cost] = deque(maxlen=_RECENT_COUNT)
        self._clock = clock
        self._today = find_local_midnight(clock())
        self._purposes: dict[SpendScope, dict[SpendPurpose, Amount]] = {}
        self._turn = _TurnClock()
        self._step: list[Spent] = []
        self._alike: dict[SpendPurpose, deque[Cost]] = {}
        self._begin_session()

    def _begin_session(self) -> None:
        self._purposes = {"turn": {}, "run": {}, "session": {}, "day": {}}
        self.usage = Usage()
        self.requests = 0
        self._cache = CacheStats()
        self._cached: dict[str, int] = {}
        self._missed: dict[str, int] = {}

    def begin_run(self) -> None:
        """Begin a run: what came before belongs to an earlier process, and is not reported."""
        self._purposes["run"] = {}
        self.spikes.clear()
        self._step.clear()

    def hear(self, stamped: Stamped) -> Literal["begins", "ends", ""]:
        """Add one record; says whether a turn of the main agent begins or ends with it."""
        main = stamped.agent == MAIN_AGENT
        match stamped.event:
            case Spent() as spent:
                self._spent(stamped, spent)
            case Said(User(), queued=0) if main:
                self._purposes["turn"] = {}
                self._turn, self.steps, self.in_turn = _TurnClock(stamped.at), 0, True
                return "begins"
            case Said(Assistant()) if main:
                self.steps += 1
            case Asked(question):
                self._turn.asked(question, stamped.at)
            case Answered(question):
                self._turn.answered(question, stamped.at)
            case TurnEnded() if main:
                self.in_turn = False
                return "ends"
            case Opened(forked_from=source) if source and stamped.seq and main:
                self._begin_session()
        return ""

    def purposes(self, scope: SpendScope) -> Mapping[SpendPurpose, Amount]:
        """The amounts that this session alone spent within `scope`, by purpose."""
        if scope == "day" and self._today != (today := find_local_midnight(self._clock())):
            self._today, self._purposes["day"] = today, {}
        return self._purposes[scope]

    def spent(self, scope: SpendScope) -> Amount:
        """The amount that this session alone spent within `scope`."""
        return sum(self.purposes(scope).values(), Amount())

    def turn_s(self) -> float:
        """How long the turn has worked, without the time that it waited for a person; 0 where none runs."""
        return self._turn.worked_s(self._clock()) if self.in_turn else 0.0

    def end_step(self) -> None:
        """Close a step: the main agent has its next answer, and what was paid since the one before is one step."""
        if not self._step:
            return
        step, self._step = self._step, []
        cost = _sum_costs(step)
        like = cost.find_usual(self.recent_steps)
        if like is not None and not any(spike.what == "request" for spike in self.spikes):
            self.spikes.append(CostSpike("step", cost, like))
        self.recent_steps.append(cost)

    def cache(self) -> CacheStats:
        """How the cache did in this session."""
        saved = wasted = 0.0
        for model, price in self.prices.items():
            difference = (price.input - price.cached) / 1_000_000
            saved += self._cached.get(model, 0) * difference
            wasted += self._missed.get(model, 0) * difference
        return CacheStats(self._cache.due, self._cache.held, saved, wasted, dict(self._cache.misses))

    def _spent(self, stamped: Stamped, spent: Spent) -> None:
        tokens = spent.usage.input + spent.usage.output
        paid = Amount(spent.usd or 0.0, tokens, tokens if spent.usd is None else 0)
        purpose: SpendPurpose = spent.purpose if stamped.agent == MAIN_AGENT else "sub-agent"
        self.purposes("day")  # a new day begins with nothing
        for scope, found in self._purposes.items():
            if scope != "day" or stamped.at >= self._today:
                found[purpose] = found.get(purpose, Amount()) + paid
        self.usage += spent.usage
        self.requests += 1
        self._step.append(spent)
        alike = self._alike.setdefault(purpose, deque(maxlen=_RECENT_COUNT))
        cost = _sum_costs([spent])
        if (like := cost.find_usual(alike)) is not None:
            self.spikes.append(CostSpike("request", cost, like, spent.miss))
        alike.append(cost)
        if not spent.estimated:
            self._cache_did(spent)

    def _cache_did(self, spent: Spent) -> None:
        held = min(spent.due, spent.usage.cached)
        misses = dict(self._cache.misses)
        if spent.miss:
            reason = "idle" if spent.miss.startswith("idle") else spent.miss
            misses[reason] = misses.get(reason, 0) + 1
        self._cache = CacheStats(self._cache.due + spent.due, self._cache.held + held, misses=misses)
        if spent.usd is not None:
            self._cached[spent.model] = self._cached.get(spent.model, 0) + spent.usage.cached
            missed = spent.due - held if spent.miss else 0
            self._missed[spent.model] = self._missed.get(spent.model, 0) + missed


@dataclass
class _TurnClock:
    """When a turn began, and how long it waited for answers of a person; several may be asked at once."""

    began_at: float = 0.0
    _waited_s: float = 0.0
    _asked_at: float = 0.0
    _open: list[Question] = field(default_factory=list)

    def asked(self, question: Question, at: float) -> None:
        if not self._open:
            self._asked_at = at
        self._open.append(question)

    def answered(self, question: Question, at: float) -> None:
        if question in self._open:  # a no of the policy was never asked
            self._open.remove(question)
            if not self._open:
                self._waited_s += at - self._asked_at

    def worked_s(self, now: float) -> float:
        waiting_s = now - self._asked_at if self._open else 0.0
        return now - self.began_at - self._waited_s - waiting_s


def _sum_costs(spent: list[Spent]) -> Cost:
    usd = [each.usd for each in spent if each.usd is not None]
    uncached = sum(each.usage.input - each.usage.cached for each in spent)
    tokens = sum(each.usage.input + each.usage.output for each in spent)
    return Cost(sum(usd) if len(usd) == len(spent) else None, uncached, tokens)
