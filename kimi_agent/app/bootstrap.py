"""Bootstrap: settings, folders, layers and trust, read before a session is opened.

Light on imports: the first prompt waits for it.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kimi_agent.config import Config, load_config
from kimi_agent.errors import UserError
from kimi_agent.layers import PROJECT_FOLDER, Layer, UserFolders, find_user_folders, list_layers, workspace_key

if TYPE_CHECKING:
    from kimi_agent.log.sessions import Sessions


@dataclass(frozen=True)
class Setup:
    """What is known before a session is opened.

    `untrusted` is the project's folder where it was left out. `project_content` is the fingerprint of the project's
    folder as it was found now ("" where there is none, or it can't be pinned down).
    """

    config: Config
    user_folders: UserFolders
    workspace: Path
    cwd: Path
    layers: tuple[Layer, ...]
    environ: Mapping[str, str]
    notices: tuple[str, ...]
    untrusted: Path | None
    project_content: str = ""

    def check_project(self) -> None:
        """Raises UserError where the project's folder is in use and no longer holds what was trusted."""
        if self.project_content and self.untrusted is None:
            from kimi_agent.guard.policy.trust import check_unchanged

            check_unchanged(self.workspace / PROJECT_FOLDER, self.project_content)

    @property
    def sessions(self) -> "Sessions":
        """The sessions of this workspace."""
        import random
        import time

        from kimi_agent.log.sessions import Sessions

        return Sessions(self.user_folders.state, self.workspace, now=time.time, rng=random.Random())

    @property
    def resume_with(self) -> str:
        """The command that resumes a session of this workspace, but for its id; one of ours is found by its name."""
        base = Path(os.path.realpath(self.user_folders.state)) / "worktrees"
        inside = self.workspace.relative_to(base).parts if self.workspace.is_relative_to(base) else ()
        return f"kimi-agent -w {inside[1]} -r" if len(inside) > 1 else "kimi-agent -r"

    @property
    def history_file(self) -> Path:
        """What was typed in this workspace, shared by its sessions."""
        return self.user_folders.state / "history" / workspace_key(self.workspace)


def find_workspace(given: str, cwd: Path | None, home: Path) -> tuple[Path, Path]:
    """The workspace and the folder the shell starts in, as real paths.

    The workspace is `given`, else the git top level of the cwd unless that is the home folder, else the cwd. Found by
    looking for `.git`, not by running git: before trust nothing of the repository may run. Raises UserError.
    """
    if given:
        folder = Path(given).expanduser()
        folder = folder if folder.is_absolute() or cwd is None else cwd / folder
        if not folder.is_dir():
            raise UserError(f"There is no folder {given}.", 2)
        real = folder.resolve()
        return real, real
    if cwd is None:
        raise UserError("The current folder is gone; change to one that exists, or name one with -C.", 2)
    real = cwd.resolve()
    for folder in (real, *real.parents):
        if folder == home.resolve():
            break
        if os.path.lexists(folder / ".git"):
            return folder, real
    return real, real


def load_setup(
    flags: Mapping[str, object],
    *,
    sets: Sequence[str],
    directory: str,
    environ: Mapping[str, str],
    trust: bool,
    shown: str = "",
) -> Setup:
    """Read the settings for a run in `directory` ("" for the cwd). Raises UserError.

    A project's own layer counts only when its folder is trusted; `trust` records that it is, with `shown` (a
    fingerprint that a person was asked about) only if the folder still holds that. Where it is not trusted, `untrusted`
    names the folder, and a notice says that it was left out.
    """
    folders = find_user_folders(environ)
    workspace, cwd = find_workspace(directory, _cwd(), folders.home)
    project: Path | None = workspace / PROJECT_FOLDER
    notices: list[str] = []
    untrusted, content = None, ""
    if workspace == folders.home.resolve() or not (workspace / PROJECT_FOLDER).is_dir():
        project = None
    elif not (content := _fingerprint(workspace, notices)) or not _is_trusted(
        workspace, content, folders, notices, trust=trust and shown in ("", content)
    ):
        untrusted, project = project, None
    config = load_config(folders.config / "config.toml", project and project / "config.toml", environ, flags, sets)
    notices += config.problems
    layers = list_layers(folders.config, project)
    setup = Setup(config, folders, workspace, cwd, layers, environ, tuple(notices), untrusted, content)
    setup.check_project()  # its settings are those that were trusted
    return setup


def _fingerprint(workspace: Path, notices: list[str]) -> str:
    """The fingerprint of the project's folder; "" for one that cannot be pinned down, and so cannot be trusted."""
    from kimi_agent.guard.policy.trust import fingerprint_folder

    try:
        return fingerprint_folder(workspace / PROJECT_FOLDER)
    except UserError as error:
        notices.append(str(error))
        return ""


def _is_trusted(workspace: Path, content: str, folders: UserFolders, notices: list[str], *, trust: bool) -> bool:
    """Whether this content of the project's folder may be used; what a person must know of it joins `notices`."""
    from kimi_agent.guard.policy.trust import TrustStore

    folder = workspace / PROJECT_FOLDER
    store = TrustStore(folders.state / "trust.json", home=folders.home)
    notices += [problem] if (problem := store.problem()) else []
    if trust:
        store.trust(workspace, content)
    if store.is_trusted(workspace, content):
        return True
    notices.append(f"Left out {folder}: not trusted yet (--trust, after you have read it).")
    return False


def _cwd() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None
