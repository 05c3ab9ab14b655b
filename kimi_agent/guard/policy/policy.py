"""The permission policy: mode and rules decide whether a call is allowed, asked about or denied, and why."""

import asyncio
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kimi_agent.call_plan import CallPlan
from kimi_agent.errors import UserError
from kimi_agent.guard.policy.path_rules import PathRules, Place
from kimi_agent.guard.policy.rules import Rule, Rules, parse_rule
from kimi_agent.log.events import Effect
from kimi_agent.workspace.files.access_rules import AccessRules

if TYPE_CHECKING:
    from kimi_agent.guard.destructive.command_table import Loss
    from kimi_agent.guard.destructive.protected_paths import ForbiddenEffect
    from kimi_agent.guard.policy.command_rules import JudgedCommand

__all__ = ["PERMISSION_MODES", "PermissionMode", "Policy", "PolicyVerdict", "Rules", "parse_permission_mode"]

PermissionMode = Literal["ask", "accept-edits", "plan", "yolo"]
PERMISSION_MODES: tuple[PermissionMode, ...] = ("ask", "accept-edits", "plan", "yolo")
_SPELLINGS: dict[str, PermissionMode] = {
    **{mode: mode for mode in PERMISSION_MODES},
    "default": "ask",
    "acceptedits": "accept-edits",
    "bypasspermissions": "yolo",
}


def parse_permission_mode(text: str) -> PermissionMode:
    """The mode that `text` names, also in Claude Code's spelling. Raises UserError."""
    mode = _SPELLINGS.get(text.strip().casefold())
    if mode is None:
        *others, last = PERMISSION_MODES
        raise UserError(f"There is no mode {text[:60]!r}; use {', '.join(others)} or {last}.")
    return mode


@dataclass(frozen=True)
class PolicyVerdict:
    """What becomes of a call. `why` is for its reader; `rule` is what "don't ask again" would add ("": not offered)."""

    kind: Literal["allow", "ask", "deny"]
    why: str = ""
    rule: str = ""
    next_step: str = ""


@dataclass(frozen=True)
class _JudgedPlan:
    """A plan as rules see it. `paths` holds every name of each planned path: the real one first."""

    plan: CallPlan
    commands: "tuple[JudgedCommand, ...]"
    paths: tuple[tuple[str, ...], ...]
    outside: bool

    @property
    def given_commands(self) -> "tuple[JudgedCommand, ...]":
        """The commands that the model or a text of the repository wrote: the call is a shell for them."""
        return tuple(each for each in self.commands if each.command.source in ("model", "repository"))


class Policy:
    """The mode and the rules of a session. Who asks a person holds `question_lock`, so questions come one by one.

    `start` is the folder where the session's shell begins; `access` knows our own folders, which nobody writes;
    `hooks_folders` gives the folders that git takes hooks from, beside the usual ones.
    """

    def __init__(
        self,
        mode: PermissionMode,
        rules: Rules,
        *,
        workspace: Path,
        home: Path,
        added: Sequence[Path] = (),
        start: Path | None = None,
        access: AccessRules | None = None,
        hooks_folders: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self.mode: PermissionMode = mode
        self.rules = rules
        self.question_lock = asyncio.Lock()
        self._session: list[Rule] = []
        self.workspace = workspace
        self._home = home
        roots = tuple(os.path.realpath(folder) for folder in (workspace, *added))
        self._place = Place(roots[0], str(home), roots, os.path.realpath(start or workspace))
        self._paths = PathRules(roots, access or AccessRules(), hooks_folders)

    def add_session_rule(self, text: str) -> None:
        """Allow `text` until the session ends, a command in the folder it names, else in the top. Raises UserError."""
        rule = parse_rule(text)
        if rule.words and rule.folder is None:
            rule = replace(rule, folder=".")
        if rule not in self._session:
            self._session.append(rule)

    def judge_tool(self, name: str, effect: Effect) -> PolicyVerdict:
        """Whether a call of a tool may be planned at all: planning already looks at the files."""
        judged = _JudgedPlan(CallPlan(name, effect), (), (), outside=False)
        if denied := next((rule for rule in self.rules.deny if rule.covers_tool and _names_tool(rule, judged)), None):
            return _denied_by(denied.text)
        if self.mode == "plan" and effect != "read":
            next_step = "find out what is needed with the reading tools, then answer with the plan"
            return PolicyVerdict("deny", "plan mode is on: nothing is written or run", next_step=next_step)
        return PolicyVerdict("allow")

    def judge(self, plan: CallPlan) -> PolicyVerdict:
        """The verdict on what one call would do."""
        judged = self._judged(plan)
        if denied := next((rule for rule in self.rules.deny if self._denies(rule, judged)), None):
            return _denied_by(denied.text)
        forbidden = self._forbidden(judged)
        if forbidden and (forbidden.certain or self.mode == "yolo"):
            next_step = "name exactly what is to be removed, by plain paths inside the workspace"
            never = "it is never run, in no mode" if forbidden.certain else "it is not run without a person's yes"
            return PolicyVerdict("deny", f"{never}: {forbidden.why}", next_step=next_step)
        verdict = self.judge_tool(plan.tool, plan.effect)
        return verdict if verdict.kind == "deny" or plan.effect == "read" else self._of_mode(judged, forbidden)

    def losses(self, plan: CallPlan) -> "tuple[Loss, ...]":
        """What the commands of a call would destroy."""
        return self._losses(self._judged(plan))

    def _losses(self, judged: _JudgedPlan) -> "tuple[Loss, ...]":
        return tuple(dict.fromkeys(loss for each in judged.commands for loss in each.losses))

    def denies_reading(self, path: str, *, tool: str = "read_file") -> str:
        """The rule that denies `tool` to read `path` (absolute, resolved), or all that is below it; "" if none does."""
        return self._denying(path, ("read", tool))

    def denies_writing(self, path: str) -> str:
        """The rule that denies writing `path` (absolute, resolved), "" if none does."""
        return self._denying(path, ("write",))

    def closes_unplanned(self, path: str) -> str:
        """The rule, or the protected name, by which no tool may write `path` without having named it before."""
        return self.denies_writing(path) or self._paths.find_protected((path,))

    def _denying(self, path: str, tools: tuple[str, ...]) -> str:
        rules = (rule for rule in self.rules.deny if rule.glob and rule.tool in tools)
        return next((rule.text for rule in rules if self._paths.fits(rule, (path,), deny=True)), "")

    def _of_mode(self, judged: _JudgedPlan, forbidden: "ForbiddenEffect | None") -> PolicyVerdict:
        """The verdict on a call that may change something, when nothing forbids it."""
        allowing = self._allowing(judged)
        if forbidden:
            return PolicyVerdict("ask", forbidden.why)
        lost = [loss.what for loss in self._losses(judged) if not loss.covered]
        if lost and not self._allowing(judged, exactly=True):
            why = f"it {'; '.join(lost)}: no snapshot brings that back"
            return PolicyVerdict("ask", why, self._offer_exactly(judged))
        protected = self._protected(judged)
        named = any(protected in rule.glob for rule in allowing) or self._allowing(judged, exactly=True)
        if protected and not named:
            why = f"{protected} decides what other programs run here"
            return PolicyVerdict("ask", why, self._offer_exactly(judged))
        if (doubt := self._doubt(judged)) and not self._allowing(judged, exactly=True):
            return PolicyVerdict("ask", doubt)
        edits = judged.plan.effect == "write" and not judged.outside
        if allowing or self.mode == "yolo" or (self.mode == "accept-edits" and edits):
            return PolicyVerdict("allow")
        return PolicyVerdict("ask", self._reason(judged), self._offer(judged))

    def _doubt(self, judged: _JudgedPlan) -> str:
        """Why it cannot be told whether a denial by words is for the call, or what it runs; "" where it can."""
        for each in judged.commands:
            if each.unclear:
                return f"it cannot be read for sure: it holds {each.unclear}"
        rules = [rule for rule in self.rules.deny if rule.words]
        if doubtful := next((rule for rule in rules if "ask" in _denials(rule, judged)), None):
            return f"it may run what the rule {doubtful.text} denies"
        if rules and any(each.hides_program for each in judged.commands):
            return "it hides what it runs, so that the rules that deny commands cannot be held"
        return ""

    def _protected(self, judged: _JudgedPlan) -> str:
        """The first of what other programs obey that the call would write, "" where there is none."""
        setting = next((setting for each in judged.commands for setting in each.named.settings), "")
        written = chain.from_iterable((*each.named.written, *each.named.perhaps_written) for each in judged.commands)
        return setting or self._paths.find_protected(chain(*judged.paths, written))

    def _judged(self, plan: CallPlan) -> _JudgedPlan:
        commands: tuple[JudgedCommand, ...] = ()
        if plan.commands:
            from kimi_agent.guard.policy.command_rules import judged_commands  # the grammar and its tables: 25 ms

            commands = judged_commands(plan, self._place)
        paths = tuple((each.path, *each.names) for each in plan.paths)
        outside = any(self._paths.is_outside(path) for each in paths for path in each)
        return _JudgedPlan(plan, commands, paths, outside or any(each.outside for each in commands))

    def _forbidden(self, judged: _JudgedPlan) -> "ForbiddenEffect | None":
        found = [each.forbidden for each in judged.commands if each.forbidden]
        return next((forbidden for forbidden in found if forbidden.certain), next(iter(found), None))

    def _denies(self, rule: Rule, judged: _JudgedPlan) -> bool:
        if rule.words:
            return "deny" in _denials(rule, judged)
        if rule.glob and self._denies_named(rule, judged):
            return True
        if not _names_tool(rule, judged):
            return False
        if rule.covers_tool or any(self._paths.fits(rule, names, deny=True) for names in judged.paths):
            return True
        # What runs in a folder reaches all that is in it.
        runs = judged.plan.effect == "execute"
        return runs and any(self._paths.fits_below(rule, path.path) for path in judged.plan.paths)

    def _denies_named(self, rule: Rule, judged: _JudgedPlan) -> bool:
        """Whether a denied file is plain to see in a command: one that is there, or that would be written."""
        if rule.tool == "write":
            return any(self._paths.fits(rule, each.named.written, deny=True) for each in judged.commands)
        if rule.tool != "read":
            return False
        there = (path for each in judged.commands for path in each.named.named if os.path.lexists(path))
        return self._paths.fits(rule, there, deny=True)

    def _allowing(self, judged: _JudgedPlan, *, exactly: bool = False) -> tuple[Rule, ...]:
        """The rules that together allow all of the call (by its very words); () where a part of it is not allowed.

        A command that the model or the repository wrote is allowed by a rule for commands only: `run_tests` speaks
        for the person's own command and our table of runners.
        """
        rules = [rule for rule in (*self.rules.allow, *self._session) if rule.exact or not exactly]
        if given := judged.given_commands:
            by_command = [next((rule for rule in rules if _allows_command(rule, each, judged)), None) for each in given]
            return tuple(rule for rule in by_command if rule) if all(by_command) else ()
        return tuple(rule for rule in rules if self._allows(rule, judged))

    def _allows(self, rule: Rule, judged: _JudgedPlan) -> bool:
        if rule.words or rule.tool not in (judged.plan.tool, judged.plan.effect):
            return False
        if rule.covers_tool:
            return True
        return bool(judged.paths) and all(self._paths.fits(rule, names, deny=False) for names in judged.paths)

    def _reason(self, judged: _JudgedPlan) -> str:
        """Why a person is asked, where that is not plain."""
        outside = "it reaches outside the workspace" if judged.outside else ""
        given = judged.given_commands  # nobody need explain a row of our own table
        complex_ = (each.why_complex for each in given)
        return next(filter(None, (*complex_, outside, *(each.why_asked for each in given))), "")

    def _offer(self, judged: _JudgedPlan) -> str:
        """What "don't ask again" may stand for; "" where it would say more than the person sees, or not cover it."""
        if judged.outside:
            return ""
        rule = self._suggested(judged)
        if not rule:
            return ""
        parsed = parse_rule(rule)
        parsed = replace(parsed, folder=parsed.folder or ".") if parsed.words else parsed
        given = judged.given_commands
        covers = all(_allows_command(parsed, each, judged) for each in given) if given else self._allows(parsed, judged)
        return rule if covers else ""

    def _offer_exactly(self, judged: _JudgedPlan) -> str:
        """The offer of this very command alone: a yes to it says nothing of its like."""
        offer = self._offer(judged)
        return offer if offer.startswith("shell(=") else ""

    def _suggested(self, judged: _JudgedPlan) -> str:
        plan, paths = judged.plan, judged.paths
        if given := judged.given_commands:
            return given[0].suggestion if len(given) == 1 else ""
        if plan.effect == "execute":
            return plan.tool
        path = self._paths.relative(paths[0][0]) if len(paths) == 1 and len(paths[0]) == 1 else ""
        plain = re.fullmatch(r"[\w./ -]{1,100}", path, re.ASCII)
        return f"{plan.tool}({path if '/' in path else f'./{path}'})" if plain else ""


def _denied_by(rule: str) -> PolicyVerdict:
    next_step = "go on without it; another spelling does not help, only the user can change the rule"
    return PolicyVerdict("deny", f"the rule {rule} denies it", next_step=next_step)


def _names_tool(rule: Rule, judged: _JudgedPlan) -> bool:
    """Whether the rule's tool is the call's, its effect, or the shell that the call is for a given command."""
    plan = judged.plan
    return rule.tool in (plan.tool, plan.effect) or (rule.tool == "shell" and bool(judged.given_commands))


def _denials(rule: Rule, judged: _JudgedPlan) -> set[str]:
    """What a denial by words says of each command: deny, ask or ""."""
    return {each.denial_by(rule) for each in judged.commands}


def _allows_command(rule: Rule, command: "JudgedCommand", judged: _JudgedPlan) -> bool:
    """Whether an allowance covers a command that the model or the repository wrote."""
    if rule.covers_tool:
        return rule.tool in ("shell", judged.plan.effect)
    return command.is_allowed_by(rule)
