"""The patch planner: what each file becomes under a patch, or every reason why nothing is changed."""

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

from kimi_agent.edit.file_text import FileText, decode_text, encode_text, find_non_ascii
from kimi_agent.edit.parsing.parse_patch import parse_patch
from kimi_agent.edit.patch import Hunk, PatchSection
from kimi_agent.edit.placing.explain_unplaced import MAX_PROBLEMS_SHOWN, EditProblem, explain_unplaced, join_problems
from kimi_agent.edit.placing.line_index import LineIndexes
from kimi_agent.edit.placing.place_hunks import PlacedHunk, Placement, place_hunks
from kimi_agent.edit.planning import file_state
from kimi_agent.edit.planning.edit_plan import EditPlan, FileDraft, make_file_change, make_file_result
from kimi_agent.edit.planning.file_state import FileView, require_known
from kimi_agent.edit.planning.write_hunks import ChangedSpan, WrittenText, write_hunks
from kimi_agent.errors import NeedsConsent, ToolError
from kimi_agent.printable import escape_path

IN_GIT_NOTE = "was not read whole; git holds it as it was"


class PlanError(ToolError):
    """Everything that keeps a patch from being applied; nothing was changed. Its code is that of the first reason."""

    def __init__(self, problems: Sequence[EditProblem], fits: Sequence[str] = ()) -> None:
        text, next_step = join_problems(problems, fits)
        super().__init__(problems[0].code, text, next_step)
        self.problems = tuple(problems)


def plan_patch(patch: str, view: FileView) -> EditPlan:
    """What `patch` makes of the files of `view`. Raises ToolError: PlanError with all reasons, or that of `parse`."""
    sections = parse_patch(patch)
    plan = _Plan(view, sections)
    for section in sections:
        plan.take(section)
    return plan.change()


class _Plan:
    def __init__(self, view: FileView, sections: Sequence[PatchSection]) -> None:
        self._view = view
        self._files: dict[str, FileDraft] = {}
        self._leaving = Counter(name for section in sections for name in self._left_by(section))
        self._aside: dict[str, FileDraft] = {}
        self._problems: list[EditProblem] = []
        self._fits: list[str] = []

    def take(self, section: PatchSection) -> None:
        """Add one section, or note why it cannot be."""
        known = len(self._problems)
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
            self._problems.append(EditProblem(name, error.code, error.text, error.next_step))
        if len(self._problems) > known and name in self._files:
            self._files[name].failed = True
        elif len(self._problems) == known:
            self._fits.append(name)

    def _left_by(self, section: PatchSection) -> list[str]:
        """The file that a section of git takes away from its path, whatever comes to stand there."""
        if not section.at_once or not (section.move_to or section.action == "delete"):
            return []
        with contextlib.suppress(ToolError):
            return [self._view.name(section.paths[0])]
        return []

    def _free(self, name: str) -> FileDraft | None:
        """The path as the goal of a new or moved file; None where one stands that stays."""
        now = self._now(name)
        if now.data is None:
            return now
        if not (now.untouched and self._leaving[name] > 0):
            return None
        self._aside[name] = now
        self._files[name] = FileDraft(now.disk, None)
        return self._files[name]

    def change(self) -> EditPlan:
        """The whole plan. Raises PlanError, or ToolError (noop) where nothing would change."""
        if self._problems:
            raise PlanError(self._problems, self._fits)
        moved = {now.origin for now in self._files.values() if now.origin and now.data is not None}
        shown = [(name, now) for name, now in self._files.items() if now.data is not None or name not in moved]
        files = [done for name, now in shown if (done := make_file_result(name, now, self._files)) is not None]
        changes = [change for name, now in self._files.items() if (change := make_file_change(name, now)) is not None]
        if not changes:
            raise ToolError("noop", "the files already are as this patch would make them", "go on; nothing was changed")
        return EditPlan(tuple(changes), tuple(files))

    def _now(self, name: str) -> FileDraft:
        if name not in self._files:
            disk = self._view.file(name)
            self._files[name] = FileDraft(disk, disk.data if disk else None)
        return self._files[name]

    def _chosen(self, section: PatchSection) -> str:
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
            both = f"the header names two files that both exist: {escape_path(there[0])} and {escape_path(there[1])}"
            raise ToolError("parse", both, "write the path of the one file on both header lines")
        return (there or names)[0]

    def _create(self, name: str, now: FileDraft, section: PatchSection) -> None:
        goal = self._free(name) if section.at_once else now if now.data is None else None
        if goal is None:
            why = f"{escape_path(name)} exists already"
            mend = f"change it with `*** Update File: {escape_path(name)}`, or choose another path"
            raise ToolError("exists", why, mend)
        new = FileText()
        for hunk in section.hunks:
            new = write_hunks(new, [PlacedHunk(hunk, 0)]).text
        goal.data, goal.mode = encode_text(new, name), section.mode

    def _delete(self, name: str, now: FileDraft, section: PatchSection) -> None:
        data = self._there(name, now)
        if section.hunks:
            text = decode_text(data, name)
            self._readable(name, text, section.hunks)
            views, hunk = LineIndexes(text), section.hunks[0]
            lines = views.lines_for(hunk)
            whole = list(lines.places(hunk.old)) == [0] and lines.tier(hunk.old, 0) == 0
            if len(section.hunks) > 1 or not whole or len(hunk.old) != len(text.bodies):
                shown = escape_path(name)
                why = f"{shown} holds {len(text.bodies)} lines, not the {len(hunk.old)} that this diff deletes"
                mend = f"to delete it whatever it holds, read it and send `*** Delete File: {shown}`"
                raise ToolError("not_found", why, mend)
        elif not require_known(name, now.disk):
            now.notes = (IN_GIT_NOTE,)
        if now is not self._files[name]:
            self._files[name].notes += ("takes the place of the one that is deleted",)
        now.data, now.mode, now.spots = None, None, ()

    def _update(self, name: str, now: FileDraft, section: PatchSection) -> None:
        data = self._there(name, now)
        target = self._view.name(section.move_to) if section.move_to else name
        after, mode = data, now.mode
        if section.mode is not None:
            mode = _with_execute_bit(mode if mode is not None else now.disk.mode if now.disk else 0o644, section.mode)
        spots, notes = now.spots, now.notes
        if section.hunks:
            written, more = self._hunks(name, now, section.hunks, data)
            after = encode_text(written.text, name)
            moved = [_shifted(spot, written.spots) for spot in now.spots]
            spots = tuple(sorted((*moved, *written.spots), key=lambda spot: spot.first))
            notes = (*notes, *more)
        if target == name:
            now.data, now.mode, now.spots, now.notes = after, mode, spots, notes
            return
        goal = self._free(target) if section.at_once else self._now(target)
        if goal is None or goal.data is not None:
            why = f"cannot move {escape_path(name)}: {escape_path(target)} exists already"
            raise ToolError("exists", why, "choose another path")
        if not require_known(name, now.disk):
            notes = (*notes, IN_GIT_NOTE)
        origin = now.origin or (name if now.disk else "")
        if mode is None and now.disk is not None:
            mode = now.disk.mode
        goal.data, goal.mode, goal.origin, goal.spots, goal.notes = after, mode, origin, spots, notes
        now.data, now.mode, now.origin, now.spots = None, None, "", ()

    def _hunks(self, name: str, now: FileDraft, hunks: Sequence[Hunk], data: bytes) -> tuple[WrittenText, list[str]]:
        text = decode_text(data, name)
        self._readable(name, text, hunks)
        views = LineIndexes(text)
        placement = place_hunks(hunks, views)
        if placement.unplaced:
            self._raise_unplaced(name, placement, views)
        changed = now.disk is not None and now.disk.changed
        blind = [each for each in placement.placed if not each.proved or each.tier > 1]
        if changed and blind:
            fits = [str(each.hunk.number) for each in placement.placed if each not in blind]
            still = f"; placed by their own lines: hunk {', '.join(fits)}" if fits else ""
            why = f"and hunk {blind[0].hunk.number} is not placed by its own lines alone{still}"
            raise file_state.stale_file_error(name, why, blind[0].start + 1)
        written = write_hunks(text, placement.placed)
        notes = [f"hunk {each.hunk.number}: {note}" for each in placement.placed for note in each.notes]
        if changed:
            notes.append("changed on disk since you last saw it; every hunk still fitted")
        if written.gave_crlf:
            notes.append("CRLF kept")
        if text.codec.note:
            notes.append(text.codec.note)
        return written, notes

    def _raise_unplaced(self, name: str, placement: Placement, views: LineIndexes) -> NoReturn:
        # What is past counting is not shown: looking for the nearest place takes its time.
        shown = max(1, MAX_PROBLEMS_SHOWN - len(self._problems))
        problems = [explain_unplaced(name, unplaced, views) for unplaced in placement.unplaced[:shown]]
        problems += [EditProblem(name, unplaced.code, "") for unplaced in placement.unplaced[shown:]]
        self._problems += problems[:-1]
        fitting = ", ".join(str(each.hunk.number) for each in placement.placed)
        if fitting:
            self._fits.append(f"{name} hunk {fitting}")
        raise ToolError(problems[-1].code, problems[-1].text, problems[-1].next_step)

    def _there(self, name: str, now: FileDraft) -> bytes:
        if now.data is None:
            next_step = "check the path; a new file needs `*** Add File: path`"
            raise file_state.missing_file_error(name, self._view, next_step)
        return now.data

    def _readable(self, name: str, text: FileText, hunks: Sequence[Hunk]) -> None:
        texts = (line.text for hunk in hunks for line in hunk.lines)
        if text.codec.opaque and (char := find_non_ascii(texts)):
            raise file_state.unknown_encoding_error(name, char)


def _with_execute_bit(mode: int, wanted: int) -> int:
    """`mode` with the execute bits that git's `wanted` (0o755 or 0o644) stands for."""
    return mode | (mode & 0o444) >> 2 if wanted & 0o100 else mode & ~0o111


def _shifted(spot: ChangedSpan, later: Sequence[ChangedSpan]) -> ChangedSpan:
    """A place of the text before, in the text after `later` changes."""
    delta = 0
    for each in later:
        if each.first - delta <= spot.first:
            delta += each.added - each.removed
    return replace(spot, first=max(0, spot.first + delta))
