"""Where in a tape a conversation is: counted in the request itself, so that nothing has to be remembered.

Where a summary stands for what was before, the count goes on from the mark that `{{place}}` left in it.
"""

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass

from kimi_agent.model.tape.expectations import Asking, text_of, trace, unmet
from kimi_agent.model.tape.format import Entry, Script, Tape

_TRACES = 3


class TapeMismatch(Exception):
    """The request is not the one that the tape was written for; `str(error)` names tape, line and what differs."""


def choose(tape: Tape, asking: Asking) -> Entry:
    """The line that answers. Raises TapeMismatch where none does."""
    for _, script in _fitting(tape, asking):
        for interlude in script.interludes:
            if _by_note(interlude) and _holds(interlude, asking, len(asking.messages)):
                return interlude
    where = _places(tape, asking)
    if not where:
        raise TapeMismatch(f"{tape.name}: no lines are for the agent {asking.agent} and what it was told")
    script, position = where[-1].script, where[-1].position
    for interlude in script.interludes:
        if _holds(interlude, asking, len(asking.messages)):
            return interlude
    for entry in script.entries:
        if entry.start <= position and (entry.end is None or position < entry.end):
            return entry
    last = max((entry.end or 0 for entry in script.entries), default=0)
    raise TapeMismatch(
        f"{tape.name}: no line gives answer {position + 1} to {asking.agent}"
        f"{f' after {script.when!r}' if script.when else ''}; its lines end after answer {last}"
    )


def mark_of(tape: Tape, asking: Asking) -> str:
    """What `{{place}}` stands for: where the conversation is, for the time when a summary is all there is of it."""
    last = [asking.messages[i] for i in asking.answers_after(-1)[-_TRACES:]]
    given = "".join(f" {place.number}={place.position}" for place in _places(tape, asking))
    return f"[tape {asking.count}{''.join(f' {trace(each)}' for each in last)}{given}]"


@dataclass(frozen=True)
class _Place:
    """How far one script is: `position` answers were given by it."""

    number: int
    script: Script
    position: int


def _fitting(tape: Tape, asking: Asking) -> Iterator[tuple[int, Script]]:
    for number, script in enumerate(tape.scripts):
        if fnmatch.fnmatchcase(asking.agent, script.agent or ("*" if script.when else "main")):
            yield number, script


def _places(tape: Tape, asking: Asking) -> list[_Place]:
    """The scripts that could answer, the one that does last: the one that names the agent, then whose words came last.

    Behind a mark the words are looked for among what came after it; those before are as the mark says.
    """
    mark = asking.mark
    found: list[tuple[tuple[bool, int, int], _Place]] = []
    for number, script in _fitting(tape, asking):
        anchor = _anchor(script.when, asking, mark.start if mark else -1) if script.when else None
        order = 0
        if anchor is not None:
            position = _given(script, asking, anchor)
        elif mark is not None and (number in mark.given or not script.when):
            position = mark.given.get(number, mark.count) + _given(script, asking, mark.index)
            anchor, order = (mark.start, list(mark.given).index(number)) if script.when else (-1, 0)
        elif not script.when:
            anchor, position = -1, _given(script, asking, -1)
        else:
            continue
        if script.entries:
            found.append(((bool(script.agent), anchor, order), _Place(number, script, position)))
    return [place for _, place in sorted(found, key=lambda each: each[0])]


def _anchor(when: str, asking: Asking, behind: int) -> int | None:
    """The last user message behind message `behind` that holds these words."""
    messages = asking.messages
    places = (i for i in range(len(messages) - 1, behind, -1) if messages[i].get("role") == "user")
    return next((i for i in places if when in text_of(messages[i])), None)


def _given(script: Script, asking: Asking, behind: int) -> int:
    """How many answers the script gave behind message `behind`."""
    answers = asking.answers_after(behind)
    # What an interlude answered, then as now, was nobody's turn.
    return sum(not any(_holds(each, asking, i) for each in script.interludes) for i in answers)


def _by_note(interlude: Entry) -> bool:
    return interlude.line.interlude is not None and bool(interlude.line.interlude.note_contains)


def _holds(interlude: Entry, asking: Asking, end: int) -> bool:
    """Whether the interlude answers (or, for an earlier `end`, answered) what the first `end` messages say.

    The notes of earlier requests are not known, and what was answered to them did not join the conversation.
    """
    if interlude.line.interlude is None or (_by_note(interlude) and end < len(asking.messages)):
        return False
    return not unmet(interlude.line.interlude, asking, end)
