"""Git hardening: fixed environment and settings, and overrides of a repository's own, so no code of it runs."""

import re
from collections.abc import Iterable, Mapping

ALLOWED_SUBCOMMANDS = frozenset(
    {"add", "blame", "branch", "cat-file", "check-ignore", "check-ref-format", "checkout", "cherry-pick", "commit"}
    | {"commit-tree", "config", "count-objects", "diff", "diff-files", "diff-index", "diff-tree", "for-each-ref"}
    | {"fsck", "hash-object", "init", "log", "ls-files", "ls-tree", "merge", "merge-base", "merge-file", "merge-tree"}
    | {"mktree", "pack-objects", "prune", "prune-packed", "read-tree", "remote", "reset", "restore", "rev-list"}
    | {"rev-parse", "rm", "show", "show-ref", "status", "switch", "symbolic-ref", "tag", "unpack-objects"}
    | {"update-index", "update-ref", "var", "verify-pack", "version", "worktree", "write-tree"}
)
"""Built into every git, so none of them can be an alias; none uses a network or a shell script."""

_DIFF_FLAGS = ("--no-ext-diff", "--no-textconv", "--ignore-submodules=dirty")
FORCED_FLAGS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("diff", "diff-files", "diff-index", "diff-tree"), _DIFF_FLAGS),
    **dict.fromkeys(("log", "show"), ("--no-ext-diff", "--no-textconv", "--no-show-signature")),
    "status": ("--ignore-submodules=dirty",),
    "blame": ("--no-textconv",),
}
"""Flags that these sub-commands always get."""

_REFUSED = (
    *("--upload-pack", "--receive-pack", "--exec", "--exec-path", "--output", "--git-dir", "--work-tree"),
    *("--config-env", "--ext-diff", "--textconv", "--filters", "--open-files-in-pager", "--paginate", "--template"),
    *("--show-signature", "--gpg-sign", "--edit", "--trailer", "--recurse-submodules", "--namespace"),
)

GIT_ENVIRON = {
    **dict.fromkeys(("GIT_CONFIG_NOSYSTEM", "GIT_ATTR_NOSYSTEM", "GIT_NO_LAZY_FETCH"), "1"),
    **dict.fromkeys(("GIT_CONFIG_SYSTEM", "GIT_CONFIG_GLOBAL"), "/dev/null"),
    **dict.fromkeys(("GIT_OPTIONAL_LOCKS", "GIT_TERMINAL_PROMPT"), "0"),
    **dict.fromkeys(("GIT_EDITOR", "GIT_SEQUENCE_EDITOR"), ":"),
    **dict.fromkeys(("GIT_ASKPASS", "GIT_SSH_COMMAND"), "false"),
    "GIT_PAGER": "cat",
    # Wins over any `protocol.<name>.allow` of a repository; there is no protocol of that name.
    "GIT_ALLOW_PROTOCOL": "none",
    # A file may be called `:(exclude)x` or `*`: pathspecs of ours are plain names.
    "GIT_LITERAL_PATHSPECS": "1",
}

SAFE_GIT_SETTINGS = {
    **dict.fromkeys(("core.fsmonitor", "core.askPass", "core.sshCommand", "core.alternateRefsCommand"), "false"),
    **dict.fromkeys(("log.showSignature", "merge.verifySignatures", "gpg.program"), "false"),
    **dict.fromkeys(("commit.gpgSign", "tag.gpgSign", "push.gpgSign", "commit.status", "commit.verbose"), "false"),
    **dict.fromkeys(("submodule.recurse", "status.submoduleSummary", "maintenance.auto"), "false"),
    **dict.fromkeys(("core.quotePath", "color.ui"), "false"),
    **dict.fromkeys(("core.pager", "interactive.diffFilter"), "cat"),
    **dict.fromkeys(("core.editor", "sequence.editor"), ":"),
    **dict.fromkeys(("core.gitProxy", "credential.helper"), ""),
    **dict.fromkeys(("protocol.allow", "column.ui"), "never"),
    "core.hooksPath": "/dev/null",
    "safe.bareRepository": "explicit",
    "diff.submodule": "short",
    "gc.auto": "0",
}

# The last word of a key that names a command, and what is put over it. An empty filter is no filter. `diff.external`
# and a textconv must not be empty (git exits 128, or runs the file itself); a merge driver that fails is a conflict.
_OVERRIDES_BY_KEY = {
    **dict.fromkeys(("clean", "smudge", "process", "helper", "packobjectshook", "gitproxy", "proxy", "vcs"), ""),
    **dict.fromkeys(("required", "fsmonitor", "gpgsign", "showsignature", "verifysignatures", "promisor"), "false"),
    **dict.fromkeys(("driver", "external", "command", "cmd", "program", "askpass", "sshcommand"), "false"),
    **dict.fromkeys(("uploadpack", "receivepack", "alternaterefscommand", "defaultkeycommand"), "false"),
    **dict.fromkeys(("textconv", "pager", "difffilter"), "cat"),
    "editor": ":",
    "hookspath": "/dev/null",
    "allow": "never",
    "update": "none",
}
_OVERRIDES_BY_SECTION = {"pager": "cat", **dict.fromkeys(("hook", "alias", "guitool", "mergetool", "tar"), "false")}
_TOOLS = re.compile(r"(?:^|\.)(?:[a-z]*tool|browser)\.", re.IGNORECASE)


def override_settings(keys: Iterable[str]) -> dict[str, str]:
    """The settings that override a repository's own, given the keys that it sets: each key that could run something."""
    found: dict[str, str] = {}
    for key in keys:
        section, last = key.split(".", 1)[0].lower(), key.rpartition(".")[2].lower()
        value = _OVERRIDES_BY_SECTION.get(section, _OVERRIDES_BY_KEY.get(last))
        if value is None and _TOOLS.search(key):
            value = "false"
        if value is not None and key not in found:
            found[key] = value
    return found


def settings_as_environ(settings: Mapping[str, str]) -> dict[str, str]:
    """The variables that pass settings to git: stronger than every file, and in no command line."""
    variables = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):
        variables[f"GIT_CONFIG_KEY_{number}"] = key
        variables[f"GIT_CONFIG_VALUE_{number}"] = value
    return variables


def find_refused_argument(args: tuple[str, ...]) -> str:
    """Find what in `args` this git never runs, also abbreviated as git allows it; "" for nothing."""
    if not args or args[0] not in ALLOWED_SUBCOMMANDS:
        return args[0] if args else "nothing"
    for arg in args[1:]:
        if arg in ("--", "--end-of-options"):
            return ""
        name = arg.split("=", 1)[0]
        if len(name) > 3 and name.startswith("--") and any(option.startswith(name) for option in _REFUSED):
            return arg
    return ""
