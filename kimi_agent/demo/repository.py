"""Git repository of the demo: the package's files, committed by a git without the person's configuration."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

# No hook, filter, signature, template or identity of the machine takes part.
_GIT = (
    "git",
    *("-c", "user.name=teapot", "-c", "user.email=teapot@example.invalid", "-c", "init.defaultBranch=main"),
    *("-c", "commit.gpgSign=false", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"),
    *("-c", "core.autocrlf=false", "-c", "core.pager=cat", "-c", "color.ui=false", "-c", "core.quotePath=false"),
)


def make_repository(source: Path, target: Path, env: Mapping[str, str]) -> None:
    """Copy `source`, whose files carry a ".txt" that no tool of ours should take for code, and commit it."""
    for path in sorted(source.rglob("*.txt")):
        copy = target / path.relative_to(source).with_suffix("")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    _git(("init", "--quiet", "--template="), target, env)
    _git(("add", "--all"), target, env)
    _git(("commit", "--quiet", "--no-verify", "-m", "teapot 0.3.0, with tests for the round numbers"), target, env)


def summarize_changes(repository: Path, env: Mapping[str, str]) -> str:
    """What differs from the commit, in one line for each file."""
    changed = _git(("diff", "--stat", "--no-ext-diff", "--no-textconv"), repository, env).split("\n")
    return "; ".join(" ".join(line.split()) for line in changed[:-2]) or "nothing"


def _git(words: tuple[str, ...], folder: Path, env: Mapping[str, str]) -> str:
    hardened = {**env, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0"}
    ran = subprocess.run(
        (*_GIT, *words), cwd=folder, env=hardened, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
    )
    if ran.returncode != 0:
        raise OSError(f"git {words[0]} failed: {ran.stderr.decode('utf-8', 'replace').strip()}")
    return ran.stdout.decode("utf-8", "replace")
