"""Carries trials out on the engine's plan and says what came of them; adds up the figures."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from kimi_agent.errors import ToolError
from tests.edit.conftest import Tree
from tests.edit.history.cases import Case, Form, Trial, hunks_of
from tests.edit.history.noise import CLEAN, NOISES
from tests.edit.history.versions import FileChange

Verdict = Literal["exact", "refused", "wrong"]
VERDICTS: tuple[Verdict, ...] = ("exact", "refused", "wrong")
FORMS: tuple[Form, ...] = ("unified", "v4a")


@dataclass(frozen=True)
class Outcome:
    """What came of a trial; `code` of the refusal, `text` that the model would read."""

    verdict: Verdict
    code: str = ""
    text: str = ""


def tried(trial: Trial) -> Outcome:
    """Plan the patch on the files of the trial, as bytes in memory."""
    try:
        after = Tree(trial.before, modes=trial.modes).patched(trial.patch)
    except ToolError as error:
        return Outcome("refused", error.code, str(error))
    return Outcome("exact" if trial.after is not None and after == trial.after else "wrong")


def trials_of(change: FileChange, seed: str, rows: Iterable[str] = tuple(NOISES)) -> Iterator[tuple[str, Form, Trial]]:
    """Every row's trial of one change, in both forms, as far as the row can be made of it."""
    # The noisy ones as plain text: that the new text is parsed as Python, too, is seen in the clean row and costs half.
    noisy = replace(change, path=f"{change.path}.txt")
    for form in FORMS:
        usual = tuple(hunks_of(change, form))
        for row in rows:
            if row != CLEAN and (change.kind != "update" or change.has_cr or not change.body_ops):
                continue
            dice = random.Random(f"{seed} {change.path} {form} {row}")
            trial = NOISES[row](Case(change if row == CLEAN else noisy, form, usual, dice))
            if trial is not None:
                yield row, form, trial


@dataclass
class Figures:
    """Counts by row and form; `wrongs` holds what must be looked at."""

    counts: Counter[tuple[str, str, Verdict]] = field(default_factory=Counter)
    codes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    refused_as_v4a: set[str] = field(default_factory=set)
    wrongs: list[tuple[str, str, str, Trial | None, str]] = field(default_factory=list)

    def note(self, row: str, form: str, where: str, trial: Trial | None, outcome: Outcome) -> None:
        """Count one more."""
        self.counts[row, form, outcome.verdict] += 1
        if outcome.verdict == "wrong":
            self.wrongs.append((row, form, where, trial, outcome.text))
        elif outcome.verdict == "refused":
            self.codes[row, form, outcome.code] += 1
            if (row, form) == (CLEAN, "v4a"):
                self.refused_as_v4a.add(where)

    def add(self, more: "Figures") -> None:
        """Count what was counted elsewhere."""
        self.counts += more.counts
        self.codes += more.codes
        self.wrongs += more.wrongs
        self.refused_as_v4a |= more.refused_as_v4a

    def of(self, row: str, form: str) -> tuple[int, int, int]:
        """Exact, refused, wrong."""
        exact, refused, wrong = (self.counts[row, form, verdict] for verdict in VERDICTS)
        return exact, refused, wrong

    def table(self) -> str:
        lines = [f"{'row':<38} {'form':<8} {'trials':>7} {'exact':>7} {'refused':>8} {'wrong':>6}  refused as"]
        for row, form in dict.fromkeys((row, form) for row, form, _ in self.counts):
            exact, refused, wrong = self.of(row, form)
            total = exact + refused + wrong
            codes = ", ".join(
                f"{code} {count}" for (a, b, code), count in self.codes.most_common() if (a, b) == (row, form)
            )
            share = f"{exact / total:.2%}"
            lines.append(f"{row:<38} {form:<8} {total:>7} {exact:>7} {refused:>8} {wrong:>6}  {share:>7}  {codes}")
        return "\n".join(lines)


def run(changes: Iterable[tuple[str, FileChange]], seed: str, rows: Iterable[str] = tuple(NOISES)) -> Figures:
    """All rows over all changes, each with the name of where it is from."""
    figures = Figures()
    for where, change in changes:
        for row, form, trial in trials_of(change, f"{seed} {where}", rows):
            figures.note(row, form, f"{where} {change.path}".strip(), trial, tried(trial))
    return figures
