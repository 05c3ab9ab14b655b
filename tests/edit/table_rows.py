"""A row of a table: files, a patch, and the tree it makes or the error it meets."""

from typing import NamedTuple

import pytest

from kimi_agent.errors import ToolError
from tests.edit.file_trees import Files, Tree, raw


class Row(NamedTuple):
    """`after` is the tree, or the code of the error; each of `words` stands in the result or in the error."""

    says: str
    before: Files
    patch: str
    after: Files | str
    words: tuple[str, ...] | str = ()


def v4a(*lines: str) -> str:
    return "\n".join(["*** Begin Patch", *lines, "*** End Patch"]) + "\n"


def update(*lines: str, path: str = "a") -> str:
    return v4a(f"*** Update File: {path}", *lines)


def diff(*lines: str, path: str = "a") -> str:
    return "\n".join([f"--- a/{path}", f"+++ b/{path}", *lines]) + "\n"


def renamed(old: str, new: str, *lines: str) -> str:
    """A section of git that moves a file, and changes it where there are `lines`."""
    body = [f"--- a/{old}", f"+++ b/{new}", *lines] if lines else []
    head = [f"diff --git a/{old} b/{new}", "similarity index 90%", f"rename from {old}", f"rename to {new}"]
    return "\n".join([*head, *body]) + "\n"


def judged(row: Row, tree: Tree) -> None:
    """Compare what the patch does with what the row says."""
    words = (row.words,) if isinstance(row.words, str) else row.words
    if isinstance(row.after, str):
        with pytest.raises(ToolError) as caught:
            tree.patched(row.patch)
        assert caught.value.code == row.after
        text = str(caught.value)
    else:
        files, text = tree.patch(row.patch)
        assert files == {name: raw(data) for name, data in row.after.items()}
    assert [word for word in words if word not in text] == [], text


def ids(rows: list[Row]) -> list[str]:
    return [row.says for row in rows]
