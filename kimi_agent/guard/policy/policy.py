"""The permission policy: mode and rules decide whether a call is allowed, asked about or denied, and why."""

import asyncio
import os
import re
import shlex
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kimi_agent.errors import UserError
from kimi_agent.guard.destructive.command_table import Loss
from kimi_agent.guard.destructive.forbidden import find_forbidden_effect
from kimi_agent.guard.destructive.losses import find_losses
from kimi_agent.guard.destructive.protected_paths import ForbiddenEffect
from kimi_agent.guard.policy.offers import suggest_rule
from kimi_agent.guard.policy.rules import Rule, Rules, parse_rule
from kimi_agent.guard.shell.command_options import find_uncovered_words
from kimi_agent.guard.shell.hidden_programs import hides_program_name
from kimi_agent.guard.shell.launchers import find_launched_index
from kimi_agent.guard.shell.outside_words import find_outside_words
from kimi_agent.guard.shell.simple_command import ComplexCommand, SimpleCommand, parse_simple_command
from kimi_agent.tool import ParsedCall, Tool
from kimi_agent.workspace.paths import is_sensitive

__all__ = ["PERMISSION_MODES", "PermissionMode", "Policy", "PolicyVerdict", "Rules", "parse_permission_mode"]

PermissionMode = Literal["ask", "accept-edits", "plan", "yolo"]
PERMISSION_MODES: tuple[PermissionMode, ...] = ("ask", "accept-edits", "plan", "yolo")
_SPELLINGS: dict[str, PermissionMode] = {
    **{mode: mode for mode in PERMISSION_MODES},
    "default": "ask",
    "acceptedits": "accept-edits",
    "bypasspermissions": "yolo",
}

PROTECTED_NAMES = frozenset({".git", ".kimi-agent", ".mcp.json", ".vscode", ".idea", ".envrc", ".husky", ".gitmodules"})
"""Names whose contents other programs run or obey by themselves; no mode writes them unasked."""


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
class _Call:
    """A call as the policy sees it. `paths` holds every reading of each named path, first as it is shown.

    `secrets` and `abroad` are the words of its command that name secrets and that lead outside.
    """

    tool: Tool
    command: str | None
    reading: SimpleCommand | ComplexCommand | None
    paths: tuple[tuple[str, ...], ...]
    outside: bool
    cwd: Path | None
    secrets: tuple[str, ...] = ()
    abroad: tuple[str, ...] = ()


class Policy:
    """The mode and the rules of a session. Who asks a person holds `question_lock`, so questions come one by one."""

    def __init__(
        self, mode: PermissionMode, rules: Rules, *, workspace: Path, home: Path, added: Sequence[Path] = ()
    ) -> None:
        self.mode: PermissionMode = mode
        self.rules = rules
        self.question_lock = asyncio.Lock()
        self._session: list[Rule] = []
        self._workspace = workspace
        self._home = home
        self._roots = [os.path.realpath(folder) for folder in (workspace, *added)]

    def add_session_rule(self, text: str) -> None:
        """Allow `text` until the session ends. Raises UserError."""
        rule = parse_rule(text)
        if rule not in self._session:
            self._session.append(rule)

    def judge(self, parsed: ParsedCall, *, cwd: Path | None = None, start: Path | None = None) -> PolicyVerdict:
        """The verdict on one call. `cwd` is the folder of the shell, `start` where relative paths begin."""
        call = self._call(parsed, cwd, start)
        denied = next((rule for rule in self.rules.deny if _denies(rule, call)), None)
        if denied:
            next_step = "go on without it; another spelling does not help, only the user can change the rule"
            return PolicyVerdict("deny", f"the rule {denied.text} denies it", next_step=next_step)
        forbidden = find_forbidden_effect(call.command or "", home=self._home, workspace=self._workspace, cwd=call.cwd)
        if forbidden and (forbidden.certain or self.mode == "yolo"):
            next_step = "name exactly what is to be removed, by plain paths inside the workspace"
            return PolicyVerdict("deny", f"it is never run, in no mode: {forbidden.why}", next_step=next_step)
        if call.tool.effect == "read":
            return PolicyVerdict("allow")
        if self.mode == "plan":
            next_step = "find out what is needed with the reading tools, then answer with the plan"
            return PolicyVerdict("deny", "plan mode is on: nothing is written or run", next_step=next_step)
        return self._of_mode(call, forbidden)

    def _of_mode(self, call: _Call, forbidden: ForbiddenEffect | None) -> PolicyVerdict:
        """The verdict on a call that may change something, when nothing forbids it."""
        allowing = [rule for rule in (*self.rules.allow, *self._session) if _allows(rule, call)]
        protected = _protected(call)
        if forbidden:
            return PolicyVerdict("ask", forbidden.why)
        if (doubt := self._doubt_of_denials(call)) and not any(rule.exact for rule in allowing):
            return PolicyVerdict("ask", doubt)
        lost = [loss.what for loss in self._losses(call) if not loss.covered]
        if lost and not any(rule.exact for rule in allowing):
            offer = _offer(call)  # only this very command: a yes to it says nothing of its like
            exactly = offer if offer.startswith("shell(=") else ""
            return PolicyVerdict("ask", f"it {'; '.join(lost)}: no snapshot brings that back", exactly)
        if protected and not any(protected in rule.glob for rule in allowing):
            return PolicyVerdict("ask", f"{protected} decides what other programs run here")
        if self.mode == "yolo":
            return PolicyVerdict("allow")
        if allowing or (self.mode == "accept-edits" and call.tool.effect == "write" and not call.outside):
            return PolicyVerdict("allow")
        return PolicyVerdict("ask", _reason(call), _offer(call))

    def _doubt_of_denials(self, call: _Call) -> str:
        """Why a rule that denies a command may be for this call; "" where none is."""
        rules = [rule for rule in self.rules.deny if rule.words]
        if not call.command or not rules:
            return ""
        doubtful = next((rule for rule in rules if rule.denies_command(call.command) == "ask"), None)
        if doubtful:
            return f"it may run what the rule {doubtful.text} denies"
        if hides_program_name(call.command):
            return "it hides what it runs, so that the rules that deny commands cannot be held"
        return ""

    def _call(self, parsed: ParsedCall, cwd: Path | None, start: Path | None) -> _Call:
        command = _command(parsed)
        paths = tuple(self._spelled(path, start) for path in parsed.paths)
        outside = any(path.startswith("/") for each in paths for path in each)
        folder = parsed.arguments.get("cwd")
        if command is not None and isinstance(folder, str) and folder:
            spelled = self._spelled(folder, start)
            outside |= any(path.startswith("/") for path in spelled)
            cwd = self._workspace / spelled[-1]
        reading = None if command is None else parse_simple_command(command)
        words = reading.words if isinstance(reading, SimpleCommand) else ()
        abroad = find_outside_words(words, folder=cwd or self._workspace, roots=self._roots, home=str(self._home))
        return _Call(parsed.tool, command, reading, paths, outside, cwd, tuple(_secrets(words)), tuple(abroad))

    def _spelled(self, path: str, base: Path | None) -> tuple[str, ...]:
        """A path as seen from the workspace: as written, and where its links lead (absolute if outside)."""
        text = path.strip().replace("\0", "").encode("utf-8", "replace").decode()
        if text == "~" or text.startswith("~/"):
            text = str(self._home) + text[1:]
        whole = os.path.normpath(os.path.join(base or self._workspace, text))
        return tuple(dict.fromkeys((self._inside(whole), self._inside(os.path.realpath(whole)))))

    def _inside(self, path: str) -> str:
        for root in self._roots:
            if path == root or path.startswith(root.rstrip("/") + "/"):
                return path[len(root) :].lstrip("/") or "."
        return path

    def losses(self, parsed: ParsedCall, *, cwd: Path, start: Path) -> tuple[Loss, ...]:
        """What the command of a call would destroy."""
        return self._losses(self._call(parsed, cwd, start))

    def _losses(self, call: _Call) -> tuple[Loss, ...]:
        return find_losses(call.command or "", home=self._home, workspace=self._workspace, cwd=call.cwd)


def _command(parsed: ParsedCall) -> str | None:
    """The shell text that a call brings along; None if it brings none."""
    if parsed.tool.effect == "read":
        return None
    given = parsed.arguments.get("command")
    if isinstance(given, list):
        given = shlex.join(map(str, given))
    return given if isinstance(given, str) and (given or parsed.tool.name == "shell") else None


def _names_tool(rule: Rule, tool: Tool) -> bool:
    return rule.tool in (tool.name, tool.effect)


def _denies(rule: Rule, call: _Call) -> bool:
    if rule.words:
        return call.command is not None and rule.denies_command(call.command) == "deny"
    if not _names_tool(rule, call.tool):
        return False
    return rule.covers_tool or any(rule.matches_path(path, any_case=True) for each in call.paths for path in each)


def _allows(rule: Rule, call: _Call) -> bool:
    if rule.words:
        if not isinstance(call.reading, SimpleCommand) or call.tool.name != "shell" or call.outside:
            return False
        return rule.allows_command(call.reading.words) and {*call.secrets, *call.abroad} <= set(rule.words)
    if not _names_tool(rule, call.tool):
        return False
    if rule.covers_tool:
        # A tool that takes a command of the model's own is a shell for that call.
        return call.command is None or call.tool.name == "shell"
    return bool(call.paths) and all(rule.matches_path(path, any_case=False) for each in call.paths for path in each)


def _secrets(words: tuple[str, ...]) -> list[str]:
    """The arguments that name files which may hold secrets."""
    return [word for word in words[1:] if is_sensitive(re.split("[=:]", word)[-1])]


def _protected(call: _Call) -> str:
    """The first protected name in the paths that the call would write, "" if there is none."""
    if call.tool.effect == "read":
        return ""
    for path in (path for each in call.paths for path in each):
        for part in path.split("/"):
            # As file systems that ignore case, invisible characters or a final dot read it.
            seen = "".join(char for char in unicodedata.normalize("NFKC", part) if unicodedata.category(char) != "Cf")
            if seen.casefold().rstrip(" .") in PROTECTED_NAMES:
                return seen.casefold().rstrip(" .")
    return ""


def _reason(call: _Call) -> str:
    """Why a person is asked, where that is not plain."""
    if isinstance(call.reading, ComplexCommand):
        return f"no rule can speak for it: it holds {call.reading.why}"
    if call.outside:
        return "it reaches outside the workspace"
    if isinstance(call.reading, SimpleCommand):
        if call.secrets:
            return f"{call.secrets[0][:60]} may hold secrets, judging by its name"
        if call.abroad:
            return f"{call.abroad[0][:60]} leads outside the workspace"
        if find_launched_index(call.reading.words) > 0:
            return "it runs another command"
        if uncovered := find_uncovered_words(call.reading.words):
            return f"{uncovered[0][:60]} can make it run or write more than its name says"
    return ""


def _offer(call: _Call) -> str:
    """What "don't ask again" may stand for; "" where it would say more than the person sees."""
    if call.outside:
        return ""
    if call.command is not None:
        simple = call.reading if isinstance(call.reading, SimpleCommand) and call.tool.name == "shell" else None
        return suggest_rule(simple.words, unspoken=(*call.secrets, *call.abroad)) if simple else ""
    if not call.paths and call.tool.effect == "execute":
        return call.tool.name
    path = call.paths[0][0] if len(call.paths) == 1 else ""
    plain = re.fullmatch(r"[\w./ -]{1,100}", path, re.ASCII) and len(call.paths[0]) == 1
    return f"{call.tool.name}({path if '/' in path else f'./{path}'})" if plain else ""
