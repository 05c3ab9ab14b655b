"""The built wheel, in an environment of its own, from another folder: what a person who installs it gets."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment with the wheel in it.

    Its libraries are lent from the environment that the tests run in, so that no network is needed; kimi-agent itself
    is not: an editable install works by a .pth file, and those count only in an environment's own folder.
    """
    folder = tmp_path_factory.mktemp("wheel") / "an environment"
    dist = folder.parent / "dist"
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(dist), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=50)
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install", "--quiet"]
    wheel = next(dist.glob("*.whl"))
    subprocess.run([*pip, "--no-index", "--no-deps", str(wheel)], check=True, capture_output=True, timeout=50)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    lent = folder / "lib" / version / "site-packages" / "lent.pth"
    lent.write_text(sysconfig.get_paths()["purelib"] + "\n")
    (folder / "bin" / "rg").symlink_to(Path(sysconfig.get_path("scripts")) / "rg")
    return folder / "bin"


def run(installed: Path, home: Path, *argv: str) -> "subprocess.CompletedProcess[str]":
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C"}
    return subprocess.run(
        argv, cwd=home, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=55, check=False
    )


def test_it_holds_the_built_in_layer_and_nothing_of_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = (
        "import kimi_agent, importlib.util as u, json; from kimi_agent.layers import built_in_root as b;"
        "from kimi_agent.workspace.testrun.registry import list_runners; print(list_runners({})[-1].name);"
        "print(json.dumps([kimi_agent.__file__, str(b()), sorted(p.name for p in (b()/'prompts').iterdir()),"
        "u.find_spec('tools') is None, u.find_spec('tests') is None]))"
    )
    done = run(installed, tmp_path, str(installed / "python"), "-P", "-c", code)
    assert str(ROOT) not in done.stdout, done.stderr
    assert '"system.md"' in done.stdout
    assert done.stdout.startswith("task test\n")
    assert done.stdout.rstrip().endswith("true, true]")


@pytest.mark.long
def test_the_console_script_runs_the_demo(installed: Path, tmp_path: Path) -> None:
    assert run(installed, tmp_path, str(installed / "kimi-agent"), "--version").stdout.startswith("kimi-agent ")
    done = run(installed, tmp_path, str(installed / "kimi-agent"), "demo")
    assert done.returncode == 0, done.stdout + done.stderr
