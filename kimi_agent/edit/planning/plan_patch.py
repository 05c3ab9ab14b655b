"""Plans a patch on a view of the files: what each becomes, or every reason why nothing is changed."""

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

from kimi_agent.edit.patch import Hunk, Section, parse
from kimi_agent.edit.placing.explain_unplaced import MAX_TROUBLES, Trouble, about, collected
from kimi_agent.edit.placing.line_index import Views
from kimi_agent.edit.placing.place_hunks import Placed, Placement, place
from kimi_agent.edit.planning.edit_plan import Change, Now, done, file_change
from kimi_agent.edit.planning.file_state import View, missing, must_be_known, opaque, stale
from kimi_agent.edit.planning.write_hunks import Spot, Written, write
from kimi_agent.edit.text import Text, decode, encode, not_ascii
from kimi_agent.errors import NeedsConsent, ToolError
from kimi_agent.workspace.paths import named

IN_GIT = "was not read whole; git holds it as it was"


class PlanError(ToolError):
    """Everything that keeps a patch from being applied; nothing was changed. Its code is that of the first reason."""

    def __init__(self, troubles: Sequence[Trouble], fits: Sequence[str] = ()) -> None:
        text, next_step = collected(troubles, fits)
        super().__init__(troubles[0].code, text, next_step)
        self.troubles = tuple(troubles)


def plan_patch(patch: str, view: View) -> Change:
    """What `patch` makes of the files of `view`. Raises ToolError: PlanError with all reasons, or that of `parse`."""
    sections = parse(patch)
    plan = _Plan(view, sections)
    for section in sections:
        plan.take(section)
    return plan.change()


class _Plan:
    def __init__(self, view: View, sections: Sequence[Section]) -> None:
        self._view = view
        self._files: dict[str, Now] = {}
        self._leaving = Counter(name for section in sections for name in self._left_by(section))
        self._aside: dict[str, Now] = {}
        self._troubles: list[Trouble] = []
        self._fits: list[str] = []

    def take(self, section: Section) -> None:
        """Add one section, or note why it cannot be."""
        known = len(self._troubles)
        name = section.paths[0]
        self._leaving.subtract(self._left_by(section))
        try:
            name = self._chosen(section)
            # What another file took the place of is still meant by the name that it had before the patch.
            now = (self._aside.pop(name, None) if self._left_by(section) else None) or self._now(name)
            if now.failed:
                return
            match section.action:
                case "create":
                    self._create(name, now, section)
                case "delete":
                    self._delete(name, now, section)
                case "update":
                    self._update(name, now, section)
        except NeedsConsent:
            raise
        except ToolError as error:
            self._troubles.append(Trouble(name, error.code, error.text, error.next_step))
        if len(self._troubles) > known and name in self._files:
            self._files[name].failed = True
        elif len(self._troubles) == known:
            self._fits.append(name)

    def _left_by(self, section: Section) -> list[str]:
        """The file that a section of git takes away from its path, whatever comes to stand there."""
        if not section.at_once or not (section.move_to or section.action == "delete"):
            return []
        with contextlib.suppress(ToolError):
            return [self._view.name(section.paths[0])]
        return []

    def _free(self, name: str) -> Now | None:
        """The path as the goal of a new or moved file; None where one stands that stays."""
        now = self._now(name)
        if now.data is None:
            return now
        if not (now.untouched and self._leaving[name] > 0):
            return None
        self._aside[name] = now
        self._files[name] = Now(now.disk, None)
        return self._files[name]

    def change(self) -> Change:
        """The whole plan. Raises PlanError, or ToolError (noop) where nothing would change."""
        if self._troubles:
            raise PlanError(self._troubles, self._fits)
        moved = {now.origin for now in self._files.values() if now.origin and now.data is not None}
        files = [
            each
            for name, now in self._files.items()
            if not (name in moved and now.data is None) and (each := done(name, now, self._files)) is not None
        ]
        changes = [change for name, now in self._files.items() if (change := file_change(name, now)) is not None]
        if not changes:
            raise ToolError("noop", "the files already are as this patch would make them", "go on; nothing was changed")
        return Change(tuple(changes), tuple(files))

    def _now(self, name: str) -> Now:
        if name not in self._files:
            disk = self._view.file(name)
            self._files[name] = Now(disk, disk.data if disk else None)
        return self._files[name]

    def _chosen(self, section: Section) -> str:
        """The file that is meant: the first spelling that exists, else the first."""
        names = [self._view.name(path) for path in section.paths[:1]]
        if section.action == "create" or len(section.paths) == 1:
            return names[0]
        names = list(dict.fromkeys(self._view.name(path) for path in section.paths))
        there = [name for name in names if self._now(name).data is not None]
        for name in names:
            if self._files[name].disk is None and self._files[name].data is None and name != (there or names)[0]:
                del self._files[name]
        if there[:2] == names[:2] and len(there) > 1 and not section.paths[0].endswith("/" + section.paths[1]):
            both = f"the header names two files that both exist: {named(there[0])} and {named(there[1])}"
            raise ToolError("parse", both, "write the path of the one file on both header lines")
        return (there or names)[0]

    def _create(self, name: str, now: Now, section: Section) -> None:
        goal = self._free(name) if section.at_once else now if now.data is None else None
        if goal is None:
            raise ToolError(
                "exists",
                f"{named(name)} exists already",
                f"change it with `*** Update File: {named(name)}`, or choose another path",
            )
        new = Text()
        for hunk in section.hunks:
            new = write(new, [Placed(hunk, 0)]).text
        goal.data, goal.mode = encode(new, name), section.mode

    def _delete(self, name: str, now: Now, section: Section) -> None:
        data = self._there(name, now)
        if section.hunks:
            text = decode(data, name)
            self._readable(name, text, section.hunks)
            views, hunk = Views(text), section.hunks[0]
            lines = views.of(hunk)
            whole = list(lines.places(hunk.old)) == [0] and lines.tier(hunk.old, 0) == 0
            if len(section.hunks) > 1 or not whole or len(hunk.old) != len(text.bodies):
                raise ToolError(
                    "not_found",
                    f"{named(name)} holds {len(text.bodies)} lines, not the {len(hunk.old)} that this diff deletes",
                    f"to delete it whatever it holds, read it and send `*** Delete File: {named(name)}`",
                )
        elif not must_be_known(name, now.disk):
            now.notes = (IN_GIT,)
        if now is not self._files[name]:
            self._files[name].notes += ("takes the place of the one that is deleted",)
        now.data, now.mode, now.spots = None, None, ()

    def _update(self, name: str, now: Now, section: Section) -> None:
        data = self._there(name, now)
        target = self._view.name(section.move_to) if section.move_to else name
        after, mode = data, now.mode
        if section.mode is not None:
            mode = _with_execute_bit(mode if mode is not None else now.disk.mode if now.disk else 0o644, section.mode)
        spots, notes = now.spots, now.notes
        if section.hunks:
            written, more = self._hunks(name, now, section.hunks, data)
            after = encode(written.text, name)
            moved = [_shifted(spot, written.spots) for spot in now.spots]
            spots = tuple(sorted((*moved, *written.spots), key=lambda spot: spot.first))
            notes = (*notes, *more)
        if target == name:
            now.data, now.mode, now.spots, now.notes = after, mode, spots, notes
            return
        goal = self._free(target) if section.at_once else self._now(target)
        if goal is None or goal.data is not None:
            raise ToolError(
                "exists", f"cannot move {named(name)}: {named(target)} exists already", "choose another path"
            )
        if not must_be_known(name, now.disk):
            notes = (*notes, IN_GIT)
        origin = now.origin or (name if now.disk else "")
        if mode is None and now.disk is not None:
            mode = now.disk.mode
        goal.data, goal.mode, goal.origin, goal.spots, goal.notes = after, mode, origin, spots, notes
        now.data, now.mode, now.origin, now.spots = None, None, "", ()

    def _hunks(self, name: str, now: Now, hunks: Sequence[Hunk], data: bytes) -> tuple[Written, list[str]]:
        text = decode(data, name)
        self._readable(name, text, hunks)
        views = Views(text)
        placement = place(hunks, views)
        if placement.misfits:
            self._misfits(name, placement, views)
        changed = now.disk is not None and now.disk.changed
        blind = [each for each in placement.placed if not each.proved or each.tier > 1]
        if changed and blind:
            fits = [str(each.hunk.number) for each in placement.placed if each not in blind]
            still = f"; placed by their own lines: hunk {', '.join(fits)}" if fits else ""
            why = f"and hunk {blind[0].hunk.number} is not placed by its own lines alone{still}"
            raise stale(name, why, blind[0].start + 1)
        written = write(text, placement.placed)
        notes = [f"hunk {each.hunk.number}: {note}" for each in placement.placed for note in each.notes]
        if changed:
            notes.append("changed on disk since you last saw it; every hunk still fitted")
        if written.gave_crlf:
            notes.append("CRLF kept")
        if text.codec.note:
            notes.append(text.codec.note)
        return written, notes

    def _misfits(self, name: str, placement: Placement, views: Views) -> NoReturn:
        # What is past counting is not shown: looking for the nearest place takes its time.
        shown = max(1, MAX_TROUBLES - len(self._troubles))
        troubles = [about(name, misfit, views) for misfit in placement.misfits[:shown]]
        troubles += [Trouble(name, misfit.code, "") for misfit in placement.misfits[shown:]]
        self._troubles += troubles[:-1]
        fitting = ", ".join(str(each.hunk.number) for each in placement.placed)
        if fitting:
            self._fits.append(f"{name} hunk {fitting}")
        raise ToolError(troubles[-1].code, troubles[-1].text, troubles[-1].next_step)

    def _there(self, name: str, now: Now) -> bytes:
        if now.data is None:
            raise missing(name, self._view, "check the path; a new file needs `*** Add File: path`")
        return now.data

    def _readable(self, name: str, text: Text, hunks: Sequence[Hunk]) -> None:
        char = not_ascii(line.text for hunk in hunks for line in hunk.lines) if text.codec.opaque else ""
        if char:
            raise opaque(name, char)


def _with_execute_bit(mode: int, wanted: int) -> int:
    """`mode` with the execute bits that git's `wanted` (0o755 or 0o644) stands for."""
    return mode | (mode & 0o444) >> 2 if wanted & 0o100 else mode & ~0o111


def _shifted(spot: Spot, later: Sequence[Spot]) -> Spot:
    """A place of the text before, in the text after `later` changes."""
    delta = 0
    for each in later:
        if each.first - delta <= spot.first:
            delta += each.added - each.removed
    return replace(spot, first=max(0, spot.first + delta))
