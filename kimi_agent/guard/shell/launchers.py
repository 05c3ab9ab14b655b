"""A table of launchers, commands that run other commands (`sudo`, `env`), and where the launched one begins."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

SHELL_PROGRAMS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "rbash"})
SHELL_KEYWORDS = frozenset({"then", "else", "do", "if", "elif", "while", "until", "!", "{", "coproc", "time"})
"""Words of the shell's own in front of a command."""


@dataclass(frozen=True)
class LauncherForm:
    """How a launcher takes its words.

    `values` are the short options whose value may be the next word, `long_values` the long ones; `operands` is how
    many words of its own stand before the command. `texts` fits the options whose value is a shell text, `joined` says
    that all the words of the command together are one; `assigns` takes NAME=VALUE in front. `remote` runs it as another
    user, root or machine, so that no snapshot covers what it does.
    """

    values: str = ""
    long_values: str = ""
    operands: int = 0
    texts: str = ""
    joined: bool = False
    assigns: bool = False
    remote: bool = False


_NPM = LauncherForm("pw", "package workspace registry", texts="-c|--call")
_CONTAINER = """
    add-host annotation attach blkio-weight cap-add cap-drop cgroup-parent cidfile cpus cpu-shares device dns entrypoint
    env env-file expose gpus group-add health-cmd hostname ip ipc isolation label label-file link log-driver log-opt
    mac-address memory memory-swap mount name net network network-alias pid pids-limit platform publish pull restart
    runtime security-opt shm-size stop-signal storage-opt sysctl tmpfs ulimit user userns uts volume volumes-from
    workdir"""
_KUBERNETES = LauncherForm("cnf", "container namespace filename image context", operands=1)
LAUNCHERS = {
    "sudo": LauncherForm("ughpCrtTUDR", "user group host prompt chdir role type other-user chroot", assigns=True),
    "doas": LauncherForm("uC"),
    "env": LauncherForm("uCa", "unset chdir argv0", texts="-S|--split-string", assigns=True),
    "nice": LauncherForm("n", "adjustment"),
    "ionice": LauncherForm("cnpPu", "class classdata"),
    "chrt": LauncherForm("TPD", operands=1),
    "taskset": LauncherForm(operands=1),
    "stdbuf": LauncherForm("ioe", "input output error"),
    **dict.fromkeys(("timeout", "gtimeout"), LauncherForm("ks", "kill-after signal", operands=1)),
    **dict.fromkeys(("command", "builtin", "nohup", "setsid", "unbuffer", "eatmydata", "chronic"), LauncherForm()),
    **dict.fromkeys(("pkexec", "valgrind", "shx", "firejail", "proxychains", "proxychains4"), LauncherForm()),
    **dict.fromkeys(("cross-env", "dotenv"), LauncherForm("ef", "env-file", assigns=True)),
    "numactl": LauncherForm("NCmipP", "cpunodebind physcpubind membind interleave preferred"),
    "prlimit": LauncherForm("p", "pid"),
    **dict.fromkeys(("busybox", "toybox", "ifne", "torsocks", "dbus-run-session", "setarch"), LauncherForm()),
    "exec": LauncherForm("a"),
    "xargs": LauncherForm(
        "IdaELnPs", "max-args max-procs replace delimiter arg-file max-lines max-chars process-slot-var"
    ),
    **dict.fromkeys(
        ("parallel", "sem"), LauncherForm("jIaSNnLC", "jobs arg-file sshlogin colsep results", joined=True)
    ),
    "watch": LauncherForm("nq", "interval", joined=True),
    **dict.fromkeys(("strace", "ltrace"), LauncherForm("oeEpsuaPSIbXnl", "output trace")),
    "script": LauncherForm("cEIOBTom", "command", texts="-[a-zA-Z]*c|--command"),
    **dict.fromkeys(("npx", "bunx", "pnpx"), _NPM),
    "uvx": LauncherForm("pwcf", "from with python index"),
    **dict.fromkeys(
        ("su", "runuser"), LauncherForm("cgGsuw", texts="-[a-z]*c|--command|--session-command", remote=True)
    ),
    "ssh": LauncherForm("BbcDEeFIiJLlmOopQRSWw", operands=1, joined=True, remote=True),
    "chroot": LauncherForm(operands=1, remote=True),
    "unshare": LauncherForm("SGRw", "setuid setgid root wd map-user map-group"),
    "nsenter": LauncherForm("tSGrw", "target setuid setgid", remote=True),
    "flock": LauncherForm("wE", "timeout conflict-exit-code", operands=1, texts="-c|--command"),
    "caffeinate": LauncherForm("tw"),
    "systemd-run": LauncherForm(
        "puEHMd", "property unit setenv host machine description slice uid gid working-directory"
    ),
    **dict.fromkeys(("proot", "fakeroot", "cpulimit", "rlwrap", "xvfb-run"), LauncherForm("rbwlsinefpS")),
    "entr": LauncherForm(),
    "screen": LauncherForm("SsctTehLp"),
    "gdb": LauncherForm("xpcds", "command pid core directory"),
    "time": LauncherForm("fo", "format output"),
    **{keyword: LauncherForm() for keyword in SHELL_KEYWORDS - {"time"}},
}
"""Launchers by name; `find` and `fd` run commands too, by their options."""

RUNNERS = {
    **{
        ("uv", word): LauncherForm("pfC", "with from python extra group env-file directory project")
        for word in ("run", "tool")
    },
    **{
        (name, "run"): LauncherForm("Cnp", "directory name prefix env")
        for name in ("poetry", "pdm", "pipenv", "hatch", "conda", "pipx")
    },
    **{(name, word): _NPM for name in ("npm", "pnpm", "yarn") for word in ("exec", "x", "dlx")},
    **{
        (name, "exec"): LauncherForm() for name in ("bundle", "mise", "asdf", "pyenv", "rbenv", "nodenv", "rtx", "opam")
    },
    ("direnv", "exec"): LauncherForm(operands=1),
    **{("perf", word): LauncherForm("eoFGcpr", "event output") for word in ("stat", "record", "trace")},
    **{
        ("tmux", word): LauncherForm("ctnFsxye", joined=True)
        for word in ("new", "new-session", "neww", "new-window", "split-window", "run-shell", "run")
    },
    **{
        (name, "exec"): LauncherForm("euw", "env env-file user workdir detach-keys", operands=1)
        for name in ("docker", "podman")
    },
    **{(name, "run"): LauncherForm("acehlmpuvw", _CONTAINER, operands=1) for name in ("docker", "podman")},
    **{("kubectl", word): _KUBERNETES for word in ("exec", "run")},
    **{("nix", word): LauncherForm("c", texts="-c|--command") for word in ("run", "develop", "shell")},
}
"""Programs that run a command by the first word behind their name."""

_OWN_REMOVERS = frozenset({"git", "hg", "svn", "aws", "gsutil", "hdfs", "hadoop", "s3cmd", "mc"})
"""Programs with a command `rm` of their own."""
_RECURSIVE = re.compile(r"-[a-zA-Z]*[rR]|--recursive")
_SOURCES = frozenset({"eval", "source", ".", "trap", "alias", "export", "declare", "typeset", "enable", "set"})


def program_name(word: str) -> str:
    """A command's name without its folder."""
    return word.rpartition("/")[2]


def find_launcher(words: Sequence[str]) -> tuple[LauncherForm, int] | None:
    """The launcher that a command is, and how many words name it; None for a command that runs no other."""
    name = program_name(words[0])
    if name in LAUNCHERS:
        return LAUNCHERS[name], 1
    for at, word in enumerate(words[1:4], 1):
        if (name, word) in RUNNERS:
            return RUNNERS[name, word], at + 1
        if not word.startswith("-"):
            break
    return None


def find_launched(launcher: LauncherForm, words: Sequence[str], start: int) -> Iterator[tuple[int, bool]]:
    """Where the launched command may begin in `words` ("" for one that is not known): index, and whether it is sure."""
    at, operands, sure, options = start, launcher.operands, True, True
    doubtful: int | None = None
    while at < len(words):
        word = words[at]
        if options and word == "--":
            options = False
        elif not word or (options and re.match(r"-.", word)):
            if _takes_next(launcher, word):
                at += 1
            elif not word or (word.startswith("--") and "=" not in word):
                doubtful = at + 2 + operands  # perhaps an option of which we do not know that it takes a value
            sure = sure and bool(word)
        elif launcher.assigns and re.match(r"\w+=", word):
            pass
        elif operands:
            operands -= 1
        else:
            yield at, sure
            break
        at += 1
    if doubtful is not None and at < doubtful < len(words):
        yield doubtful, False


def _takes_next(launcher: LauncherForm, word: str) -> bool:
    """Whether the word behind an option is its value."""
    if launcher.texts and re.fullmatch(launcher.texts, word):
        return True
    if word.startswith("--"):
        return word[2:] in launcher.long_values.split()
    first = next((at for at, letter in enumerate(word[1:], 1) if letter in launcher.values), None)
    return first is not None and first == len(word) - 1


def find_handed_removal(texts: Sequence[str]) -> int | None:
    """Where `rm -r` begins among the words of a command that has no such command of its own; None where it does not."""
    if program_name(texts[0]) in _OWN_REMOVERS:
        return None
    pairs = enumerate(pairwise(texts))
    return next((at for at, (one, two) in pairs if at and program_name(one) == "rm" and _RECURSIVE.match(two)), None)


def find_launched_texts(launcher: LauncherForm, words: Sequence[str], start: int) -> Iterator[int]:
    """The indexes of the words of a launcher that are shell texts by the option in front of them."""
    if launcher.texts:
        for at in range(start, len(words) - 1):
            if re.fullmatch(launcher.texts, words[at]):
                yield at + 1


def find_option_commands(name: str, words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where the commands in `find -exec ... ;` and `fd -x ...` begin and end."""
    if name in {"find", "gfind"}:
        opening = r"-(exec|ok)(dir)?"
    elif name in {"fd", "fdfind"}:
        opening = r"-[xX]|--exec(-batch)?"
    else:
        return
    for at, word in enumerate(words):
        if re.fullmatch(opening, word):
            yield at + 1, next((i for i in range(at + 1, len(words)) if words[i] in {";", "+"}), len(words))


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
    if following and (name, following[0]) in RUNNERS:
        return 2
    if name not in LAUNCHERS:
        return 0
    timed = name in {"timeout", "gtimeout"} and following and re.fullmatch(r"[\d.]+[smhd]?", following[0])
    return 2 if timed else 1
