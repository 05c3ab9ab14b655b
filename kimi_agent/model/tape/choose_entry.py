"""Tape position: picks the line that answers, from answers counted in the request itself (no state).

So nothing has to be remembered. Where a summary replaces what was before, the count goes on from the mark that
`{{place}}` left in it.
"""

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass

from kimi_agent.model.tape.expectations import TapeRequest, content_text, find_unmet, fingerprint_answer
from kimi_agent.model.tape.tape_format import Tape, TapeEntry, TapeScript

_TRACES = 3


class TapeMismatch(Exception):
    """The request is not the one that the tape was written for; `str(error)` names tape, line and what differs."""


def choose_entry(tape: Tape, request: TapeRequest) -> TapeEntry:
    """The line that answers. Raises TapeMismatch where none does."""
    for _, script in _matching_scripts(tape, request):
        for interlude in script.interludes:
            if _needs_note(interlude) and _interlude_applies(interlude, request, len(request.messages)):
                return interlude
    where = _find_positions(tape, request)
    if not where:
        raise TapeMismatch(f"{tape.name}: no lines are for the agent {request.agent} and what it was told")
    script, position = where[-1].script, where[-1].position
    for interlude in script.interludes:
        if _interlude_applies(interlude, request, len(request.messages)):
            return interlude
    for entry in script.entries:
        if entry.start <= position and (entry.end is None or position < entry.end):
            return entry
    last = max((entry.end or 0 for entry in script.entries), default=0)
    raise TapeMismatch(
        f"{tape.name}: no line gives answer {position + 1} to {request.agent}"
        f"{f' after {script.when!r}' if script.when else ''}; its lines end after answer {last}"
    )


def format_mark(tape: Tape, request: TapeRequest) -> str:
    """The text of `{{place}}`: the conversation's position, for when a summary is all that is left of it."""
    last = [request.messages[i] for i in request.answers_after(-1)[-_TRACES:]]
    given = "".join(f" {place.number}={place.position}" for place in _find_positions(tape, request))
    return f"[tape {request.count}{''.join(f' {fingerprint_answer(each)}' for each in last)}{given}]"


@dataclass(frozen=True)
class _ScriptPosition:
    """One script's position: it gave `position` answers so far."""

    number: int
    script: TapeScript
    position: int


def _matching_scripts(tape: Tape, request: TapeRequest) -> Iterator[tuple[int, TapeScript]]:
    for number, script in enumerate(tape.scripts):
        if fnmatch.fnmatchcase(request.agent, script.agent or ("*" if script.when else "main")):
            yield number, script


def _find_positions(tape: Tape, request: TapeRequest) -> list[_ScriptPosition]:
    """The scripts that could answer, the one that does last: the one that names the agent, then whose words came last.

    Behind a mark the words are looked for among what came after it; those before are as the mark says.
    """
    mark = request.mark
    found: list[tuple[tuple[bool, int, int], _ScriptPosition]] = []
    for number, script in _matching_scripts(tape, request):
        anchor = _anchor(script.when, request, mark.start if mark else -1) if script.when else None
        order = 0
        if anchor is not None:
            position = _count_answers(script, request, anchor)
        elif mark is not None and (number in mark.given or not script.when):
            position = mark.given.get(number, mark.count) + _count_answers(script, request, mark.index)
            anchor, order = (mark.start, list(mark.given).index(number)) if script.when else (-1, 0)
        elif not script.when:
            anchor, position = -1, _count_answers(script, request, -1)
        else:
            continue
        if script.entries:
            found.append(((bool(script.agent), anchor, order), _ScriptPosition(number, script, position)))
    return [place for _, place in sorted(found, key=lambda each: each[0])]


def _anchor(when: str, request: TapeRequest, behind: int) -> int | None:
    """The last user message behind message `behind` that holds these words."""
    messages = request.messages
    places = (i for i in range(len(messages) - 1, behind, -1) if messages[i].get("role") == "user")
    return next((i for i in places if when in content_text(messages[i])), None)


def _count_answers(script: TapeScript, request: TapeRequest, behind: int) -> int:
    """How many answers the script gave behind message `behind`."""
    answers = request.answers_after(behind)
    # What an interlude answered, then as now, was nobody's turn.
    return sum(not any(_interlude_applies(each, request, i) for each in script.interludes) for i in answers)


def _needs_note(interlude: TapeEntry) -> bool:
    return interlude.line.interlude is not None and bool(interlude.line.interlude.note_contains)


def _interlude_applies(interlude: TapeEntry, request: TapeRequest, end: int) -> bool:
    """Whether the interlude answers (or, for an earlier `end`, answered) what the first `end` messages say.

    The notes of earlier requests are not known, and what was answered to them did not join the conversation.
    """
    if interlude.line.interlude is None or (_needs_note(interlude) and end < len(request.messages)):
        return False
    return not find_unmet(interlude.line.interlude, request, end)
