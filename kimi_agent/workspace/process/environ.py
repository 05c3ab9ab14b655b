"""The environment of child processes: an allow-list of variables, never the keys of the user."""

import re
from collections.abc import Iterable, Mapping

RUN_MARK = "KIMI_AGENT_RUN"
"""The variable that names the run of a process, so that it is found again; nested runs are joined by "/"."""

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_NAMES = frozenset(
    {"PATH", "HOME", "LANG", "TERM", "TZ", "USER", "SHELL", "TMPDIR"}
    | {"VIRTUAL_ENV", "JAVA_HOME", "CARGO_HOME", "RUSTUP_HOME", "NVM_DIR"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
    | {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
)
_FAMILIES = ("LC_", "CONDA_", "GO", "XDG_", "SSL_CERT_")
# "GO*" is meant for Go's own variables, not for Google's keys, which the prefix would let through.
_SECRET = re.compile(r"GOOGLE|KEY|TOKEN|SECRET|PASS|CRED|AUTH", re.IGNORECASE)
_USERINFO = re.compile(r"//[^/\s]*@|^[^/\s]*:[^/\s]*@")

# A folder laid out like a bare repository is one to git, with settings that name programs to run: git is to obey only
# the repository that a person would see. As variables, for a shell has no command line of git's to put it in.
_GIT_SETTINGS = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.bareRepository", "GIT_CONFIG_VALUE_0": "explicit"}
_SHELL = {
    **dict.fromkeys(("PAGER", "GIT_PAGER", "GH_PAGER", "MANPAGER"), "cat"),
    **dict.fromkeys(("NO_COLOR", "GH_PROMPT_DISABLED", "PIP_NO_INPUT", "PYTHONUNBUFFERED"), "1"),
    **dict.fromkeys(("GIT_ASKPASS", "GIT_EDITOR"), "true"),
    "TERM": "dumb",
    "SYSTEMD_PAGER": "",
    "GIT_TERMINAL_PROMPT": "0",
    "GCM_INTERACTIVE": "never",
    "DEBIAN_FRONTEND": "noninteractive",
    "PIP_PROGRESS_BAR": "off",
}


def allowed_environ(environ: Mapping[str, str], passed: Iterable[str] = ()) -> dict[str, str]:
    """The part of `environ` that a child gets; `passed` are further names that the user's own config lets through.

    Entries that no process could be given (an empty name, "=" in a name, a NUL) are dropped, and proxy addresses with
    a user or a password in them.
    """
    extra = frozenset(passed)
    kept = {
        name: value
        for name, value in environ.items()
        if _possible(name, value) and (name in extra or _allowed(name, value))
    }
    return {**kept, "PATH": kept.get("PATH") or DEFAULT_PATH}


def shell_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` for a shell without a person: no pagers, prompts, colours or progress bars."""
    has_locale = any(name in environ for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    git = {} if "GIT_CONFIG_COUNT" in environ else _GIT_SETTINGS
    return {**environ, **_SHELL, **git, **({} if has_locale else {"LC_ALL": "C.UTF-8"})}


def _allowed(name: str, value: str) -> bool:
    has_login = "PROXY" in name.upper() and _USERINFO.search(value)
    return not has_login and (name in _NAMES or (name.startswith(_FAMILIES) and not _SECRET.search(name)))


def _possible(name: str, value: str) -> bool:
    if not name or "=" in name or "\0" in name or "\0" in value:
        return False
    try:
        (name + value).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True
