"""Layers of tools, test runners, prompts, commands and config: built-in < user < project (only if trusted).

Every layer is a folder of the same shape: `tools/`, `runners/`, `prompts/` (with `commands/` and `roles/`) and
`config.toml`. A later layer replaces a name of an earlier one, so the built-ins can do nothing that a user's tool
cannot.
"""

import hashlib
import os
import pwd
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from kimi_agent.errors import UserError

PROJECT_FOLDER = ".kimi-agent"
LAYER_PARTS = ("config.toml", "tools", "runners", "prompts")
"""What a layer's folder holds."""
_MAX_PART_FOLDERS = 200
LayerName = Literal["built-in", "user", "project"]


@dataclass(frozen=True)
class Layer:
    """One layer: its name, and the folder that holds `tools/`, `runners/`, `prompts/` and `config.toml`.

    `package` is the folder's own package, where it is one: its modules are then known by their real names.
    """

    name: LayerName
    root: Path
    package: str = ""

    def files(self, folder: str, suffix: str) -> Iterator[Path]:
        """The files with `suffix` directly in `folder`, by name; none where there is no such folder."""
        try:
            found = sorted((self.root / folder).iterdir())
        except OSError:
            return
        yield from (path for path in found if path.suffix == suffix and path.is_file())


@dataclass(frozen=True)
class UserFolders:
    """The person's own folders: `config` is read, `state` is written. `KIMI_AGENT_HOME` moves both."""

    home: Path
    config: Path
    state: Path


def find_user_folders(environ: Mapping[str, str]) -> UserFolders:
    """The folders that `environ` names, by XDG where it says nothing else. Raises UserError where nobody has a home."""
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            home = ""
    own = environ.get("KIMI_AGENT_HOME", "")
    if own:
        base = Path(own).expanduser().absolute()
        return UserFolders(Path(home or own), base, base / "state")
    if not home.startswith("/"):
        raise UserError("There is no home folder to keep sessions in; set HOME or KIMI_AGENT_HOME.", 78)
    config = _xdg_folder(environ, "XDG_CONFIG_HOME", Path(home, ".config"))
    state = _xdg_folder(environ, "XDG_STATE_HOME", Path(home, ".local", "state"))
    return UserFolders(Path(home), config / "kimi-agent", state / "kimi-agent")


def find_private_paths(folders: UserFolders, workspace: Path) -> tuple[str, ...]:
    """What is ours on this machine, as real paths: all of the configuration and the state.

    Where the workspace lies in the configuration folder (`KIMI_AGENT_HOME=.`), it is the parts that are obeyed. A part
    that is a link to elsewhere (a dotfiles repository) is ours there, too.
    """
    config, state = os.path.realpath(folders.config), os.path.realpath(folders.state)
    within = Path(os.path.realpath(workspace)).is_relative_to(config)
    parts = [os.path.join(config, part) for part in LAYER_PARTS]
    linked = {real for path in _part_files(parts) if (real := os.path.realpath(path)) != path}
    return tuple(dict.fromkeys((*(parts if within else [config]), state, *sorted(linked))))


def _part_files(parts: Sequence[str]) -> Iterator[str]:
    """The parts of a layer, and the files of those that are folders."""
    for part in parts:
        yield part
        for folder, folders, files in islice(os.walk(part), _MAX_PART_FOLDERS):
            yield from (os.path.join(folder, name) for name in (*folders, *files))


def _xdg_folder(environ: Mapping[str, str], name: str, default: Path) -> Path:
    value = environ.get(name, "")
    return Path(value) if value.startswith("/") else default  # the specification: relative values are ignored


def workspace_key(workspace: Path) -> str:
    """The folder name of a workspace: readable, and by its hash never shared by two.

    The real path counts, so that a start through a symlink finds the same sessions.
    """
    real = os.path.realpath(workspace)
    slug = re.sub(r"[^A-Za-z0-9._]+", "-", real).strip("-.")[-48:].lstrip("-.")
    digest = hashlib.sha256(os.fsencode(real)).hexdigest()[:12]
    return f"{slug or 'root'}-{digest}"


def built_in_root() -> Path:
    """`kimi_agent/builtin` of a wheel, or the top of the repository in an editable install."""
    package = Path(__file__).resolve().parent
    wheel = package / "builtin"
    return wheel if wheel.is_dir() else package.parent


def list_layers(user_config: Path, project: Path | None) -> tuple[Layer, ...]:
    """The layers in order; `project` is the folder of a trusted workspace's layer, or None."""
    found = [Layer("built-in", built_in_root()), Layer("user", user_config)]
    if project is not None:
        found.append(Layer("project", project))
    return tuple(found)


def find_layer_files(layers: Sequence[Layer], folder: str, suffix: str) -> dict[str, Path]:
    """Names (without suffix) in `folder` over all layers; the last layer that has a name wins."""
    return {path.stem: path for layer in layers for path in layer.files(folder, suffix)}
