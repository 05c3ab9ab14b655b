"""Tree reader: cached questions to the snapshots of a turn (what differs, what a file holds), None where unknown."""

from collections.abc import Callable, Sequence

from kimi_agent.errors import UserError

ChangedPathsOf = Callable[[str, str], Sequence[str]]
"""The paths that differ between two trees. May raise UserError where one of them is gone."""
FileTextOf = Callable[[str, str], str | None]
"""The text of a file (tree, path), None where there is none. May raise UserError likewise."""
HeldIgnoredIn = Callable[[str], Sequence[str]]
"""The paths of a tree (by its hash) that git ignores and only that snapshot kept. May raise UserError likewise."""

_MOST_PATH = 1_000


class TreeReader:
    """Cached questions to the trees (differences, texts); None where there is no answer. `now` is the last of them."""

    def __init__(self, now: str, changed: ChangedPathsOf, text: FileTextOf, apart: HeldIgnoredIn) -> None:
        self.now = now
        self._apart = apart
        self._changed = changed
        self._text = text
        self._diffs: dict[tuple[str, str], tuple[str, ...] | None] = {}
        self._texts: dict[tuple[str, str], str | None] = {}

    def diff(self, old: str, new: str) -> tuple[str, ...] | None:
        """The paths that differ, None where one of the trees is not known."""
        if not old or not new:
            return None
        if old == new:
            return ()
        if (old, new) not in self._diffs:
            try:
                self._diffs[old, new] = tuple(self._changed(old, new))
            except UserError:
                self._diffs[old, new] = None
        return self._diffs[old, new]

    def text(self, tree: str, path: str) -> str | None:
        """The text of a file, None where there is none, or no tree."""
        if not tree or not path or not path.isprintable() or len(path) > _MOST_PATH:
            return None
        if (tree, path) not in self._texts:
            try:
                self._texts[tree, path] = self._text(tree, path)
            except UserError:
                self._texts[tree, path] = None
        return self._texts[tree, path]

    def held_ignored(self, *trees: str) -> set[str]:
        """The ignored paths that only these trees hold, so that no comparison says whether they changed."""
        try:
            return {path for tree in trees if tree for path in self._apart(tree)}
        except UserError:
            return set()
