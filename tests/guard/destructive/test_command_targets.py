"""Which files a command strikes, seen on a real folder: also ignored ones, for only what is named is kept of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kimi_agent.guard.destructive.command_table import Loss
from kimi_agent.guard.destructive.losses import find_losses

Read = Callable[[str], tuple[Loss, ...]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    place = tmp_path / "a workspace"
    for name in (".env.local", ".hidden", "data.bin", "a.txt", "src/.env", "src/x.orig", "src/__pycache__/x.pyc"):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return lambda command: find_losses(command, home=tmp_path / "home", workspace=place)


@pytest.mark.parametrize(
    ("command", "paths"),
    [
        ("rm .env*", [".env.local"]),
        ("rm *.bin a.txt", ["a.txt", "data.bin"]),
        ("rm -rf *", ["a.txt", "data.bin", "src"]),
        ("cd src && rm .e?v", ["src/.env"]),
        ("rm '*.bin'", ["*.bin"]),
        ("find . -name .env -delete", ["src/.env"]),
        ("find src -name '*.orig' -exec rm {} +", ["src/x.orig"]),
        ("find . -name '*.pyc' -delete", []),
        ("find . -name __pycache__ -exec rm -rf {} +", []),
        ("rm -rf build node_modules", ["build", "node_modules"]),
        ("cp a.txt .env.local", [".env.local"]),
        ("cp -f a.txt data.bin src", []),
        ("cp .env.local src/.env", ["src/.env"]),
        ("mv src/.env .env.local", [".env.local"]),
        ("echo 1 | tee .hidden", [".hidden"]),
        ("dd if=a.txt of=.hidden", [".hidden"]),
        ("ln -sf a.txt .hidden", [".hidden"]),
        ("sudo cp a.txt .hidden", [".hidden"]),
    ],
)
def test_the_files_that_are_struck_are_named(read: Read, command: str, paths: list[str]) -> None:
    found = read(command)
    assert sorted(path for loss in found for path in loss.paths) == paths
    assert all(loss.covered and loss.exact for loss in found)


@pytest.mark.parametrize("command", ["rm $X", "cat list | xargs rm", "git checkout .", "rm a.txt $X", "rm -rf ."])
def test_what_only_the_run_shows_is_not_called_all(read: Read, command: str) -> None:
    assert any(not loss.exact for loss in read(command))


@pytest.mark.parametrize(
    "command",
    [
        "docker run --rm -v $PWD:/app node npm test",
        "docker compose run --rm web pytest -v",
        "cd /var/tmp && rm -rf build-1",
        "echo 1 | tee -a a.txt",
        "cp -n a.txt data.bin",
        "ln -s a.txt new",
        "cp a.txt new.txt",
    ],
)
def test_everyday_commands_lose_nothing(read: Read, command: str) -> None:
    assert read(command) == ()


@pytest.mark.parametrize("command", ["docker rm -fv c1", "docker container rm --volumes c1", "docker rmi x"])
def test_volumes_and_images_are_no_snapshots_affair(read: Read, command: str) -> None:
    assert [loss.covered for loss in read(command)] == [False]


def test_a_workspace_below_the_folder_for_temporary_files_is_somebodys_work(read: Read, tmp_path: Path) -> None:
    assert [loss.paths for loss in read(f"rm '{tmp_path}/a workspace/a.txt'")] == [("a.txt",)]


def test_where_a_cd_may_have_failed_the_workspace_may_be_struck(read: Read) -> None:
    assert read("cd /var/tmp; rm a.txt") != ()
