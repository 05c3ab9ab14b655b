"""Matching of permission rules against a command: the words, the folder it runs in, and where its arguments lead."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kimi_agent.call_plan import PlannedCommand
from kimi_agent.guard.policy.rules import Rule
from kimi_agent.guard.shell.command_options import find_uncovered_words, only_reads_operands
from kimi_agent.guard.shell.denied_words import ANYWHERE, Denial, match_denied_words
from kimi_agent.guard.shell.hidden_programs import hides_program_name
from kimi_agent.guard.shell.invocations import ShellWalk, find_invocations
from kimi_agent.guard.shell.outside_words import find_outside_words
from kimi_agent.guard.shell.simple_command import ComplexCommand, SimpleCommand, parse_simple_command
from kimi_agent.workspace.git.git_folder import has_other_repository
from kimi_agent.workspace.paths import is_beneath, is_sensitive


@dataclass(frozen=True)
class Place:
    """Where commands are judged: real paths. `roots` are the workspace and the added folders, `start` is where the
    session's shell began."""

    workspace: str
    home: str
    roots: tuple[str, ...]
    start: str


@dataclass(frozen=True)
class JudgedCommand:
    """A planned command as rules see it, each fact worked out when it is first asked for."""

    command: PlannedCommand
    place: Place

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

    @property
    def unspoken(self) -> frozenset[str]:
        """The words that a rule for the first ones does not speak for."""
        return frozenset({*self.uncovered, *self.outside_words, *self.secrets})

    @cached_property
    def hides_program(self) -> bool:
        """Whether only the run would show what it runs."""
        return hides_program_name(self.command.text, self._walk)

    @cached_property
    def _walk(self) -> ShellWalk:
        return find_invocations(self.command.text, ANYWHERE)

    def denied_by(self, rule: Rule) -> Denial:
        """Whether a denial by words is for it; "ask" where that cannot be told."""
        return match_denied_words(rule.words, self.command.text, self._walk)

    @cached_property
    def in_other_repository(self) -> bool:
        """Whether git would find another repository from its folder than the workspace's own."""
        return not self.outside and has_other_repository(Path(self.command.folder), Path(self.place.workspace))

    def is_allowed_by(self, rule: Rule) -> bool:
        """Whether an allowance by words covers it: the very words, in the folder that the yes was given for."""
        words = self.words
        if not rule.words or not words or not self._is_place_of(rule):
            return False
        if rule.exact:
            return words == rule.words
        return words[: len(rule.words)] == rule.words and self.unspoken <= set(rule.words)

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


def find_doubtful_denial(rules: Sequence[Rule], commands: Sequence[JudgedCommand]) -> str:
    """Why a rule that denies commands may be for one of these, though it cannot be told; "" where none is."""
    denying = [rule for rule in rules if rule.words]
    for rule in denying:
        if any(command.denied_by(rule) == "ask" for command in commands):
            return f"it may run what the rule {rule.text} denies"
    if denying and any(command.hides_program for command in commands):
        return "it hides what it runs, so that the rules that deny commands cannot be held"
    return ""
