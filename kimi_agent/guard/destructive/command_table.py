"""A table of commands that destroy something, by the command's name: what is lost, and if a snapshot covers it.

To be read and to be added to.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Loss:
    """Something that a command destroys; `what` goes on from "it".

    `covered` says that a snapshot of the workspace brings it back, as far as it holds `paths` (those of the workspace
    that the command names, perhaps ignored by git); `exact` says that nothing else worth keeping is destroyed. What
    `refs` name in the repository comes back by the command `restore`, with the `{commit}` they held.
    """

    what: str
    covered: bool = True
    paths: tuple[str, ...] = ()
    refs: tuple[str, ...] = ()
    restore: str = ""
    exact: bool = False


CommandWords = Sequence[str]
LossRule = Callable[[CommandWords], Loss | None]


def _always(what: str, *, covered: bool) -> LossRule:
    return lambda words: None if "--help" in words else Loss(what, covered)


def _with(pattern: str, what: str, *, covered: bool = False) -> LossRule:
    """A loss where the words, joined by blanks, hold `pattern`."""
    held = re.compile(pattern)
    return lambda words: Loss(what, covered) if held.search(" ".join(words)) else None


def _rsync(words: CommandWords) -> Loss | None:
    if not any(word.startswith("--del") or word == "--remove-source-files" for word in words):
        return None
    target = next((word for word in reversed(words) if not word.startswith("-")), "")
    return Loss(f"deletes what is only in {target[:80] or 'the destination'}", covered=not re.match(r"[^/]*:", target))


_REGISTRY = "changes what a registry offers to everybody"
_DELETERS = ("rm", "grm", "srm", "unlink", "rimraf", "del", "trash")
FILE_DESTROYERS = frozenset({*_DELETERS, "rmdir", "shred", "truncate", "find"})
"""Commands whose operands are the files that they destroy."""

LOSSY_COMMANDS: Mapping[str, LossRule] = {
    **dict.fromkeys(_DELETERS, _always("deletes files", covered=True)),
    "rmdir": lambda words: None,  # only empty folders
    "shred": _always("overwrites files", covered=True),
    "truncate": _always("cuts files off", covered=True),
    "rsync": _rsync,
    # Databases and services
    "dropdb": _always("drops a database", covered=False),
    "dropuser": _always("drops a database user", covered=False),
    "mysqladmin": _with(r"\bdrop\b", "drops a database"),
    **dict.fromkeys(("rails", "rake"), _with(r"db:(drop|reset|purge|truncate_all|schema:load)", "empties a database")),
    "manage.py": _with(r"\b(flush|reset_db|sqlflush)\b", "empties a database"),
    **dict.fromkeys(
        ("python", "python3"),
        lambda words: (
            _with(r"manage\.py (flush|reset_db)\b", "empties a database")(words)
            or _with(r"^-m twine upload\b|^setup\.py (\S+ )*upload\b", _REGISTRY)(words)
        ),
    ),
    "django-admin": _with(r"\bflush\b", "empties a database"),
    "prisma": _with(r"migrate reset|db push .*--(force-reset|accept-data-loss)", "empties a database"),
    "artisan": _with(r"migrate:(fresh|reset|refresh)|db:wipe", "empties a database"),
    "php": _with(r"artisan (migrate:(fresh|reset|refresh)|db:wipe)", "empties a database"),
    "alembic": _with(r"downgrade base", "takes a database back to its beginning"),
    "flask": _with(r"db downgrade base", "takes a database back to its beginning"),
    "mix": _with(r"ecto\.(drop|reset)", "empties a database"),
    "supabase": _with(r"db reset|projects delete", "empties a database"),
    # Containers and clouds
    "docker": _with(
        r"system prune|volume (rm|remove|prune)|compose (\S+ )*down .*(-v|--volumes)|container prune|"
        r"image prune|\brmi\b|^(\S+ )*(?<!-)rm (\S+ )*(-[a-z]*f|--force)|^(\S+ )*(?<!-)rm (\S+ )*(-[a-z]*v|--volumes)",
        "removes containers, images or volumes",
    ),
    "docker-compose": _with(r"down .*(-v|--volumes)", "removes volumes"),
    "podman": _with(r"system prune|volume (rm|prune)|pod rm", "removes containers or volumes"),
    "kubectl": _with(r"\b(delete|drain|replace .*--force)\b", "removes things from a cluster"),
    "oc": _with(r"\bdelete\b", "removes things from a cluster"),
    "helm": _with(r"\b(uninstall|delete|del)\b", "removes a release from a cluster"),
    **dict.fromkeys(
        ("terraform", "tofu", "terragrunt", "pulumi", "cdk"),
        _with(r"\b(destroy|apply .*-(destroy|auto-approve)|state rm)\b", "destroys infrastructure"),
    ),
    "aws": _with(
        r"s3 (rm|rb)|s3 sync .*--delete|\b(delete|terminate|deregister)-[\w-]+|s3api delete", "deletes from the cloud"
    ),
    "gcloud": _with(r"\bdelete\b", "deletes from the cloud"),
    "gsutil": _with(r"\b(rm|rb)\b|rsync .*-d", "deletes from the cloud"),
    "az": _with(r"\b(delete|purge)\b", "deletes from the cloud"),
    "rclone": _with(r"^(\S+ )*(delete|purge|sync|rmdirs|cleanup)\b", "deletes at a remote"),
    "s3cmd": _with(r"\b(del|rm|rb)\b", "deletes from the cloud"),
    "heroku": _with(r"(apps:)?destroy|pg:reset", "destroys an app or its data"),
    **dict.fromkeys(("flyctl", "fly"), _with(r"\bdestroy\b", "destroys an app")),
    "vercel": _with(r"\b(rm|remove)\b", "removes a deployment"),
    "firebase": _with(r"firestore:delete|database:remove|projects:delete", "deletes data at a remote"),
    "gh": _with(
        r"\b(repo|release|gist|secret|variable|run|cache|label|issue|ssh-key|gpg-key) delete\b|"
        r"api .*(-X|--method)[ =]?DELETE|repo archive",
        "deletes at the remote",
    ),
    "glab": _with(r"\bdelete\b", "deletes at the remote"),
    **dict.fromkeys(("npm", "pnpm", "yarn"), _with(r"^(\S+ )*(un)?pub(l(i(sh?)?)?)?\b(?!.*--dry-run)", _REGISTRY)),
    "cargo": _with(r"^(\S+ )*(yank|publish)\b(?!.*--dry-run)", _REGISTRY),
    "gem": _with(r"^(\S+ )*(yank|push)\b", _REGISTRY),
    **dict.fromkeys(("bun", "deno", "jsr", "vsce", "lerna"), _with(r"^publish\b(?!.*--dry-run)", _REGISTRY)),
    **dict.fromkeys(("twine", "dotnet", "mvn"), _with(r"^(\S+ )*(upload|nuget push|deploy)\b", _REGISTRY)),
    **dict.fromkeys(("poetry", "uv", "flit", "hatch", "pdm"), _with(r"^publish\b(?!.*--dry-run)", _REGISTRY)),
    "curl": _with(r"(-X|--request)[ =]?DELETE\b", "deletes at a server"),
    "http": _with(r"^(\S+ )*DELETE\b", "deletes at a server"),
    # Other version control
    "hg": _with(
        r"^(\S+ )*(revert\b.*(-a|--all|--no-backup)|update .*(-C|--clean)|up .*-C|purge)",
        "discards changes",
        covered=True,
    ),
    "svn": _with(r"^(\S+ )*(revert|cleanup .*--remove)", "discards changes", covered=True),
    "jj": _with(r"^(\S+ )*(restore|abandon)\b", "discards changes", covered=True),
    # The machine
    "crontab": lambda words: (
        None if {"-l", "-e", "-V", "-T", "--help"} & set(words) else Loss("replaces the crontab", covered=False)
    ),
    **dict.fromkeys(("iptables", "ip6tables"), _with(r"(^| )(-F|-X|--flush)", "drops the rules of the firewall")),
    "nft": _with(r"flush|delete", "drops the rules of the firewall"),
    "systemctl": _with(r"^(\S+ )*(stop|disable|mask|kill)\b", "stops a service of this machine"),
    **dict.fromkeys(
        ("apt", "apt-get", "dnf", "yum", "pacman", "zypper", "apk", "brew"),
        _with(r"^(-\S+ )*(remove|purge|autoremove|erase|del|uninstall|rm|-R\w*)\b", "removes programs of this machine"),
    ),
    "virsh": _with(r"\bundefine\b|vol-delete", "removes a virtual machine"),
    "vagrant": _with(r"\bdestroy\b", "removes a virtual machine"),
    "userdel": _always("removes a user", covered=False),
}
