"""The user's own git configuration: their identity, and their settings for a commit or a push.

The hardened `Git` reads no configuration but the repository's; here the user's counts too. `git config` only reads:
it starts no hook, filter, pager or alias.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kimi_agent.errors import UserError
from kimi_agent.workspace.process.environ import allowed_environ

ConfigScope = Literal["system", "global", "local", "worktree", "command"]
_TIMEOUT_S = 20
_PASSED_VARIABLES = re.compile(
    r"SSH_(AUTH_SOCK|AGENT_PID|ASKPASS)|DBUS_SESSION_BUS_ADDRESS|DISPLAY|WAYLAND_DISPLAY"
    r"|GIT_(CONFIG_\w+|SSH|SSH_COMMAND|SSH_VARIANT|SSL_\w+|ASKPASS)"
    r"|GH_(TOKEN|ENTERPRISE_TOKEN|HOST|CONFIG_DIR)|GITHUB_(ENTERPRISE_)?TOKEN"
)


@dataclass(frozen=True)
class ConfigValue:
    """One line of configuration: `key` in git's spelling (section and last word in lower case)."""

    scope: str
    key: str
    value: str


@dataclass(frozen=True)
class GitIdentity:
    """The name and address of who commits."""

    name: str
    email: str

    def environ(self) -> dict[str, str]:
        """The variables that make git write this person, as author and as committer."""
        parts = {"NAME": self.name, "EMAIL": self.email}
        return {f"GIT_{role}_{part}": parts[part] for role in ("AUTHOR", "COMMITTER") for part in parts}


def user_git_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of `environ` that the person's own git and gh need: their configuration, keys and agents.

    Nothing that names a repository (GIT_DIR and its kin) is in it.
    """
    named = {name: value for name, value in environ.items() if _PASSED_VARIABLES.fullmatch(name) and "\0" not in value}
    return {**allowed_environ(environ), **named}


def read_user_config(git: str, folder: Path, environ: Mapping[str, str], pattern: str) -> tuple[ConfigValue, ...]:
    """The values whose keys match `pattern` (an extended regular expression), the strongest last.

    `git` is the absolute path of the program. Raises UserError where a configuration file cannot be read.
    """
    argv = [git, "config", "--null", "--show-scope", "--get-regexp", pattern]
    env = {**user_git_environ(environ), "LC_ALL": "C"}
    try:
        done = subprocess.run(
            argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"Your git configuration could not be read: {error}.", 1) from error
    if done.returncode not in (0, 1):  # 1: no such key
        why = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        raise UserError(f"Your git configuration could not be read: {why or f'exit {done.returncode}'}.", 78)
    fields = done.stdout.decode("utf-8", "replace").split("\0")
    lines = zip(fields[::2], (entry.partition("\n") for entry in fields[1::2]), strict=False)
    return tuple(ConfigValue(scope, key, value if newline else "true") for scope, (key, newline, value) in lines)


def effective_value(values: Sequence[ConfigValue], key: str, *scopes: ConfigScope) -> str:
    """The strongest value of `key` (in `scopes`, if any are given), "" where there is none."""
    found = (each.value for each in reversed(values) if each.key == key and (not scopes or each.scope in scopes))
    return next(found, "")


def find_identity(values: Sequence[ConfigValue], environ: Mapping[str, str]) -> GitIdentity:
    """Find who commits, by the environment, else by the configuration. Raises UserError with the mend."""
    name, email = (
        environ.get(f"GIT_AUTHOR_{part.upper()}", "").strip()
        or effective_value(values, f"author.{part}")
        or effective_value(values, f"user.{part}")
        for part in ("name", "email")
    )
    if not name or not email:
        missing = "user.name 'Your Name'" if not name else "user.email you@example.com"
        raise UserError(f"git does not know who you are: run git config --global {missing}", 78)
    return GitIdentity(name, email)
