"""A tree of files as a value: what a plan sees of the disk, and what the tree is once the plan is carried out."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import pytest

from kimi_agent.edit import Change, FileState, Replacement, plan_patch, plan_replacement

Files = Mapping[str, str | bytes]


def raw(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Tree:
    """`files` by name; each was seen whole as it is, unless `seen` says another hash or None for it."""

    files: Files
    seen: Mapping[str, str | None] = field(default_factory=dict)
    modes: Mapping[str, int] = field(default_factory=dict)

    def name(self, spelling: str, /) -> str:
        return spelling.removeprefix("./")

    def file(self, name: str, /) -> FileState | None:
        if name not in self.files:
            return None
        data = raw(self.files[name])
        seen = self.seen.get(name, digest(data))
        return FileState(name, data, digest(data), self.modes.get(name, 0o644), seen=seen, whole=seen is not None)

    def similar(self, name: str, /) -> Sequence[str]:
        return [other for other in self.files if other.rpartition("/")[2] == name.rpartition("/")[2]]

    def after(self, change: Change) -> "Tree":
        """The tree with the changes carried out, as the workspace would: checked against the hashes of the plan."""
        files, modes = {name: raw(text) for name, text in self.files.items()}, dict(self.modes)
        for each in change.changes:
            assert (digest(files[each.path]) if each.path in files else None) == each.before
            if each.after is None:
                del files[each.path]
            else:
                files[each.path] = each.after
            if each.mode is not None:
                modes[each.path] = each.mode
        return replace(self, files=files, modes=modes)

    def patched(self, patch: str) -> dict[str, bytes]:
        return {name: raw(text) for name, text in self.after(plan_patch(patch, self)).files.items()}

    def edited(self, old: str, new: str, *, everywhere: bool = False) -> bytes:
        name = next(iter(self.files))
        return raw(self.after(plan_replacement(Replacement(name, old, new, everywhere), self)).files[name])


class MakeTree(Protocol):
    def __call__(
        self,
        files: Files,
        seen: Mapping[str, str | None] = ...,
        modes: Mapping[str, int] = ...,
    ) -> Tree: ...


@pytest.fixture(scope="session")
def tree() -> Callable[..., Tree]:
    return Tree
