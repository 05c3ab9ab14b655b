"""What the tests of this room and those of its histories share."""

from tests.edit.file_trees import Tree

__all__ = ["Tree"]
