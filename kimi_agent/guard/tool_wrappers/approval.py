"""Approval tool wrapper: plans a call, then allows it, asks the person about it, or denies it, before it runs.

What is judged and asked about is what runs: plan and preview are made once more after the yes, and a call that would
now do something else is judged and asked about again, once.
"""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from kimi_agent.call_plan import CallPlan
from kimi_agent.errors import NeedsConsent, ToolError
from kimi_agent.guard.policy.policy import Policy, PolicyVerdict
from kimi_agent.log.ask_person import ask_person
from kimi_agent.log.events import Answered, Effect, Emit
from kimi_agent.log.questions import Ask, Decision, Question
from kimi_agent.log.views import Result
from kimi_agent.tool import Context, ParsedCall, Preview, Tool, summarize_arguments

MAX_CONSENTS = 20
"""How many paths one call may ask to read before it is taken for a walk through the disk."""

T = TypeVar("T")


def wrap_with_approval(tool: Tool, *, policy: Policy, ask: Ask, emit: Emit) -> Tool:
    """`tool` behind `policy`. Its run raises ToolError `denied` where policy or person say no, `stale` where what was
    approved is no longer what would happen; every question and every no is emitted."""
    return tool.wrapped(_Gate(tool, policy, ask, emit).run)


def refuse_all(reason: str) -> Ask:
    """An `Ask` for runs that nobody watches: the answer is no, and `reason` says why."""

    async def refuse(question: Question) -> Decision:
        return Decision(allowed=False, message=reason, by="policy")

    return refuse


@dataclass(frozen=True)
class _Gate:
    tool: Tool
    policy: Policy
    ask: Ask
    emit: Emit

    async def run(self, ctx: Context, call: ParsedCall) -> Result:
        self._passed(call, self.policy.judge_tool(self.tool.name, self.tool.effect))
        plan = await self._planned(ctx, call, asking=False)
        if self._passed(call, self.policy.judge(plan)).kind == "ask":
            async with self.policy.question_lock:
                # While this call waited for its turn, an "always" or a new mode may have settled it.
                plan = await self._approved(ctx, call)
        planned = frozenset(each.path for each in plan.paths)
        access = ctx.files.access.for_call(planned, partial(self._refuses_unplanned, plan.effect))
        bound = replace(ctx, plan=plan, files=ctx.files.with_access(access))
        return await self._with_consent(ctx, lambda: self.tool.run(bound, call))

    def _refuses_unplanned(self, effect: Effect, path: str) -> str:
        """Why a call may not write a file that its plan does not name, "" where it may."""
        if effect == "read":
            return f"{self.tool.name} is a tool that only reads"
        why = self.policy.closes_unplanned(path)
        return f"{why} closes it" if why else ""

    async def _planned(self, ctx: Context, call: ParsedCall, *, asking: bool) -> CallPlan:
        return await self._with_consent(ctx, lambda: self.tool.plan(ctx, call), asking=asking)

    def _passed(self, call: ParsedCall, verdict: PolicyVerdict) -> PolicyVerdict:
        """The verdict, if it is not a no. Raises ToolError `denied`."""
        if verdict.kind == "deny":
            title = f"{self.tool.name} {summarize_arguments(call.arguments)}".rstrip()
            question = Question(self.tool.name, title, why=verdict.why)
            self.emit(Answered(question, Decision(allowed=False, message=verdict.why, by="policy")))
            raise ToolError("denied", verdict.why, verdict.next_step)
        return verdict

    async def _approved(self, ctx: Context, call: ParsedCall) -> CallPlan:
        """The plan that a person (or a rule by now) said yes to. Raises ToolError; a preview's own error too."""
        changed = ""
        for _ in range(2):
            plan = await self._planned(ctx, call, asking=True)
            verdict = self._passed(call, self.policy.judge(plan))
            if verdict.kind == "allow":
                return plan
            shown = await self._preview(ctx, call)
            await self._asked(Question(self.tool.name, shown.title, shown.view, changed or verdict.why, verdict.rule))
            if (await self._planned(ctx, call, asking=True), await self._preview(ctx, call)) == (plan, shown):
                return plan
            changed = "what it would do has changed while you were asked"
        text = "the files changed twice while the user was asked; nothing was done"
        raise ToolError("stale", text, "read them again, then call again")

    async def _preview(self, ctx: Context, call: ParsedCall) -> Preview:
        return await self._with_consent(ctx, lambda: self.tool.preview(ctx, call), asking=True)

    async def _asked(self, question: Question) -> None:
        """Ask one question. Raises ToolError `denied` after a no."""
        decision = await ask_person(question, self.ask, self.emit)
        if not decision.allowed:
            raise _refusal(decision)
        if decision.always and question.rule:
            self.policy.add_session_rule(question.rule)

    async def _with_consent(self, ctx: Context, act: Callable[[], Awaitable[T]], *, asking: bool = False) -> T:
        """Do `act`; where it needs to read what only a person may allow, ask, allow it for the session, do it again.

        A call that runs programs is not done twice. `asking` says that the turn to ask is already ours.
        """
        allowed: set[str] = set()
        while True:
            try:
                return await act()
            except NeedsConsent as need:
                again = need.path in allowed or len(allowed) >= MAX_CONSENTS
                if again or (not asking and self.tool.effect not in ("read", "write")):
                    raise
                if self.policy.mode != "yolo":
                    await self._consent(need, asking=asking)
                ctx.files.allow_reading(need.path)
                allowed.add(need.path)

    async def _consent(self, need: NeedsConsent, *, asking: bool) -> None:
        outside = need.code == "outside"
        title = f"read {need.path}{', outside the workspace' if outside else ', which may hold secrets'}?"
        async with contextlib.nullcontext() if asking else self.policy.question_lock:
            await self._asked(Question(self.tool.name, title, why=need.text))


def _refusal(decision: Decision) -> ToolError:
    message = decision.message.strip()
    if decision.by == "policy":
        text = message or "nobody is there to allow it"
        return ToolError("denied", text, "go on without it; if the work cannot be done so, say what is missing")
    if message:
        next_step = "do what the user says instead; do not repeat this call"
        return ToolError("denied", f"the user refused: {message}", next_step)
    next_step = "do not repeat it; find another way, or ask what they want"
    return ToolError("denied", "the user refused this call", next_step)
