"""What goes wrong between a file and a patch for it, as rows: each makes a trial of a change, or says that it can't."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from tests.edit.history.cases import Case, Trial
from tests.edit.history.lines import Line, joined, meant
from tests.edit.history.rendering import Hunk, Row, unified

UNRELATED = "unrelated line {} that nobody asked for"

Noise = Callable[[Case], Trial | None]


def clean(case: Case) -> Trial | None:
    if case.form == "v4a" and case.change.kind == "update" and not case.change.body_ops:
        return None  # only line ends or the mode differ: V4A cannot say it
    return case.trial(case.text())


def crlf_file(case: Case) -> Trial | None:
    if not all(line.end for line in case.change.a[:-1]):
        return None
    lines = [Line(line.body, "\r\n" if line.end else "") for line in case.change.a]
    return case.on(lines, case.text())


def crlf_patch(case: Case) -> Trial | None:
    return case.trial(case.text().replace("\n", "\r\n"))


def blanks_in_patch(case: Case) -> Trial | None:
    """Trailing blanks on some context and removed lines of the patch, or gone from them."""

    def changed(row: Row) -> Row:
        if row.op == "+" or case.dice.random() < 0.5:
            return row
        bare = row.text.rstrip()
        return replace(row, text=bare + case.dice.choice(["", " ", "  ", "\t"]))

    return _with_rows(case, changed)


def blanks_in_file(case: Case) -> Trial | None:
    lines = [
        Line(line.body + case.dice.choice([" ", "   ", "\t"]), line.end) if case.dice.random() < 0.3 else line
        for line in case.change.a
    ]
    return None if lines == case.change.a else case.on(lines, case.text())


def tabs_for_spaces(case: Case) -> Trial | None:
    """The whole patch is written with tabs, the file has spaces, four for each."""
    return _reindented(case, _tabbed)


def _tabbed(text: str) -> str:
    """A tab for each four spaces that it begins with; a blank line stays, as a line without an indentation."""
    return re.sub(r"^(    )+(?=.*\S)", lambda found: "\t" * (len(found[0]) // 4), text)


def spaces_for_tabs(case: Case) -> Trial | None:
    """The file has tabs throughout, the patch was written with spaces."""
    if any("\t" in line.body for line in (*case.change.a, *case.change.b)):
        return None
    a, b = ([Line(_tabbed(line.body), line.end) for line in lines] for lines in (case.change.a, case.change.b))
    if a == case.change.a:
        return None
    hunks = [hunk if _shows(hunk, _tabbed) else replace(hunk, rows=_changed(hunk, _tabbed)) for hunk in case.hunks()]
    return case.trial(case.text(hunks), before=joined(a), after=meant(a, b, case.ops, newline=case.newline))


def deeper(case: Case) -> Trial | None:
    """The patch is indented by four more than the file."""
    return _reindented(case, lambda text: "    " + text if text.strip() else text)


def dedented(case: Case) -> Trial | None:
    """Each hunk begins at the margin."""
    hunks = [_flush(hunk) for hunk in case.hunks()]
    return None if hunks == case.hunks() else case.trial(case.text(hunks))


def _flush(hunk: Hunk) -> Hunk:
    indents = [re.match(r"[ \t]*", row.text) for row in hunk.rows if row.text.strip()]
    shortest = min((found[0] for found in indents if found), key=len, default="")
    rows = tuple(replace(row, text=row.text.removeprefix(shortest)) if row.text.strip() else row for row in hunk.rows)
    return replace(hunk, rows=rows)


def _reindented(case: Case, change: Callable[[str], str]) -> Trial | None:
    hunks = case.hunks()
    shown = [row.text for hunk in hunks for row in hunk.rows]
    if any("\t" in text[: len(text) - len(text.lstrip())] for text in shown):
        return None
    noisy = [replace(hunk, rows=_changed(hunk, change)) if _shows(hunk, change) else hunk for hunk in hunks]
    return None if noisy == hunks else case.trial(case.text(noisy))


def _changed(hunk: Hunk, change: Callable[[str], str]) -> tuple[Row, ...]:
    return tuple(replace(row, text=change(row.text)) for row in hunk.rows)


def _shows(hunk: Hunk, change: Callable[[str], str]) -> bool:
    """Whether the old lines of the hunk tell of the change; where none does, its + lines mean what they say."""
    return any(change(text) != text for text in hunk.old)


def shifted(case: Case) -> Trial | None:
    """Unrelated lines came in above all hunks."""
    return _grown(case, [0])


def shifted_apart(case: Case) -> Trial | None:
    """Unrelated lines came in between the hunks, so that no common distance is left."""
    hunks = case.hunks()
    gaps = [(one.old_start + len(one.old), other.old_start) for one, other in pairwise(hunks)]
    places = [case.dice.randint(first + 1, last - 1) for first, last in gaps if last - first > 1]
    return _grown(case, places) if places else None


def _grown(case: Case, places: Sequence[int]) -> Trial | None:
    a = case.change.a
    if not a or not all(line.end for line in a):
        return None
    extra = {
        place: [Line(UNRELATED.format(f"{place}.{number}"), a[0].end) for number in range(case.dice.randint(1, 60))]
        for place in places
    }
    grown = [line.body for at, line in enumerate(a) for line in (*extra.get(at, ()), line)]
    fits = [_fits(grown, hunk.old, hunk.old_start) for hunk in case.hunks()]
    moved = {sum(len(extra[place]) for place in places if place <= hunk.old_start) for hunk in case.hunks()}
    # Where all hunks fit at another distance from their numbers than they moved, nobody can know which is meant.
    return None if set.intersection(*fits) - moved else case.on(a, case.text(), extra)


def _fits(lines: Sequence[str], old: Sequence[str], start: int) -> set[int]:
    """The distances from `start` at which `old` stands in the lines."""
    return {at - start for at in range(len(lines) - len(old) + 1) if lines[at : at + len(old)] == old}


TYPOGRAPHIC = {'"': "“”", "'": "‘’", "-": "‐–—", " ": "\u00a0\u2009", ".": "."}


def typographic(case: Case) -> Trial | None:
    """Quotes, dashes and blanks of context and removed lines as a word processor has them."""

    def changed(row: Row) -> Row:
        if row.op == "+":
            return row
        lead = len(row.text) - len(row.text.lstrip())
        text = "".join(
            case.dice.choice(TYPOGRAPHIC[char]) if char in TYPOGRAPHIC and case.dice.random() < 0.3 else char
            for char in row.text[lead:]
        )
        return replace(row, text=row.text[:lead] + text.replace("...", "…"))

    return _with_rows(case, changed)


def one_around(case: Case) -> Trial | None:
    """One line of context is all the patch has."""
    hunks = case.hunks(1)
    return case.trial(case.text(hunks)) if all(hunk.old for hunk in hunks) or case.form == "unified" else None


def none_around(case: Case) -> Trial | None:
    """Numbers alone, as in `diff -U0`."""
    return case.trial(case.text(case.hunks(0))) if case.form == "unified" else None


def no_anchors(case: Case) -> Trial | None:
    """Lines that are not unique, and nothing that says which are meant."""
    hunks = [replace(hunk, anchors=(), at_end=False) for hunk in case.hunks()]
    return None if hunks == case.hunks() or case.form == "unified" else case.trial(case.text(hunks))


def no_numbers(case: Case) -> Trial | None:
    return case.trial(unified(case.change, case.usual, numbers=False)) if case.form == "unified" else None


def wrong_numbers(case: Case) -> Trial | None:
    """Each header's line is guessed: some lines off, each by another number."""
    if case.form == "v4a":
        return None
    hunks = [replace(each, old_start=max(0, each.old_start + case.dice.randint(-40, 40))) for each in case.hunks()]
    return case.trial(case.text(hunks))


def wrong_counts(case: Case) -> Trial | None:
    """Models can't count: the lengths in a header are one off."""
    if case.form == "v4a":
        return None

    def miscounted(found: re.Match[str]) -> str:
        old, new = (max(1, int(found[group] or 1) + case.dice.choice([-1, 1])) for group in (2, 4))
        return f"@@ -{found[1]},{old} +{found[3]},{new} @@"

    return case.trial(re.sub(r"(?m)^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", miscounted, case.text()))


def one_wrong_line(case: Case) -> Trial | None:
    """One context or removed line of one hunk is not what the file has, though like it."""
    hunks = case.hunks()
    spots = [
        (number, place)
        for number, hunk in enumerate(hunks)
        for place, row in enumerate(hunk.rows)
        if row.op != "+" and len(row.text.strip()) > 3
    ]
    if not spots:
        return None
    number, place = case.dice.choice(spots)
    hunk = hunks[number]
    row = hunk.rows[place]
    text = row.text
    at = case.dice.randrange(len(text) - len(text.lstrip()), len(text.rstrip()))
    wrong = text[:at] + case.dice.choice("qzQZ07") + text[at + case.dice.randint(0, 1) :]
    if any(line.body.strip() == wrong.strip() for line in case.change.a):
        return None
    rows = (*hunk.rows[:place], replace(row, text=wrong), *hunk.rows[place + 1 :])
    hunks[number] = replace(hunk, rows=rows)
    return case.refused(case.text(hunks))


def truncated(case: Case) -> Trial | None:
    """The patch breaks off within a line of its last hunk; not the last one, whose rest nobody can know of."""
    text = case.text()
    last = text.rindex("\n@@") + 3
    body = text.removesuffix("*** End Patch\n").removesuffix("\\ No newline at end of file\n")
    end = body.rindex("\n", 0, -1) - 1
    spots = [at for at in range(text.index("\n", last) + 1, end) if text[at - 1] != "\n"]
    return case.refused(text[: case.dice.choice(spots)]) if spots else None


def _with_rows(case: Case, change: Callable[[Row], Row]) -> Trial | None:
    hunks = case.hunks()
    noisy = [replace(hunk, rows=tuple(change(row) for row in hunk.rows)) for hunk in hunks]
    return None if noisy == hunks else case.trial(case.text(noisy))


CLEAN = "clean"
NOISES: Mapping[str, Noise] = {
    CLEAN: clean,
    "CRLF in the file": crlf_file,
    "CRLF in the patch": crlf_patch,
    "trailing blanks in the patch": blanks_in_patch,
    "trailing blanks in the file": blanks_in_file,
    "patch with tabs, file with spaces": tabs_for_spaces,
    "patch with spaces, file with tabs": spaces_for_tabs,
    "patch indented too deep": deeper,
    "hunks begin at the margin": dedented,
    "lines above shifted": shifted,
    "lines between shifted": shifted_apart,
    "typographic quotes, dashes, blanks": typographic,
    "one line of context": one_around,
    "no context (-U0)": none_around,
    "no numbers": no_numbers,
    "no anchors where they are due": no_anchors,
    "wrong numbers": wrong_numbers,
    "wrong counts": wrong_counts,
    "one line wrong": one_wrong_line,
    "cut off": truncated,
}
REFUSED = ("one line wrong", "cut off")  # rows whose every patch must be refused
