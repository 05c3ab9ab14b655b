"""Matching of permission rules against a command: the words, the folder it runs in, and where its arguments lead."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kimi_agent.call_plan import CallPlan, PlannedCommand
from kimi_agent.guard.destructive.command_table import Loss
from kimi_agent.guard.destructive.forbidden import find_forbidden_effect
from kimi_agent.guard.destructive.losses import find_losses
from kimi_agent.guard.destructive.protected_paths import ForbiddenEffect
from kimi_agent.guard.destructive.written_paths import NamedPaths, find_named_paths
from kimi_agent.guard.policy.offers import suggest_rule
from kimi_agent.guard.policy.path_rules import Place
from kimi_agent.guard.policy.rules import Rule
from kimi_agent.guard.shell.command_options import find_uncovered_words, only_reads_operands
from kimi_agent.guard.shell.denied_words import ANYWHERE, Denial, match_denied_words
from kimi_agent.guard.shell.expansion import ShellState, split_path
from kimi_agent.guard.shell.hidden_programs import hides_program_name
from kimi_agent.guard.shell.invocations import ShellWalk, find_invocations
from kimi_agent.guard.shell.launchers import find_launched_index
from kimi_agent.guard.shell.outside_words import find_outside_words
from kimi_agent.guard.shell.simple_command import ComplexCommand, SimpleCommand, parse_simple_command
from kimi_agent.workspace.git.git_folder import has_other_repository
from kimi_agent.workspace.paths import is_beneath, is_sensitive


@dataclass(frozen=True)
class JudgedCommand:
    """A planned command as rules see it, each fact worked out when it is first asked for."""

    command: PlannedCommand
    place: Place

    @cached_property
    def walk(self) -> ShellWalk:
        """All the commands in it, as they would run in its folder."""
        place = self.place
        start = (split_path(Path(self.command.folder)),)
        return find_invocations(self.command.text, ShellState(Path(place.home), Path(place.workspace), start))

    @cached_property
    def walk_of_names(self) -> ShellWalk:
        """All the commands in it, for questions that no folder decides."""
        return find_invocations(self.command.text, ANYWHERE)

    @property
    def unclear(self) -> str:
        """Why it cannot be read for sure, "" where it can."""
        return self.walk.unclear

    @cached_property
    def forbidden(self) -> ForbiddenEffect | None:
        """The worst that it is seen to do."""
        home, workspace, folder = map(Path, (self.place.home, self.place.workspace, self.command.folder))
        return find_forbidden_effect(self.command.text, home=home, workspace=workspace, cwd=folder, walk=self.walk)

    @cached_property
    def losses(self) -> tuple[Loss, ...]:
        """What it would destroy."""
        home, workspace, folder = map(Path, (self.place.home, self.place.workspace, self.command.folder))
        return find_losses(self.command.text, home=home, workspace=workspace, cwd=folder, walk=self.walk)

    def denial_by(self, rule: Rule) -> Denial:
        """What a denial by words says of it."""
        return match_denied_words(rule.words, self.command.text, self.walk_of_names)

    @property
    def hides_program(self) -> bool:
        """Whether only its run would show what it runs."""
        return hides_program_name(self.command.text, self.walk_of_names)

    @cached_property
    def named(self) -> NamedPaths:
        """The paths and settings that are plain to see in it."""
        return find_named_paths(self.walk)

    @cached_property
    def reading(self) -> SimpleCommand | ComplexCommand:
        """The one simple command that it is, or why it is none."""
        return parse_simple_command(self.command.text)

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the simple command, () where it is none."""
        return self.reading.words if isinstance(self.reading, SimpleCommand) else ()

    @cached_property
    def folder(self) -> str:
        """Its folder below the workspace ("." for the top), absolute where it lies outside."""
        if not is_beneath(self.command.folder, self.place.workspace):
            return self.command.folder
        return os.path.relpath(self.command.folder, self.place.workspace)

    @property
    def outside(self) -> bool:
        """Whether it starts outside of the workspace and the added folders."""
        return not any(is_beneath(self.command.folder, root) for root in self.place.roots)

    @cached_property
    def outside_words(self) -> Sequence[str]:
        """Its words that lead outside."""
        place = self.place
        return find_outside_words(self.words, folder=Path(self.command.folder), roots=place.roots, home=place.home)

    @cached_property
    def secrets(self) -> Sequence[str]:
        """The arguments that name files which may hold secrets."""
        return [word for word in self.words[1:] if is_sensitive(re.split("[=:]", word)[-1])]

    @cached_property
    def uncovered(self) -> Sequence[str]:
        """The words by which it may run, write or read what its name does not say."""
        return find_uncovered_words(self.words)

    @cached_property
    def in_other_repository(self) -> bool:
        """Whether git would find another repository from its folder than the workspace's own."""
        return not self.outside and has_other_repository(Path(self.command.folder), Path(self.place.workspace))

    @property
    def why_complex(self) -> str:
        """Why no rule can speak for it, "" where one can."""
        complex_ = self.reading if isinstance(self.reading, ComplexCommand) else None
        return f"no rule can speak for it: it holds {complex_.why}" if complex_ else ""

    @property
    def why_asked(self) -> str:
        """What in a simple command is for a person to decide, "" where it is only the command itself."""
        if not self.words:
            return ""
        if self.secrets:
            return f"{self.secrets[0][:60]} may hold secrets, judging by its name"
        if self.outside_words:
            return f"{self.outside_words[0][:60]} leads outside the workspace"
        if find_launched_index(self.words) > 0:
            return "it runs another command"
        if self.uncovered:
            return f"{self.uncovered[0][:60]} can make it run or write more than its name says"
        if self.words[0] == "git" and self.in_other_repository:
            return "git would obey another repository there than the workspace's own"
        return ""

    @property
    def suggestion(self) -> str:
        """The rule that "don't ask again" would add, with the folder where it is not the top; "" for none."""
        rule = suggest_rule(self.words, unspoken=(*self.secrets, *self.outside_words)) if self.words else ""
        if not rule or self.folder == ".":
            return rule
        return f"{rule} in {self.folder}" if re.fullmatch(r"[\w./-]{1,60}", self.folder, re.ASCII) else ""

    def is_allowed_by(self, rule: Rule) -> bool:
        """Whether an allowance by words covers it: the very words, in the folder that the yes was given for."""
        words = self.words
        if not rule.words or not words or not self._is_place_of(rule):
            return False
        if rule.exact:
            return words == rule.words
        named = words[: len(rule.words)] == rule.words and len(rule.words) > find_launched_index(words)
        doubtful = {*self.uncovered, *self.outside_words, *self.secrets}
        return named and doubtful <= set(rule.words)

    def _is_place_of(self, rule: Rule) -> bool:
        """Whether a rule speaks for commands in this folder.

        What a command does depends on the folder's Makefile, package.json or conftest.py. One that only reads its
        operands does the same everywhere; git obeys the repository that it finds.
        """
        if self.outside:
            return False
        if self.words[0] == "git" and self.in_other_repository:
            return False
        if rule.folder is None and self.command.folder in (self.place.workspace, self.place.start):
            return True
        if rule.holds_in(self.folder):
            return True
        return self.words[0] == "git" or only_reads_operands(self.words)


def judged_commands(plan: CallPlan, place: Place) -> tuple[JudgedCommand, ...]:
    """The commands of a plan as rules see them."""
    return tuple(JudgedCommand(each, place) for each in plan.commands)
