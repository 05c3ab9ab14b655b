"""Indentation change: the one uniform change that makes a patch's lines fit, deeper, shallower or with tabs."""

from collections.abc import Sequence
from dataclasses import dataclass

from kimi_agent.printable import format_count

BLANKS = " \t"
TAB_WIDTHS = (2, 3, 4, 8)  # of a tab, in spaces


@dataclass(frozen=True)
class IndentChange:
    """Begin each line with `add` instead of `remove`; or, with `width`, turn tabs into spaces or (`to_tabs`) back."""

    add: str = ""
    remove: str = ""
    width: int = 0
    to_tabs: bool = False

    def apply(self, line: str) -> str | None:
        """The line so changed (a blank one as it is), None where it does not begin with what is to be removed."""
        if not line.strip():
            return line
        own = leading_blanks(line)
        new = self.apply_to_blanks(own)
        return None if new is None else new + line[len(own) :]

    def apply_to_blanks(self, own: str) -> str | None:
        """What becomes of the blanks that a line begins with."""
        if not self.width:
            return self.add + own[len(self.remove) :] if own.startswith(self.remove) else None
        if not self.to_tabs:
            return own.replace("\t", " " * self.width)
        spaces = len(own) - len(own.lstrip(" "))
        return "\t" * (spaces // self.width) + " " * (spaces % self.width) + own[spaces:]

    @property
    def note(self) -> str:
        """What was done, for a result."""
        if self.width:
            each = "a tab for each" if self.to_tabs else "no tabs but"
            return f"re-indented: {each} {self.width} spaces"
        blanks, less = (self.add, "") if self.add else (self.remove, " less")
        kinds = ((blanks.count("\t"), "tab"), (blanks.count(" "), "space"))
        count = " and ".join(format_count(many, word) for many, word in kinds if many)
        return f"re-indented by {count}{less}"


def find_indent_change(leads: Sequence[tuple[str, str]]) -> IndentChange | None:
    """The one change that makes every first lead its second one, if there is one."""
    mine, its = next((pair for pair in leads if pair[0] != pair[1]), ("", ""))
    choices: list[IndentChange] = []
    if its.endswith(mine):
        choices.append(IndentChange(add=its[: len(its) - len(mine)]))
    if mine.endswith(its):
        choices.append(IndentChange(remove=mine[: len(mine) - len(its)]))
    choices += [IndentChange(width=width, to_tabs=to_tabs) for width in TAB_WIDTHS for to_tabs in (True, False)]
    fitting = (each for each in choices if all(each.apply_to_blanks(mine) == its for mine, its in leads))
    return next(fitting, None) if mine != its else None


def leading_blanks(line: str) -> str:
    """The blanks that a line begins with."""
    return line[: len(line) - len(line.lstrip(BLANKS))]
