"""Protected names: files that other programs run or obey by themselves, so that writing one is like running a command.

No mode writes them unasked. They are kinds, not a list of files that were once attacked: what git, shells, ssh,
editors, package managers, other agents and CI services start from.
"""

import contextlib
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

_GIT = (".git", ".gitmodules", ".gitconfig", ".config/git", ".husky", ".githooks", "lefthook.yml", "lefthook.yaml")
_OTHER_VERSION_CONTROL = (".hg", ".hgrc", ".svn", ".jj", ".config/jj")
_AGENTS = (
    *(".kimi-agent", ".kimi", ".kimi-code", ".claude", ".claude.json", ".codex", ".cursor", ".gemini", ".opencode"),
    *(".mcp.json", "opencode.json", ".continue", ".windsurf", ".roo", ".cline", ".aider.conf.yml", ".amazonq"),
    *(".config/opencode", ".config/kimi-agent", ".qwen", ".goose", ".config/goose", ".copilot", ".kiro", ".factory"),
)
_EDITORS = (
    *(".vscode", ".idea", ".zed", ".fleet", ".envrc", ".direnvrc", ".config/direnv", ".devcontainer", ".exrc"),
    *(".devcontainer.json", ".vscode-server", ".vs", ".mise.toml", "mise.toml", ".config/mise"),
    *(".vimrc", ".vim", ".nvimrc", ".config/nvim", ".emacs", ".emacs.d", ".dir-locals.el", ".gdbinit", ".lldbinit"),
)
_SHELLS = (
    *(".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases", ".profile", ".inputrc"),
    *(".zshrc", ".zshenv", ".zprofile", ".zlogin", ".zlogout", ".kshrc", ".mkshrc", ".cshrc", ".tcshrc", ".login"),
    *(".config/fish", ".xprofile", ".xinitrc", ".xsession", ".xsessionrc", ".pam_environment", ".tmux.conf"),
    *(".config/systemd", ".config/autostart", ".config/environment.d", "Library/LaunchAgents", ".screenrc"),
)
_ACCESS = (".ssh", ".gnupg", ".aws", ".kube", ".docker/config.json", ".netrc", ".curlrc", ".wgetrc")
_PACKAGE_MANAGERS = (
    *(".npmrc", ".yarnrc", ".yarnrc.yml", ".pnpmfile.cjs", ".pypirc", ".config/pip", ".pip", ".condarc", ".gemrc"),
    *(".bundle", ".cargo", ".m2", ".gradle/init.d", ".gradle/gradle.properties", ".sbt", ".ivy2", ".pythonrc.py"),
    *("sitecustomize.py", "usercustomize.py", ".pdbrc", ".irbrc", ".pryrc", ".pre-commit-config.yaml"),
)
_CI = (
    *(".github/workflows", ".github/actions", ".gitlab-ci.yml", ".circleci", ".travis.yml", ".drone.yml"),
    *("Jenkinsfile", "azure-pipelines.yml", "bitbucket-pipelines.yml", ".buildkite", "appveyor.yml", ".appveyor.yml"),
    *(".woodpecker", ".woodpecker.yml", ".cirrus.yml", ".forgejo/workflows", ".gitea/workflows", "cloudbuild.yaml"),
)
PROTECTED_NAMES: tuple[str, ...] = (
    *(*_GIT, *_OTHER_VERSION_CONTROL, *_AGENTS, *_EDITORS),
    *(*_SHELLS, *_ACCESS, *_PACKAGE_MANAGERS, *_CI),
)
"""Names, at any depth; with a `/` their components come one after another."""

_PARTS = {tuple(name.casefold().split("/")): name for name in PROTECTED_NAMES}
_LONGEST = max(map(len, _PARTS))
_NAMES_BY_FIRST_PART: dict[str, list[str]] = {}
for _name in PROTECTED_NAMES:
    _NAMES_BY_FIRST_PART.setdefault(_name.partition("/")[0], []).append(_name)


def find_protected_name(path: str) -> str:
    """The first protected name among the components of `path`, "" if there is none."""
    parts = [_as_file_systems_read(part) for part in path.split("/")]
    for at in range(len(parts)):
        for length in range(1, _LONGEST + 1):
            if found := _PARTS.get(tuple(parts[at : at + length])):
                return found
    return ""


def resolve_protected_links(roots: Sequence[str]) -> dict[str, str]:
    """Where the protected names at the tops of `roots` lead, if they are links: {real path: name}."""
    found = {}
    for root in roots:
        with contextlib.suppress(OSError), os.scandir(root) as entries:
            top = {entry.name: entry.is_symlink() for entry in entries}
            for first in _NAMES_BY_FIRST_PART.keys() & top.keys():
                for name in _NAMES_BY_FIRST_PART[first]:
                    if top[first] or Path(root, name).is_symlink():
                        found[os.path.realpath(os.path.join(root, name))] = name
    return found


def _as_file_systems_read(part: str) -> str:
    """A component as file systems read it that ignore case, invisible characters, a final dot or a stream's name."""
    seen = "".join(char for char in unicodedata.normalize("NFKC", part) if unicodedata.category(char) != "Cf")
    return seen.partition(":")[0].casefold().rstrip(" .")
