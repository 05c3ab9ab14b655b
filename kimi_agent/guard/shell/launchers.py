"""A table of launchers, commands that run other commands (`sudo`, `env`), and where the launched one begins."""

import re

SHELL_PROGRAMS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "rbash"})
SHELL_KEYWORDS = frozenset({"then", "else", "do", "if", "elif", "while", "until", "!", "{", "coproc", "time"})
"""Words of the shell's own in front of a command."""

LAUNCHERS = frozenset(
    {"sudo", "doas", "env", "nice", "ionice", "chrt", "taskset", "nohup", "setsid", "stdbuf", "timeout", "gtimeout"}
    | {"command", "builtin", "exec", "xargs", "parallel", "busybox", "toybox", "watch", "strace", "script", "npx"}
    | {"su", "runuser", "ssh", "chroot", "unshare", "nsenter", "flock", "caffeinate", "systemd-run", "unbuffer"}
    | {"proot", "fakeroot", "find", "entr", "ltrace", "gdb", "bunx", "uvx", "pipx"}
)

_RUNNERS = {
    "uv": {"run", "tool"},
    "poetry": {"run"},
    "pdm": {"run"},
    "pipenv": {"run"},
    "hatch": {"run"},
    "conda": {"run"},
    "npm": {"exec", "x"},
    "pnpm": {"exec", "dlx"},
    "yarn": {"exec", "dlx"},
    "bundle": {"exec"},
    "docker": {"exec", "run"},
    "podman": {"exec", "run"},
    "kubectl": {"exec", "run"},
    "nix": {"run", "develop", "shell"},
}
_SOURCES = frozenset({"eval", "source", ".", "trap", "alias", "export", "declare", "typeset", "enable", "set"})


def program_name(word: str) -> str:
    """A command's name without its folder."""
    return word.rpartition("/")[2]


def find_launched_index(words: tuple[str, ...]) -> int:
    """The index, in the words of a simple command, of the name of the command that really runs.

    0 for a command that runs no other; `len(words)` where it is not known (`sh -c ...`, options with values).
    """
    at = 0
    while at < len(words):
        step = _step(words, at)
        if step == 0:
            return at
        at += step
        if at >= len(words) or words[at].startswith(("-", "+")) or "=" in words[at]:
            return len(words)
    return at


def _step(words: tuple[str, ...], at: int) -> int:
    """How many words the wrapper at `at` takes for itself; 0 if there is none."""
    name, following = program_name(words[at]), words[at + 1 : at + 2]
    if name in SHELL_PROGRAMS or name in _SOURCES:
        return len(words)
    if name in _RUNNERS and following and following[0] in _RUNNERS[name]:
        return 2
    if name == "find" or name not in LAUNCHERS | SHELL_KEYWORDS:
        return 0
    timed = name in {"timeout", "gtimeout"} and following and re.fullmatch(r"[\d.]+[smhd]?", following[0])
    return 2 if timed else 1
