"""Build folders: where a C or C++ project below its sources may have been configured."""

import re
from pathlib import Path

from kimi_agent.workspace.testrun.reports.cases import list_subfolders

_BUILD = re.compile(r"(?:build|Build|_build|out|cmake-build-.+|build[-_.].+|builddir)")


def list_build_folders(path: Path) -> list[str]:
    """The folders below `path`, and itself, that are called as build folders are; nearest first."""
    names = [name for name in list_subfolders(path) if _BUILD.fullmatch(name)]
    below = [f"{name}/{inner}" for name in names[:50] for inner in list_subfolders(path / name)[:50]]
    deeper = [f"{name}/{inner}" for name in below if name == "out/build" for inner in list_subfolders(path / name)[:50]]
    return [".", *names, *below, *deeper]
