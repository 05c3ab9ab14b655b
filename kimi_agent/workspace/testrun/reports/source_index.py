"""Source index: the source file that declares a class named in a test report."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from kimi_agent.workspace.testrun.reports.report_file import ReportRejected, open_report

_DECLARED = re.compile(r"\b(?:class|object|interface|struct|record|module|trait)\s+([A-Za-z_]\w*(?:::\w+)*)")
_SPEC = re.compile(r"""\b(?:describe|context)[ (]+["']?([\w:]+)""")
_MOST_ENTRIES, _MOST_FILES, _MOST_BYTES = 100_000, 5_000, 300_000
_GENERATED_FOLDERS = frozenset(
    ["node_modules", "target", "build", "_build", "deps", "bin", "obj", "dist", "out", "vendor", "coverage"]
)


def find_declared_types(text: str) -> list[str]:
    """The names of the types that a source text declares, in their order."""
    return list(dict.fromkeys(_DECLARED.findall(text)))


class SourceIndex:
    """The source files of a folder by the classes in them; a bounded number of them, never through a link."""

    def __init__(self, folder: Path, suffixes: tuple[str, ...]) -> None:
        self._folder = folder
        self._suffixes = suffixes
        self._files: list[Path] | None = None
        self._by_class: dict[str, list[Path]] | None = None

    def find_by_name(self, file_name: str, ending: str = "") -> Path | None:
        """The file called `file_name`, of several that whose path ends with `ending`."""
        return _best_match([path for path in self._all() if path.name == file_name], ending)

    def find_declaring(self, name: str, ending: str = "") -> Path | None:
        """The file that declares `name`: one of that name first; of several, that whose path ends with `ending`."""
        called = [path for path in self._all() if path.stem == name]
        if called:
            return _best_match(called, ending)
        if self._by_class is None:
            self._by_class = {}
            for path in self._all()[:_MOST_FILES]:
                text = _text(path)
                for each in dict.fromkeys([*_DECLARED.findall(text), *_SPEC.findall(text)]):
                    self._by_class.setdefault(each, []).append(path)
        return _best_match(self._by_class.get(name, []), ending)

    def _all(self) -> list[Path]:
        if self._files is None:
            self._files = sorted(self._walk(), key=lambda path: (len(path.parts), path))
        return self._files

    def _walk(self) -> Iterator[Path]:
        seen = 0
        for folder, below, names in os.walk(self._folder):
            below[:] = sorted(name for name in below if not name.startswith(".") and name not in _GENERATED_FOLDERS)
            seen += 1 + len(names)
            if seen > _MOST_ENTRIES:
                return
            for name in names:
                if name.endswith(self._suffixes):
                    yield Path(folder, name)


def _best_match(paths: list[Path], ending: str) -> Path | None:
    fitting = [path for path in paths if ending and f"/{path.with_suffix('').as_posix()}".endswith(f"/{ending}")]
    return next(iter(fitting or paths), None)


def _text(path: Path) -> str:
    try:
        file = open_report(path)
    except ReportRejected:
        return ""
    if file is None:
        return ""
    with file:
        return file.read(_MOST_BYTES).decode("utf-8", "replace")
