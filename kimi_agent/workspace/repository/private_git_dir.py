"""A private git folder on the objects of the user's repository, so that none of its configuration counts."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from kimi_agent.workspace.git.command import Git
from kimi_agent.workspace.git.git_folder import Repository
from kimi_agent.workspace.repository.user_git_config import ConfigValue


def make_private_git_dir(own: Repository, scratch: Path, *, width: int) -> Path:
    """Make a minimal git folder in `scratch` on the objects of `own`; it has no refs.

    `width` is the length of its ids: 40, or 64 for SHA-256. Raises OSError.
    """
    private = scratch / "git"
    (private / "refs").mkdir(parents=True)
    (private / "info").mkdir()
    (private / "objects").symlink_to(own.common.absolute() / "objects")
    sha256 = "[extensions]\n\tobjectFormat = sha256\n" if width == 64 else ""
    version = 1 if sha256 else 0
    (private / "config").write_text(f"[core]\n\trepositoryformatversion = {version}\n\tbare = false\n{sha256}", "ascii")
    for name in ("info/attributes", "shallow"):
        with contextlib.suppress(OSError):
            (private / name).write_bytes((own.common / name).read_bytes())
    (private / "HEAD").write_text("ref: refs/heads/none\n", "ascii")
    return private


def open_git_on_objects(
    own: Repository, scratch: Path, settings: Mapping[str, str], environ: Mapping[str, str], *, width: int
) -> Git:
    """Open a git with a private folder in `scratch` that reads and writes the objects of `own`."""
    private = make_private_git_dir(own, scratch, width=width)
    return Git(scratch, git_dir=private, environ=environ, settings={**settings, "core.safecrlf": "false"})


def extra_header_lines(values: Sequence[ConfigValue]) -> str:
    """The repository's own headers for its remotes, as lines of a private configuration file.

    CI passes the key for a push in them. They are data; nothing else of the repository's configuration is copied.
    """
    found = ""
    for each in values:
        url = each.key.removeprefix("http.").removesuffix(".extraheader")
        if each.scope in ("local", "worktree") and url.isprintable() and each.value.isprintable():
            quoted = [text.replace("\\", "\\\\").replace('"', '\\"') for text in (url, each.value)]
            found += f'[http "{quoted[0]}"]\n\textraheader = "{quoted[1]}"\n'
    return found
