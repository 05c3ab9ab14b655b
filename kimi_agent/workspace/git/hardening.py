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
"""Built into every git that we meet, so none of them can be an alias; none speaks to a network or a shell script."""

FORCED_FLAGS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("diff", "diff-files", "diff-index", "diff-tree"),
        ("--no-ext-diff", "--no-textconv", "--ignore-submodules=dirty"),
    ),
    "status": ("--ignore-submodules=dirty",),
    **dict.fromkeys(("log", "show"), ("--no-ext-diff", "--no-textconv", "--no-show-signature")),
    "blame": ("--no-textconv",),
}
"""Flags that these sub-commands always get."""

_REFUSED = (
    *("--upload-pack", "--receive-pack", "--exec", "--exec-path", "--output", "--git-dir", "--work-tree"),
    *("--config-env", "--ext-diff", "--textconv", "--filters", "--open-files-in-pager", "--paginate", "--template"),
    *("--show-signature", "--gpg-sign", "--edit", "--trailer", "--recurse-submodules", "--namespace"),
)

GIT_ENVIRON = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_PAGER": "cat",
    "GIT_EDITOR": ":",
    "GIT_SEQUENCE_EDITOR": ":",
    "GIT_ASKPASS": "false",
    "GIT_SSH_COMMAND": "false",
    # Wins over any `protocol.<name>.allow` of a repository; there is no protocol of that name.
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    # A file may be called `:(exclude)x` or `*`: pathspecs of ours are plain names.
    "GIT_LITERAL_PATHSPECS": "1",
}

SAFE_GIT_SETTINGS = {
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.pager": "cat",
    "core.editor": ":",
    "core.askPass": "false",
    "core.sshCommand": "false",
    "core.gitProxy": "",
    "core.alternateRefsCommand": "false",
    "core.quotePath": "false",
    "safe.bareRepository": "explicit",
    "protocol.allow": "never",
    "submodule.recurse": "false",
    "log.showSignature": "false",
    "merge.verifySignatures": "false",
    "commit.gpgSign": "false",
    "commit.status": "false",
    "commit.verbose": "false",
    "status.submoduleSummary": "false",
    "diff.submodule": "short",
    "tag.gpgSign": "false",
    "push.gpgSign": "false",
    "gpg.program": "false",
    "credential.helper": "",
    "sequence.editor": ":",
    "interactive.diffFilter": "cat",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "color.ui": "false",
    "column.ui": "never",
}

# The last word of a key that names a command, and what is put over it. An empty filter is no filter. `diff.external`
# and a textconv must not be empty (git exits 128, or runs the file itself); a merge driver that fails is a conflict.
_OVERRIDES_BY_KEY = {
    **dict.fromkeys(("clean", "smudge", "process", "helper", "packobjectshook", "gitproxy", "proxy", "vcs"), ""),
    **dict.fromkeys(("required", "fsmonitor", "gpgsign", "showsignature", "verifysignatures", "promisor"), "false"),
    **dict.fromkeys(("driver", "external", "command", "cmd", "program", "askpass", "sshcommand"), "false"),
    **dict.fromkeys(("uploadpack", "receivepack", "alternaterefscommand", "defaultkeycommand"), "false"),
    **dict.fromkeys(("textconv", "pager", "difffilter"), "cat"),
    **dict.fromkeys(("editor",), ":"),
    **dict.fromkeys(("hookspath",), "/dev/null"),
    **dict.fromkeys(("allow",), "never"),
    **dict.fromkeys(("update",), "none"),
}
_OVERRIDES_BY_SECTION = {
    "pager": "cat",
    "hook": "false",
    "alias": "false",
    "guitool": "false",
    "mergetool": "false",
    "tar": "false",
}
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
    """Settings as the environment hands them to git: over every file, and in no command line."""
    variables = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):
        variables[f"GIT_CONFIG_KEY_{number}"] = key
        variables[f"GIT_CONFIG_VALUE_{number}"] = value
    return variables


def find_refused_argument(args: tuple[str, ...]) -> str:
    """What in `args` this git never runs with, also abbreviated as git allows it; "" if nothing."""
    if not args or args[0] not in ALLOWED_SUBCOMMANDS:
        return args[0] if args else "nothing"
    for arg in args[1:]:
        if arg in ("--", "--end-of-options"):
            return ""
        name = arg.split("=", 1)[0]
        if len(name) > 3 and name.startswith("--") and any(option.startswith(name) for option in _REFUSED):
            return arg
    return ""
