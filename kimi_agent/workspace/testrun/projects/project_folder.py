"""Project folder reader: file names and texts of one folder, cached, bounded, and never through an outward link.

No link that leads outside of the workspace is followed.
"""

import itertools
import os
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from kimi_agent.errors import ToolError
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.testrun.projects.folder_index import FolderIndex

MAX_PROJECT_FILE_BYTES = 1_000_000
_MOST_FOLDERS, _MOST_TEST_FILES, _MOST_FOUND = 400, 20, 500
_TEST_FILE = re.compile(r"test_.*\.py|.*_test\.py|tests?\.py")


_Found = TypeVar("_Found")


def walk_up(folder: Path, root: Path) -> Iterator[Path]:
    """`folder` and the folders above it, to `root`."""
    yield folder
    while folder != root and root in folder.parents:
        folder = folder.parent
        yield folder


class ProjectFolder:
    """One folder that might be a project's. `path` is absolute, `root` the workspace's; `index` knows its names.

    `inner` are folders below it (relative to the workspace) that are projects of their own: no file is found in them.
    """

    def __init__(self, files: Files, path: Path, index: FolderIndex | None = None, inner: tuple[str, ...] = ()) -> None:
        self.path = path
        self.root = files.root
        self._files = files
        self._inner = inner
        self.index = index or FolderIndex(files.root)
        self._texts: dict[str, str] = {}
        self._found: dict[re.Pattern[str], tuple[str, ...]] = {}
        self._read: dict[object, Any] = {}

    def once(self, read: "Callable[[ProjectFolder], _Found]") -> _Found:
        """What `read` says of the folder, asked once: a row of runners asks the same of each folder."""
        if read not in self._read:
            self._read[read] = read(self)
        found: _Found = self._read[read]
        return found

    @cached_property
    def below_root(self) -> str:
        """The folder relative to the workspace, with slashes; "" for its top."""
        relative = os.path.relpath(self.path, self.root)
        return "" if relative == "." else relative

    def subfolder(self, below: str) -> "ProjectFolder":
        """The folder `below` in it (relative, with slashes), which knows the same names."""
        return ProjectFolder(self._files, self.path / below, self.index)

    def with_inner_projects(self) -> "ProjectFolder":
        """The folder with the projects of their own below it, for what looks for them."""
        return ProjectFolder(self._files, self.path, self.index)

    def names(self, below: str = "") -> tuple[str, ...]:
        """The regular files of the folder (or of `below` in it) and the links in it, sorted."""
        return self.index.names("/".join(filter(None, (self.below_root, below))))[0]

    def text(self, name: str) -> str:
        """The text of a file of the folder; "" where there is none that may be read."""
        if name not in self._texts:
            self._texts[name] = self._read_text(name)
        return self._texts[name]

    def _read_text(self, name: str) -> str:
        below, _, last = name.rpartition("/")
        if last not in self.names(below):  # asked of many folders for many names: an error for each would take long
            return ""
        try:
            data = self._files.read(str(self.path / name), max_bytes=MAX_PROJECT_FILE_BYTES).data
        except ToolError:
            return ""
        return data.decode("utf-8", "replace")

    def python_test_files(self) -> tuple[str, ...]:
        """Files that are named like Python tests, nearest first, "/" between parts; at most a sample of them."""
        return self.find_files(_TEST_FILE)[:_MOST_TEST_FILES]

    def test_files_importing(self, module: str) -> tuple[str, ...]:
        """Those of the Python test files that import `module`."""
        imports = re.compile(rf"^\s*(?:from\s+|import\s+(?:[\w.]+(?: as \w+)?, *)*){module}\b", re.MULTILINE)
        return tuple(path for path in self.python_test_files() if imports.search(self.text(path)))

    def find_files(self, pattern: re.Pattern[str]) -> tuple[str, ...]:
        """Files whose name `pattern` matches whole, nearest first, "/" between parts; a bounded number of them."""
        if pattern not in self._found:
            found = self.index.find_files(pattern, self.below_root, _MOST_FOLDERS, self._inner)
            self._found[pattern] = tuple(itertools.islice(found, _MOST_FOUND))
        return self._found[pattern]
