"""Search target: the folder or file that a search is about, what of it stays hidden, and the flags that narrow it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kimi_agent.printable import escape_name
from kimi_agent.workspace.files.access_rules import HiddenReason, PathDenial
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.paths import is_beneath


@dataclass(frozen=True)
class SearchTarget:
    """Where to search: the path that ripgrep gets, and how what it finds there is spelled.

    `only` are the files that a glob names and no ignore file does, None where no glob brings ignored files back.
    """

    path: Path
    shown: str
    files: Files
    denied: PathDenial
    only: frozenset[bytes] | None = None

    @property
    def argument(self) -> str:
        """Relative inside the workspace, as globs are; never something that reads as a flag."""
        if not self.path.is_relative_to(self.files.root):
            return str(self.path)
        relative = str(self.path.relative_to(self.files.root))
        return "./" if relative == "." else f"./{relative}"

    @cached_property
    def pass_over(self) -> Sequence[str]:
        """Flags that keep the search out of what is ours: its own log, above all, which would grow by each hit."""
        root = str(self.files.root)
        ours = self.files.access.private_below(str(self.path), root)
        inside = [os.path.relpath(path, root) for path in ours if is_beneath(path, root)]
        return [f"--glob=!/{escape_glob(path)}" for path in inside]

    def hidden(self, path: bytes) -> HiddenReason:
        """Why hits there are not shown: never for the very file that was asked for, which may be read."""
        spelled = os.fsdecode(path)
        if spelled == self.argument:
            return ""
        if self.only is not None and path not in self.only:
            return "ignored"
        whole = os.path.normpath(os.path.join(self.files.root, spelled))
        return self.files.hidden(whole) or ("denied" if self.denied(whole) else "")

    def spelled(self, path: bytes) -> str:
        """A path from ripgrep as the tools spell it."""
        return self.shown if self.shown.startswith("output:") else os.fsdecode(path).removeprefix("./")

    def name(self, path: bytes) -> str:
        """As `spelled`, for a line of text: newlines, control characters and undecodable bytes are escaped."""
        return escape_name(self.spelled(path))


def file_flags(glob: str, file_type: str) -> list[str]:
    """Flags that say which files. The last glob wins, so `.git` comes last."""
    excluding = "!" if glob.startswith("!") else ""
    glob = glob.removeprefix("!").removeprefix("./")
    # For ripgrep `src/` is the folder alone, without what is in it.
    glob = f"{glob}**" if glob.endswith("/") else glob
    words = [f"--glob={excluding}{glob}"] if glob else []
    return [*words, *([f"--type={file_type}"] if file_type else []), "--glob=!.git"]


def escape_glob(path: str) -> str:
    """A glob that names exactly this path."""
    return "".join(f"\\{c}" if c in "*?[]{}\\!" else c for c in path)
