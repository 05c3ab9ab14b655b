"""Permission bits of files and folders go back with a rewind, and come again with a redo: all that the system keeps."""

import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.rewind.rewindable_session import Play, begin, resumed


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    playing = begin(tmp_path, git=True)
    for folder, mode in (
        ("secret", 0o700),
        ("shared", 0o2775),
        ("drop", 0o1777),
        ("plain", 0o755),
        ("plain/in", 0o711),
    ):
        (playing.root / folder).mkdir()
        (playing.root / folder).chmod(mode)
        (playing.root / folder / "f").write_text(folder)
    (playing.root / "tool").write_text("tool\n")
    (playing.root / "tool").chmod(0o4755)
    (playing.root / "group").write_text("group\n")
    (playing.root / "group").chmod(0o2750)
    yield playing
    playing.close()


def bits(root: Path) -> dict[str, str]:
    found = (path for path in sorted(root.rglob("*")) if ".git" not in path.parts)
    return {str(path.relative_to(root)): f"{stat.S_IMODE(path.stat().st_mode):o}" for path in found}


def remove(*folders: str) -> Callable[[Path], object]:
    def do(root: Path) -> None:
        for folder in folders:
            shutil.rmtree(root / folder)

    return do


def chmod(name: str, mode: int) -> Callable[[Path], object]:
    return lambda root: (root / name).chmod(mode)


def rewrite(name: str) -> Callable[[Path], object]:
    """Write a file anew, as an editor does: what had bits above 0777 loses them."""

    def do(root: Path) -> None:
        (root / name).unlink()
        (root / name).write_text("other\n")

    return do


@pytest.mark.parametrize(
    "call",
    [
        chmod("plain/f", 0o4644),
        chmod("tool", 0o755),
        rewrite("tool"),
        rewrite("group"),
        remove("secret", "shared", "drop"),
        remove("plain"),
        chmod("secret", 0o755),
        chmod("plain", 0o555),
        chmod("shared", 0o775),
        chmod("plain/in", 0o2711),
    ],
)
@pytest.mark.parametrize("again", [False, True])
async def test_all_bits_are_undone_and_redone(play: Play, call: Callable[[Path], object], again: bool) -> None:
    before = bits(play.root)
    play.turn("change it", call)
    after = bits(play.root)
    assert after != before
    playing = resumed(play) if again else play
    await playing.rewinder.carry_out(await playing.rewinder.plan_undo())
    assert bits(play.root) == before
    await playing.rewinder.carry_out(await playing.rewinder.plan_redo())
    assert bits(play.root) == after
    if again:
        playing.close()


async def test_the_bits_of_a_folder_that_the_person_changed_since_stay(play: Play) -> None:
    play.turn("close it", chmod("plain", 0o555), chmod("secret", 0o750))
    (play.root / "plain").chmod(0o711)
    plan = await play.rewinder.plan_undo()
    assert plan.notes == ("secret/: mode 750 becomes 700",)
    await play.rewinder.carry_out(plan)
    assert (bits(play.root)["plain"], bits(play.root)["secret"]) == ("711", "700")


async def test_a_folder_is_closed_again_behind_what_is_restored_in_it(play: Play) -> None:
    (play.root / "plain").chmod(0o555)
    before = bits(play.root)

    def work(root: Path) -> None:
        (root / "plain").chmod(0o755)
        (root / "plain" / "f").write_text("changed")

    play.turn("open it", work)
    (play.root / "plain").chmod(0o755)
    await play.rewinder.carry_out(await play.rewinder.plan_undo())
    assert (play.root / "plain" / "f").read_text() == "plain"
    assert bits(play.root) == before


async def test_a_hard_link_that_comes_apart_is_named(play: Play, tmp_path: Path) -> None:
    (tmp_path / "other name").hardlink_to(play.root / "plain" / "f")

    def edit(root: Path) -> None:
        (root / "plain" / "f").write_text("edited\n")  # in place: both names
        (root / "secret" / "f").write_text("edited\n")

    play.turn("edit it", edit)
    plan = await play.rewinder.plan_undo()
    assert plan.notes == ("plain/f: a hard link; its 1 other name will keep what is in it now",)
    await play.rewinder.carry_out(plan)
    assert ((play.root / "plain" / "f").read_text(), (tmp_path / "other name").read_text()) == ("plain", "edited\n")
