"""Project folder reader: file names and texts of one folder, cached, bounded, and never through an outward link.

No link that leads outside of the workspace is followed.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from kimi_agent.errors import ToolError
from kimi_agent.workspace.files.files import Files

MAX_PROJECT_FILE_BYTES = 1_000_000
_MOST_FOLDERS, _DEEPEST, _MOST_TEST_FILES, _MOST_FOUND = 400, 5, 20, 500
_TEST_FILE = re.compile(r"test_.*\.py|.*_test\.py|tests?\.py")
_SKIPPED_FOLDERS = {"node_modules", "__pycache__", "venv", "env", "build", "dist", "site-packages", "target", "vendor"}


def walk_up(folder: Path, root: Path) -> Iterator[Path]:
    """`folder` and the folders above it, to `root`."""
    yield folder
    while folder != root and root in folder.parents:
        folder = folder.parent
        yield folder


class ProjectFolder:
    """One folder that might be a project's. `path` is absolute, `root` the workspace's."""

    def __init__(self, files: Files, path: Path) -> None:
        self.path = path
        self.root = files.root
        self._files = files
        self._texts: dict[str, str] = {}
        self._found: dict[re.Pattern[str], tuple[str, ...]] = {}

    def names(self, below: str = "") -> tuple[str, ...]:
        """The regular files of the folder (or of `below` in it), sorted."""
        return tuple(sorted(name for name, kind in self._entries(below) if kind in ("file", "link")))

    def text(self, name: str) -> str:
        """The text of a file of the folder; "" where there is none that may be read."""
        if name not in self._texts:
            try:
                data = self._files.read(str(self.path / name), max_bytes=MAX_PROJECT_FILE_BYTES).data
            except ToolError:
                data = b""
            self._texts[name] = data.decode("utf-8", "replace")
        return self._texts[name]

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
            self._found[pattern] = tuple(itertools.islice(self._walk(pattern), _MOST_FOUND))
        return self._found[pattern]

    def _walk(self, pattern: re.Pattern[str]) -> Iterator[str]:
        waiting, visited = [""], 0
        while waiting and visited < _MOST_FOLDERS:
            below = waiting.pop(0)
            visited += 1
            entries = sorted(self._entries(below))
            if any(name == "pyvenv.cfg" for name, _ in entries):
                continue
            for name, kind in entries:
                path = f"{below}/{name}" if below else name
                if kind == "file" and pattern.fullmatch(name):
                    yield path
                elif kind == "directory" and path.count("/") < _DEEPEST and _holds_sources(name):
                    waiting.append(path)

    def _entries(self, below: str) -> list[tuple[str, str]]:
        try:
            return [(entry.name, entry.kind) for entry in self._files.list(str(self.path / below))]
        except ToolError:
            return []


def _holds_sources(name: str) -> bool:
    return not name.startswith(".") and name not in _SKIPPED_FOLDERS and not name.endswith(".egg-info")
