"""Budget: a model wrapper that keeps spending within its caps, by admitting or refusing each request.

Before each request the worst case must fit: nothing of the input is cached, and the answer is as long as the request
lets it be; that length is cut down to what fits. What other agents have under way counts as spent until it is known,
for the day also what other processes have. So the overrun is never above one answer: the one that wraps up, or one
that was charged more than it was allowed. At a cap a person may raise it; where nobody is there, the turn ends.

A cap in dollars for a model whose price is not known would silently hold nothing, and a run that nobody watches
would never learn of it. So a person is asked whether to go on without it, and where nobody is there nothing is sent
at all.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from kimi_agent.errors import Stopped
from kimi_agent.log.ask_person import ask_person
from kimi_agent.log.events import Emit, Notice, Stamped
from kimi_agent.log.questions import Ask, Question
from kimi_agent.log.readers.spending import find_local_midnight
from kimi_agent.model.admission import wrap_with_admission
from kimi_agent.model.cost import budget_messages
from kimi_agent.model.cost.cap_reached import STOP_STATUSES, CapReached, StopDecision
from kimi_agent.model.cost.caps import SPEND_SCOPES, BudgetState, Cap, Caps, CapUnit, list_caps_set
from kimi_agent.model.cost.cost_recorder import estimate_request_tokens
from kimi_agent.model.cost.prices import Price
from kimi_agent.model.cost.shared_claims import SharedClaims
from kimi_agent.model.cost.spend_totals import MAIN_AGENT, Amount, SpendScope, SpendTotals
from kimi_agent.model.protocol import DEFAULT_OUTPUT_TOKENS, WRAP_UP_OUTPUT_TOKENS, Model, Request

MIN_ANSWER_TOKENS = 4_096
"""Tokens that must be left for an answer: with less it would end in the middle of a thought."""
WARN_AT_SHARE = 0.8
DAY_TOTAL_MAX_AGE_S = 2.0
"""The total of other sessions may be so old where no other process claims money of the day: to read a thousand of them
takes 40 ms."""
CLAIMS_POLL_S = 0.25


class Budget:
    """The budget of all agents of a session: give it the log at a resume, then `begin_run`, then each new event.

    `clock` is Unix time. `day` gives what other sessions spent today (USD, tokens), and `claims` what other processes
    may spend besides; they are looked at before a request where the day has a cap.
    """

    def __init__(
        self,
        caps: Caps,
        *,
        ask: Ask,
        emit: Emit,
        clock: Callable[[], float],
        day: Callable[[], tuple[float, int]],
        claims: SharedClaims,
    ) -> None:
        self.totals = SpendTotals(clock)
        self._caps = list_caps_set(caps)
        self._ask = ask
        self._emit = emit
        self._clock = clock
        self._day = day
        self._claims = claims
        self._today = find_local_midnight(clock())
        self._others = Amount()
        self._looked_at = -DAY_TOTAL_MAX_AGE_S
        self._warned: set[tuple[SpendScope, CapUnit]] = set()
        self._unpriced: set[str] = set()
        self._under_way: list[Amount] = []
        self._one_less = asyncio.Event()
        self._asking = asyncio.Lock()
        self._stop: StopDecision | None = None

    def hear(self, stamped: Stamped) -> None:
        """Take one record of any agent in."""
        turn = self.totals.hear(stamped)
        if turn:
            self._stop = None
        if turn == "begins":  # until then /cost shows the last one
            self._renew("turn")

    def begin_run(self) -> None:
        """Begin a run: from here on it is this process that spends."""
        self.totals.begin_run()

    def close(self) -> None:
        """Claim nothing of the day any more."""
        self._claims.close()

    def wrap(self, model: Model, price: Price | None, *, most_output: int = DEFAULT_OUTPUT_TOKENS) -> Model:
        """`model` within the caps. `most_output` is how long an answer may get that its request does not limit.

        The stream raises Stopped; requests that wrap up always pass.
        """
        if price is not None:
            self.totals.prices[model.name] = price

        @asynccontextmanager
        async def paid(request: Request) -> AsyncIterator[Request]:
            request, claim = await self._admit(request, model.name, price, most_output)
            try:
                yield request
            finally:
                self._settle(claim)
            self._report(request)

        return wrap_with_admission(model, paid)

    def state(self, *, look: bool = False) -> BudgetState:
        """The spending so far; with `look` other sessions of today are looked at anew, which reads files."""
        if look:
            self._look_around()
        totals = self.totals
        return BudgetState(
            {scope: self._spent(scope) for scope in SPEND_SCOPES},
            tuple(self._caps),
            totals.steps,
            totals.turn_s(),
            tuple(sorted(totals.purposes("session").items(), key=lambda each: (-each[1].usd, -each[1].tokens))),
            totals.usage,
            totals.requests,
            totals.cache(),
        )

    async def _admit(self, request: Request, model: str, price: Price | None, most: int) -> tuple[Request, Amount]:
        """The request as it may go out, and what it may cost: that is under way until `_settle`. Raises Stopped."""
        request = replace(request, tokens=request.tokens or estimate_request_tokens(request))
        wanted = request.max_output or most
        if request.purpose == "wrap_up":
            wanted = min(wanted, WRAP_UP_OUTPUT_TOKENS)
            async with self._turn_of_day():
                self._refuse_second_overrun()
                return replace(request, max_output=wanted), self._claim(price, request.tokens, wanted)
        await self._hold_dollars(request.agent, model, price)
        least = min(MIN_ANSWER_TOKENS, wanted)
        while True:
            async with self._turn_of_day():
                self._warn()
                fits = -1.0 if self._stop or self._block(request, price, least) else self._output_left(request, price)
                if fits >= least:
                    claim = self._claim(price, request.tokens, int(min(fits, wanted)))
                    return (replace(request, max_output=int(fits)) if fits < wanted else request), claim
            if not await self._pass_caps(request, price, least):
                await self._wait_for_less()

    def _settle(self, claim: Amount) -> None:
        """An attempt is over, and what it cost is known."""
        self._under_way.remove(claim)
        self._tell_claims()
        self._one_less.set()
        self._one_less = asyncio.Event()

    def _report(self, request: Request) -> None:
        """Report what a person should know after an answer: that it was dear, that a cap is near."""
        if request.agent == MAIN_AGENT and request.purpose == "answer":
            self.totals.end_step()
        while self.totals.spikes:
            self._emit(Notice(budget_messages.format_spike(self.totals.spikes.pop(0))))
        if request.purpose != "wrap_up":
            self._warn()

    async def _pass_caps(self, request: Request, price: Price | None, least: int) -> bool:
        """Ask at each cap that keeps the request back by what was spent; whether there was one. Raises Stopped."""
        blocked = False
        while self._stop is not None or self._block(request, price, least) is not None:
            async with self._asking:
                # While this request waited for its turn, a person may have decided.
                block = None if self._stop is not None else self._block(request, price, least)
                if block is not None:
                    await self._decide(block)
                self._end_if_decided(request.agent)
            blocked = True
        return blocked

    def _output_left(self, request: Request, price: Price | None) -> float:
        """The output tokens that fit now, beside all that is under way."""
        fits = (cap.output_left(self._claimed(cap.scope), price, request.tokens) for cap in self._money())
        return min(fits, default=math.inf)

    async def _wait_for_less(self) -> None:
        """Wait until less is under way: it will cost less than it may. Of other processes only a look can tell."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._one_less.wait(), CLAIMS_POLL_S if self._claims.others.tokens else None)

    def _refuse_second_overrun(self) -> None:
        """Raises Stopped where another process gives the one answer above the day's cap, or did since the decision."""
        shared = self._claims.others.tokens or (self._stop is not None and self._others != self._stop.others)
        for cap in self._money():
            if cap.scope == "day" and shared and cap.used(self._claimed("day")) > cap.limit:
                why = budget_messages.format_stop_reason(cap, self._used(cap), 0, asked=False)
                raise Stopped(why, *STOP_STATUSES[cap.unit])

    def _block(self, request: Request, price: Price | None, least: int) -> CapReached | None:
        """What keeps the request from going out, were nothing else under way."""
        for cap in self._caps:
            used = self._used(cap)
            full = self.totals.in_turn and used >= cap.limit
            match cap.unit:
                case "steps" if full and request.agent == MAIN_AGENT:
                    return CapReached(cap, used, 1)
                case "s" if full:
                    return CapReached(cap, used, 0)
                case "usd" | "tokens" if cap.output_left(self._spent(cap.scope), price, request.tokens) < least:
                    return CapReached(cap, used, cap.used(_worst_case(price, request.tokens, least)))
        return None

    async def _decide(self, block: CapReached) -> None:
        """Ask what to do at a cap: raise it, wrap up, or stop. Nobody there: wrap up, if that stays one answer."""
        cap = block.cap
        more = cap.more(block.used + block.need - cap.limit)
        others = cap.used(self._others) if cap.scope == "day" else 0.0
        why = budget_messages.format_cap_reason(cap, block.need, self.totals.purposes(cap.scope), others)
        title = budget_messages.format_cap_question(cap, block.used)
        choices = budget_messages.list_cap_choices(cap, more)
        decision = await ask_person(Question("budget", title, None, why, "", choices), self._ask, self._emit)
        if decision.allowed:
            key = cap.scope, cap.unit
            self._caps = [each.raised(more) if (each.scope, each.unit) == key else each for each in self._caps]
            self._warned.discard(key)
            return
        nobody = decision.choice < 0 and decision.by == "policy"
        wraps_up = decision.choice == 1 or (nobody and self.totals.steps > 0 and not self._overrun())
        note = budget_messages.format_wrap_up_note(cap) if wraps_up else ""
        reason = budget_messages.format_stop_reason(cap, block.used, block.need, asked=not nobody)
        self._stop = StopDecision(reason, cap.unit, note, self._others)

    async def _hold_dollars(self, agent: str, model: str, price: Price | None) -> None:
        """See that a cap in dollars can be held for this model, or that a person goes on without. Raises Stopped."""
        cap = next((cap for cap in self._caps if cap.unit == "usd"), None)
        if cap is None or price is not None or model in self._unpriced:
            return
        async with self._asking:
            if self._stop is None and model not in self._unpriced:
                why = budget_messages.format_unpriced_reason(model, cap)
                title, choices = "Go on without a cap in dollars?", budget_messages.UNPRICED_CHOICES
                question = Question("budget", title, None, why, "", choices)
                if (await ask_person(question, self._ask, self._emit)).allowed:
                    self._unpriced.add(model)
                else:
                    self._stop = StopDecision(f"Stopped: {why}", "usd", "", self._others)
            self._end_if_decided(agent)

    def _end_if_decided(self, agent: str) -> None:
        """Raises Stopped, for each request until the turn ends; one that belongs to no turn decides for itself."""
        if (stop := self._stop) is not None:
            if not self.totals.in_turn:
                self._stop = None
            raise stop.error(agent)

    def _claim(self, price: Price | None, size: int, output: int) -> Amount:
        claim = _worst_case(price, size, output)
        self._under_way.append(claim)
        self._tell_claims()
        return claim

    def _tell_claims(self) -> None:
        if self._has_day_cap:
            self._claims.tell(sum(self._under_way, Amount()))

    @property
    def _has_day_cap(self) -> bool:
        return any(cap.scope == "day" for cap in self._caps)

    def _money(self) -> list[Cap]:
        return [cap for cap in self._caps if cap.unit in ("usd", "tokens")]

    def _used(self, cap: Cap) -> float:
        match cap.unit:
            case "steps":
                return self.totals.steps
            case "s":
                return self.totals.turn_s()
            case "usd" | "tokens":
                return cap.used(self._spent(cap.scope))

    def _spent(self, scope: SpendScope) -> Amount:
        return self.totals.spent(scope) + (self._others if scope == "day" else Amount())

    def _claimed(self, scope: SpendScope) -> Amount:
        """What is spent within `scope`, and what may be by all that is under way."""
        others = self._claims.others if scope == "day" else Amount()
        return self._spent(scope) + sum(self._under_way, others)

    def _overrun(self) -> bool:
        """Whether more was spent than was allowed: then the one answer of overrun has been given already."""
        return any(cap.used(self._spent(cap.scope)) > cap.limit for cap in self._money())

    @asynccontextmanager
    async def _turn_of_day(self) -> AsyncIterator[None]:
        """Where the day has a cap: look what other sessions spent and claim, and keep them from claiming meanwhile."""
        if not self._has_day_cap:
            yield
            return
        async with self._claims.turn():
            before = self._claims.sessions
            self._claims.look()
            alone = self._claims.undisturbed and not before and not self._claims.sessions
            if not (alone and 0 <= self._clock() - self._looked_at < DAY_TOTAL_MAX_AGE_S):
                self._look_around()
            yield

    def _look_around(self) -> None:
        self._looked_at = self._clock()
        usd, tokens = self._day()
        self._others = Amount(usd, tokens)
        if self._today != (today := find_local_midnight(self._clock())):
            self._today = today
            self._renew("day")

    def _renew(self, scope: SpendScope) -> None:
        """A new turn, or a new day: its caps are those that were set."""
        self._caps = [replace(cap, limit=cap.first) if cap.scope == scope else cap for cap in self._caps]
        self._warned = {each for each in self._warned if each[0] != scope}

    def _warn(self) -> None:
        """Warn once for each cap that most of it is used."""
        for cap in self._caps:
            used = self._used(cap)
            if WARN_AT_SHARE <= round(used / cap.limit, 6) < 1 and (cap.scope, cap.unit) not in self._warned:
                self._warned.add((cap.scope, cap.unit))
                self._emit(Notice(budget_messages.format_cap_warning(cap, used, self.totals.recent_steps)))


def _worst_case(price: Price | None, size: int, output: int) -> Amount:
    return Amount(0.0 if price is None else price.worst(size, output), size + output)
