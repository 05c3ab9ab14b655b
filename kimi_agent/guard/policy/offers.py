"""Offers of "don't ask again": the rule that would speak for a simple command."""

import shlex

from kimi_agent.guard.policy.rules import MAX_RULE_CHARS
from kimi_agent.guard.shell.risky_options import find_risky_options

_PREFIXES = frozenset(
    {("pytest",), ("ls",), ("tree",), ("find",), ("mypy",), ("tsc",), ("ruff", "check"), ("ruff", "format")}
    | {("python", "-m", "pytest"), ("python3", "-m", "pytest")}
    | {("git", name) for name in ("status", "log", "diff", "show", "blame", "add", "ls-files", "rev-parse")}
    | {("cargo", name) for name in ("build", "check", "test", "clippy", "fmt")}
    | {("go", name) for name in ("build", "test", "vet", "fmt")}
    | {("npm", "test"), ("pnpm", "test"), ("yarn", "test"), ("uv", "run", "pytest"), ("poetry", "run", "pytest")}
)


def suggest_rule(words: tuple[str, ...]) -> str:
    """The rule that "don't ask again" would add for a simple command: a known harmless beginning, else all of it."""
    prefix = next((words[:length] for length in (1, 2, 3) if words[:length] in _PREFIXES), ())
    text = shlex.join(prefix) if prefix and set(find_risky_options(words)) <= set(prefix) else f"={shlex.join(words)}"
    rule = f"shell({text})"
    return rule if len(rule) <= MAX_RULE_CHARS and all(" " <= char <= "~" for char in rule) else ""
