"""The edit engine on the history of real projects: every file change, clean and with noise, compared byte by byte.

Needs the package index: `python -m pytest tests/real/test_real_history.py -m real -s`. What was fetched is kept in
a folder under the system's temporary one (HISTORY_CACHE names another); SEED turns the dice.
"""

import os
import random
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from shutil import which

import pytest

from tests.edit.history.noise import CLEAN, REFUSED
from tests.edit.history.on_disk import Step, laid, spoiled_step, unified_step, v4a_step, walked
from tests.edit.history.trials import FORMS, Figures, run
from tests.edit.history.versions import File, Version, changes, steps, text_only

pytestmark = [pytest.mark.real, pytest.mark.timeout(3600)]

PATIENCE_S = 300
# What the rows and the engine were tried on while they were written.
TUNED_ON = {
    "pypi:click": "8.0.0 8.0.4 8.1.0 8.1.3 8.1.7 8.1.8",
    "pypi:flask": "2.0.0 2.0.3 2.1.3 2.2.5 2.3.3 3.0.3 3.1.0",
    "pypi:requests": "2.22.0 2.25.1 2.26.0 2.28.2 2.31.0 2.32.3",
}
# The proof: these were not looked at before.
PROOF = {
    "pypi:attrs": "19.3.0 20.3.0 21.4.0 22.2.0 23.2.0",
    "pypi:jinja2": "2.11.3 3.0.3 3.1.2 3.1.4 3.1.6",
    "pypi:httpx": "0.20.0 0.23.3 0.25.2 0.27.2 0.28.1",
    "pypi:urllib3": "1.26.5 1.26.12 1.26.18 2.0.7 2.2.3",
    "pypi:packaging": "20.9 21.3 22.0 23.2 24.2",
    "pypi:rich": "10.16.2 12.6.0 13.3.5 13.7.1 13.9.4",
    "npm:express": "4.16.4 4.17.3 4.18.2 4.21.2 5.0.1",
    "npm:commander": "6.2.1 8.3.0 9.5.0 11.1.0 12.1.0",
}
WHOLE = ("all files, unified", "all files, V4A", "all files, git diff -M", "all files, one line wrong")


def fetched(project: str, version: str, cache: Path) -> Path:
    """The archive of one version, by the index's own client."""
    kind, name = project.split(":")
    folder = cache / kind / name / version
    if not (folder.is_dir() and any(folder.iterdir())):
        folder.mkdir(parents=True, exist_ok=True)
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "-d", ".")
        argv = (*pip, f"{name}=={version}") if kind == "pypi" else ("npm", "pack", "--silent", f"{name}@{version}")
        subprocess.run(argv, cwd=folder, check=True, timeout=PATIENCE_S, stdout=subprocess.DEVNULL)
    return next(path for path in folder.iterdir() if path.is_file())


def unpacked(archive: Path) -> Version:
    """The text files of an archive, without its top folder."""
    found: dict[str, File] = {}
    if archive.suffix in (".zip", ".whl"):
        with zipfile.ZipFile(archive) as box:
            members = [(info.filename, box.read(info), False) for info in box.infolist() if not info.is_dir()]
    else:
        with tarfile.open(archive) as tar:
            read = ((info, tar.extractfile(info)) for info in tar if info.isfile())
            members = [(info.name, file.read(), bool(info.mode & 0o100)) for info, file in read if file]
    for name, data, executable in members:
        found[name.partition("/")[2]] = File(data, executable)
    return text_only(found)


def measured(project: str, archives: Sequence[Path], seed: str, with_git: bool) -> Figures:
    """All rows of one project."""
    figures = Figures()
    for old, new in steps([unpacked(archive) for archive in archives]):
        changed = list(changes(old, new))
        figures.add(run(((project, change) for change in changed), seed))
        dice = random.Random(f"{seed} {project} {len(changed)}")
        asked: Mapping[str, Step | None] = {
            WHOLE[0]: unified_step(old, new, changed),
            WHOLE[1]: v4a_step(old, changed),
            WHOLE[2]: git_step(old, new) if with_git else None,
            WHOLE[3]: spoiled_step(old, changed, dice),
        }
        for row, step in asked.items():
            if step is not None:
                with tempfile.TemporaryDirectory() as folder:
                    figures.note(row, "disk", project, None, walked(step, Path(folder)))
    return figures


def git_step(old: Version, new: Version) -> Step:
    """The diff that git itself makes of two versions, renames and all."""
    with tempfile.TemporaryDirectory() as folder:
        home = {"HOME": folder, "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ.get("PATH", os.defpath)}
        git = ("git", "-c", "core.autocrlf=false", "-c", "user.name=t", "-c", "user.email=t@example.invalid")

        def asked(*words: str) -> bytes:
            done = subprocess.run((*git, *words), cwd=root, env=home, check=True, capture_output=True)
            return done.stdout

        root = Path(folder, "tree")
        root.mkdir()
        asked("init", "-q")
        for version in (old, new):
            asked("rm", "-rq", "--ignore-unmatch", ".")
            laid(root, version)
            Path(root, ".git/info/attributes").write_text("* diff -text\n")
            asked("add", "-Af")
            asked("commit", "-q", "--allow-empty", "-m", "version")
        return Step(old, asked("diff", "-M", "--no-color", "--no-ext-diff", "HEAD~", "HEAD").decode(), new)


def all_measured(projects: Mapping[str, str]) -> Figures:
    cache = Path(os.environ.get("HISTORY_CACHE", Path(tempfile.gettempdir()) / "kimi-agent-history"))
    seed = os.environ.get("SEED", "1")
    figures = Figures()
    jobs = []
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for project, versions in projects.items():
            if project.startswith("npm:") and not which("npm"):
                print(f"{project} is left out: there is no npm here")
                continue
            archives = [fetched(project, version, cache) for version in versions.split()]
            jobs.append(pool.submit(measured, project, archives, seed, bool(which("git"))))
        for job in jobs:
            figures.add(job.result())
    return figures


@pytest.fixture(params=["tuned on", "proof"])
def projects(request: pytest.FixtureRequest) -> tuple[str, Mapping[str, str]]:
    return request.param, TUNED_ON if request.param == "tuned on" else PROOF


def test_every_real_change_lands_exactly_or_is_refused(projects: tuple[str, Mapping[str, str]]) -> None:
    name, given = projects
    began = time.monotonic()
    figures = all_measured(given)
    print(f"\n{name}: {', '.join(given)} ({time.monotonic() - began:.0f} s)\n{figures.table()}")
    assert [wrong[:3] for wrong in figures.wrongs] == []
    exact, refused, _ = figures.of(CLEAN, "unified")
    assert exact > 500
    assert refused == 0
    exact, refused, _ = figures.of(CLEAN, "v4a")
    assert exact >= 0.95 * (exact + refused)
    for row in (WHOLE[0], WHOLE[2]):
        assert figures.of(row, "disk")[1] == 0
    for form in FORMS:
        for row in REFUSED:
            assert figures.of(row, form)[0] == 0
