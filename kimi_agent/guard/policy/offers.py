"""Offers of a rule by "don't ask again": a known harmless beginning of the command, else this very command."""

import shlex
from collections.abc import Collection

from kimi_agent.errors import UserError
from kimi_agent.guard.policy.rules import parse_rule
from kimi_agent.guard.shell.command_options import find_uncovered_words

MAX_RULE_CHARS = 120
"""A longer rule would not be read before it is agreed to."""

OFFERED_PREFIXES = frozenset(
    {("pytest",), ("ls",), ("tree",), ("find",), ("mypy",), ("tsc",), ("ruff", "check"), ("ruff", "format")}
    | {("python", "-m", "pytest"), ("python3", "-m", "pytest")}
    | {("git", name) for name in ("status", "log", "diff", "show", "blame", "add", "ls-files", "rev-parse")}
    | {("cargo", name) for name in ("build", "check", "test", "clippy", "fmt")}
    | {("go", name) for name in ("build", "test", "vet", "fmt")}
    | {("npm", "test"), ("pnpm", "test"), ("yarn", "test"), ("uv", "run", "pytest"), ("poetry", "run", "pytest")}
)
"""Each of them has an allow list of its options, so that a rule for it says no more than its words do."""


def suggest_rule(words: tuple[str, ...], *, unspoken: Collection[str] = ()) -> str:
    """The rule that "don't ask again" would add for a simple command; "" where none would cover this very command.

    `unspoken` are words that no beginning speaks for by other reasons than their options: names of secrets, paths
    that lead outside.
    """
    prefix = next((words[:length] for length in (1, 2, 3) if words[:length] in OFFERED_PREFIXES), ())
    if prefix and {*find_uncovered_words(words), *unspoken} <= set(prefix):
        return f"shell({shlex.join(prefix)})"
    rule = f"shell(={shlex.join(words)})"
    if len(rule) > MAX_RULE_CHARS or not all(" " <= char <= "~" for char in rule):
        return ""
    try:
        return rule if parse_rule(rule).words == words else ""
    except UserError:  # a form that rules do not have: a name that is an option, blanks that would be lost
        return ""
