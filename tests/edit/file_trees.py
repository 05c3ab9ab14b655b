"""A tree of files as a value: what a plan sees of the disk, and what the tree is once the plan is carried out."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from kimi_agent.edit import (
    EditPlan,
    FileState,
    Replacement,
    format_edit_result,
    format_patch_result,
    make_diff_view,
    plan_patch,
    plan_replacement,
)

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
    in_git: Sequence[str] = ()

    def name(self, spelling: str, /) -> str:
        return spelling.removeprefix("./")

    def file(self, name: str, /) -> FileState | None:
        if name not in self.files:
            return None
        data = raw(self.files[name])
        seen = self.seen.get(name, digest(data))
        mode = self.modes.get(name, 0o644)
        return FileState(
            name, data, digest(data), mode, seen=seen, whole=seen is not None, in_git=lambda: name in self.in_git
        )

    def similar(self, name: str, /) -> Sequence[str]:
        return [other for other in self.files if other.rpartition("/")[2] == name.rpartition("/")[2]]

    def after(self, change: EditPlan) -> "Tree":
        """The tree with the changes carried out, as the workspace would: checked against the hashes of the plan."""
        files, modes = {name: raw(text) for name, text in self.files.items()}, dict(self.modes)
        for each in change.changes:
            assert (digest(raw(self.files[each.path])) if each.path in self.files else None) == each.before
            if each.after is None:
                del files[each.path]
            else:
                files[each.path] = each.after
            if each.mode is not None:
                modes[each.path] = each.mode
        return replace(self, files=files, modes=modes)

    def patched(self, patch: str) -> dict[str, bytes]:
        return self.patch(patch)[0]

    def patch(self, patch: str) -> tuple[dict[str, bytes], str]:
        """The files after the patch, and the result that the model reads."""
        change = plan_patch(patch, self)
        files = {name: raw(text) for name, text in self.after(change).files.items()}
        return files, format_patch_result(change, make_diff_view(change))

    def edited(self, old: str, new: str, *, everywhere: bool = False) -> bytes:
        return self.edit(old, new, everywhere=everywhere)[0]

    def edit(self, old: str, new: str, *, everywhere: bool = False) -> tuple[bytes, str]:
        """The one file after the replacement, and the result that the model reads."""
        name = next(iter(self.files))
        change = plan_replacement(Replacement(name, old, new, everywhere), self)
        return raw(self.after(change).files[name]), format_edit_result(change)
