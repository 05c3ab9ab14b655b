"""A change that becomes a trial: a file, a patch for it, and what the file must be then."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from tests.edit.history.lines import Line, joined, meant
from tests.edit.history.rendering import AROUND, Hunk, envelope, unified, unified_hunks, v4a, v4a_hunks
from tests.edit.history.versions import FileChange

Form = Literal["unified", "v4a"]


@dataclass(frozen=True)
class Trial:
    """A patch for files as they are; `after` is what they must be then, None where the patch must be refused."""

    before: Mapping[str, bytes]
    patch: str
    after: Mapping[str, bytes] | None
    modes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A change in one form with its usual hunks, and the dice."""

    change: FileChange
    form: Form
    usual: tuple[Hunk, ...]
    dice: random.Random

    def hunks(self, around: int = AROUND) -> list[Hunk]:
        """The hunks, with other than the usual three lines of context if need be."""
        return list(self.usual) if around == AROUND else hunks_of(self.change, self.form, around)

    def text(self, hunks: Sequence[Hunk] | None = None) -> str:
        """The patch."""
        hunks = self.usual if hunks is None else hunks
        return unified(self.change, hunks) if self.form == "unified" else envelope([v4a(self.change, hunks)])

    def clean(self) -> bytes | None:
        """What the file is afterwards: as in the new version, as far as the form can say it."""
        if self.form == "unified" or self.change.new is None:
            return self.change.new.data if self.change.new else None
        return self.change.meaning()

    def trial(self, patch: str, *, before: bytes | None = None, after: bytes | None = None) -> Trial:
        change = self.change
        old = before if before is not None else change.old.data if change.old else None
        new = after if after is not None else self.clean()
        modes = {change.before_path: 0o755} if change.old and change.old.executable else {}
        files = {} if old is None else {change.before_path: old}
        return Trial(files, patch, {} if new is None else {change.path: new}, modes)

    def refused(self, patch: str) -> Trial:
        return replace(self.trial(patch), after=None)

    def on(self, lines: Sequence[Line], patch: str, extra: Mapping[int, Sequence[Line]] = {}) -> Trial:
        """The patch on a file that became `lines` (with `extra` ones before some): what the change means there."""
        change = self.change
        before = joined([each for at, line in enumerate(lines) for each in (*extra.get(at, ()), line)])
        return self.trial(patch, before=before, after=meant(lines, change.b, self.ops, extra, newline=self.newline))

    @property
    def newline(self) -> bool | None:
        """A unified diff says whether the file ends with one; None: it stays as it was."""
        return not self.change.b or self.change.b[-1].end != "" if self.form == "unified" else None

    @property
    def ops(self) -> Sequence[tuple[int, int, int, int]]:
        return self.change.ops if self.form == "unified" else self.change.body_ops


def hunks_of(change: FileChange, form: Form, around: int = AROUND) -> list[Hunk]:
    """The hunks of a change as this form shows them."""
    return unified_hunks(change, around) if form == "unified" else v4a_hunks(change, around)
