"""Git remotes: the one that a branch is pushed to, and the GitHub names of the repositories there. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from kimi_agent.errors import UserError
from kimi_agent.printable import escape_path
from kimi_agent.workspace.repository.user_git_config import ConfigValue, effective_value

_SCP = re.compile(r"(?:[A-Za-z0-9_.-]+@)?(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*):(?!/)(?P<path>[^\\]+)")
_PATH = re.compile(r"/?([A-Za-z0-9][A-Za-z0-9-]*)/([A-Za-z0-9._-]+?)(?:\.git)?/?")


@dataclass(frozen=True)
class Remote:
    """A remote: its name, its repository on GitHub ("host/owner/name", or ""), and the address as it is written.

    `reached` is that address after the person's own insteadOf settings.
    """

    name: str
    repository: str
    url: str
    reached: str

    @property
    def owner(self) -> str:
        """The owner of the repository, "" if it is not on GitHub."""
        return self.repository.split("/")[1] if self.repository else ""

    @property
    def shown(self) -> str:
        """The address without a password, for people."""
        return escape_path(re.sub(r"(?<=//)[^/@]*@", "***@", self.reached))


def github_repository(url: str) -> str:
    """The name that gh has for the repository at `url`: "github.com/owner/name"; "" for what can be no GitHub."""
    scp = _SCP.fullmatch(url) if "://" not in url else None
    try:
        parts = urlsplit(url)
        host, path = (scp["host"], scp["path"]) if scp else (parts.hostname or "", parts.path)
    except ValueError:
        return ""
    if not scp and parts.scheme not in ("https", "ssh"):
        return ""
    found = _PATH.fullmatch(path)
    if host == "ssh.github.com" or "." not in host:  # without a dot it is a name of the person's own ssh settings
        host = "github.com"
    return f"{host.lower()}/{found[1]}/{found[2]}" if found and host else ""


def read_remotes(values: Sequence[ConfigValue]) -> list[Remote]:
    """The remotes that the configuration names and a branch may be pushed to, by name."""
    found = {}
    for each in values:
        if each.key.startswith("remote.") and each.key.endswith((".url", ".pushurl")):
            name = each.key.removeprefix("remote.").rpartition(".")[0]
            url = effective_value(values, f"remote.{name}.pushurl") or effective_value(values, f"remote.{name}.url")
            found[name] = Remote(name, github_repository(url), url, resolve_push_url(values, url))
    return [found[name] for name in sorted(found)]


def resolve_push_url(values: Sequence[ConfigValue], url: str) -> str:
    """The address that a push to `url` goes to by the person's own settings; the repository's do not count."""
    rules = [each for each in values if each.key.startswith("url.") and each.scope in ("system", "global")]
    for last_word in (".pushinsteadof", ".insteadof"):
        fitting = [each for each in rules if each.key.endswith(last_word) and url.startswith(each.value)]
        if fitting:
            longest = max(fitting, key=lambda each: len(each.value))
            return longest.key.removeprefix("url.").removesuffix(last_word) + url[len(longest.value) :]
    return url


def find_push_remote(values: Sequence[ConfigValue], branch: str) -> Remote:
    """The remote that git itself would push `branch` to. Raises UserError where that is not clear, or not allowed."""
    remotes = read_remotes(values)
    if not remotes:
        raise UserError("This repository has no remote to push to; add one with git remote add origin URL.", 1)
    chosen = effective_value(values, f"branch.{branch}.pushremote") or effective_value(values, "remote.pushdefault")
    names = [chosen] if chosen else ["origin", *(remote.name for remote in remotes if len(remotes) == 1)]
    remote = next((each for name in names for each in remotes if each.name == name), None)
    if remote is None:
        there = ", ".join(escape_path(each.name) for each in remotes)
        raise UserError(f"Which remote to push to is not clear ({there}); set git config remote.pushDefault NAME.", 1)
    for url in (remote.url, remote.reached):
        shape = re.match(r"(https|ssh|file)://[^-]", url) or _SCP.fullmatch(url) or url.startswith("/")
        if not shape or "::" in url or not url.isprintable():
            what = f"The remote {escape_path(remote.name)} ({remote.shown})"
            raise UserError(f"{what} is neither https, ssh nor a path; push by yourself.", 1)
    return remote


def find_base_repository(values: Sequence[ConfigValue], pushed: Remote) -> str:
    """The repository that the pull request goes to: by `gh repo set-default`, else upstream, else where we push."""
    remotes = {remote.name: remote for remote in read_remotes(values)}
    for name, remote in remotes.items():
        chosen = effective_value(values, f"remote.{name}.gh-resolved")
        if chosen == "base" and remote.repository:
            return remote.repository
        if _PATH.fullmatch(chosen):
            return f"{remote.repository.partition('/')[0] or 'github.com'}/{chosen}"
    upstream = remotes.get("upstream")
    return upstream.repository if upstream and upstream.repository else pushed.repository
