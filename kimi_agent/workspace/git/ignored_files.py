"""Files below given paths that git ignores, by the rules of the repository itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from kimi_agent.workspace.git.command import Git, GitFailed, GitMissing, split_nul_paths


def list_ignored_paths(workspace: Path, paths: Sequence[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """What git ignores at or below `paths` (of the workspace), a folder that is ignored as a whole as one path.

    () where there is no repository, no git, or git fails: then nothing is known to be ignored.
    """
    if not paths:
        return ()
    given = ("ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z", "--", *paths)
    try:
        found = Git(workspace, environ=environ).run(*given)
        return tuple(path.rstrip("/") for path in split_nul_paths(found))
    except (GitFailed, GitMissing):
        return ()
