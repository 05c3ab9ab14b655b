"""The engine on a history made by dice: whatever noise there is, a change lands exactly or is refused."""

import random
from itertools import islice
from pathlib import Path

import pytest

from tests.edit.history.noise import CLEAN, NOISES, REFUSED
from tests.edit.history.on_disk import spoiled_step, unified_step, v4a_step, walked
from tests.edit.history.synthetic import pulp, sources, versions
from tests.edit.history.trials import FORMS, Figures, run
from tests.edit.history.versions import FileChange, changes

# Lines that other numbers than theirs fit too are taken at their numbers: in pulp that is no fault of the engine's. The
# same goes for lines that, indented otherwise, are exactly those of another place.
NOT_IN_PULP = (
    "wrong numbers",
    "lines above shifted",
    "lines between shifted",
    "patch with tabs, file with spaces",
    "patch with spaces, file with tabs",
    "patch indented too deep",
    "hunks begin at the margin",
)


def judged(figures: Figures) -> None:
    print(f"\n{figures.table()}")
    assert [(row, form, where) for row, form, where, _, _ in figures.wrongs] == []
    assert figures.of(CLEAN, "unified")[1] == 0
    for row in REFUSED:
        assert [figures.of(row, form)[0] for form in FORMS] == [0, 0]


def test_every_row_on_a_few_changes(tmp_path: Path) -> None:
    dice = random.Random(20)
    old, new = versions(sources(), dice, 30)
    changed = list(changes(old, new))
    figures = Figures()
    rows = tuple(NOISES)
    for number, change in enumerate(changed):  # each change meets a third of the rows
        figures.add(run([("", change)], "1", (CLEAN, *rows[1 + number % 3 :: 3])))
    judged(figures)
    assert {row for row, _, _ in figures.counts} >= set(rows) - {"no anchors where they are due"}
    exact, refused, _ = figures.of(CLEAN, "v4a")
    assert exact > 2 * refused
    for name, step in (
        ("unified", unified_step(old, new, changed)),
        ("V4A", v4a_step(old, [change for change in changed if change.path not in figures.refused_as_v4a])),
        ("spoiled", spoiled_step(old, changed, dice)),
    ):
        assert step is not None
        outcome = walked(step, tmp_path / name)
        assert outcome.verdict == ("refused" if name == "spoiled" else "exact"), (name, outcome)


def test_lines_that_stand_everywhere_are_never_mistaken() -> None:
    rows = [row for row in NOISES if row not in NOT_IN_PULP]
    texts = islice(pulp(random.Random(4)), 30)
    judged(run((("", FileChange(path, old, new)) for path, old, new in texts), "1", rows))


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(8))
def test_every_row_on_many_changes(seed: int, tmp_path: Path) -> None:
    given, dice, figures = sources(900), random.Random(seed), Figures()
    for number in range(4):
        old, new = versions(given, dice, 40)
        changed = list(changes(old, new))
        figures.add(run((("", change) for change in changed), f"{seed}"))
        for name, step in (("whole", unified_step(old, new, changed)), ("spoiled", spoiled_step(old, changed, dice))):
            if step is not None:
                figures.note(f"all files, {name}", "disk", "", None, walked(step, tmp_path / f"{number} {name}"))
    judged(figures)
    assert figures.of("all files, whole", "disk") == (4, 0, 0)
    assert figures.of("all files, spoiled", "disk")[0] == 0


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(4))
def test_many_texts_of_a_few_lines(seed: int) -> None:
    rows = [row for row in NOISES if row not in NOT_IN_PULP]
    texts = islice(pulp(random.Random(seed)), 1_500)
    judged(run((("", FileChange(path, old, new)) for path, old, new in texts), f"{seed}", rows))
