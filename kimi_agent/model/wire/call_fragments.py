"""Tool call assembler: joins streamed fragments into calls by index, then by id, then by order.

Moonshot sends id and name once, in the first fragment. Other servers leave out the index or the id, send the id
last, repeat the name in every fragment, or cut it in two ("edit_ex", "isting_file"); each of that was seen in the
wild.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeGuard

from kimi_agent.errors import Unavailable
from kimi_agent.log.events import CallDelta

MAX_CALLS = 64


@dataclass
class _PartialCall:
    """A call while it is assembled. It is emitted with its first arguments: only then its name is surely whole."""

    index: int
    id: str = ""
    name: str = ""
    emitted: bool = False
    early: list[str] = field(default_factory=list)
    """Arguments that came before the name."""

    def emit(self) -> CallDelta:
        self.emitted = True
        return CallDelta(self.index, self.id, self.name, "".join(self.early))


class CallAssembler:
    """The calls of one answer."""

    def __init__(self) -> None:
        self._calls: list[_PartialCall] = []
        self._by_index: dict[int, _PartialCall] = {}

    def add(self, index: object, wire_id: str, name: str, arguments: str) -> Iterator[CallDelta]:
        """The deltas of one fragment; each of its fields may be missing. Raises Unavailable for too many calls."""
        call = self._find(index, wire_id, name)
        if call is None:
            if self._calls and not self._calls[-1].emitted and self._calls[-1].name:
                yield self._calls[-1].emit()
            call = self._begin(index)
        late_id = wire_id if not call.id else ""
        call.id = call.id or wire_id
        if call.emitted:
            if late_id or arguments:
                yield CallDelta(call.index, late_id, "", arguments)
            return
        if name:
            # The name again, or all of it so far, or its next piece.
            call.name = name if name.startswith(call.name) else call.name + name
        if arguments:
            call.early.append(arguments)
        if call.name and call.early:
            yield call.emit()

    def end(self) -> Iterator[CallDelta]:
        """The deltas still to emit. Raises Unavailable where a call has no name; an id that never came is made up."""
        for call in self._calls:
            if not call.name:
                raise Unavailable("The answer held a tool call without a name.")
            made_up = "" if call.id else f"call_{call.index}"
            call.id = call.id or made_up
            if not call.emitted:
                yield call.emit()
            elif made_up:
                yield CallDelta(call.index, made_up)

    def _find(self, index: object, wire_id: str, name: str) -> _PartialCall | None:
        """The call that a fragment belongs to; None for a new one."""
        last = self._calls[-1] if self._calls else None
        if _is_number(index):
            known = self._by_index.get(index)
        elif wire_id:
            known = next((call for call in self._calls if call.id == wire_id), None)
            if known is None and last is not None and not last.id and not name:
                known = last  # the id came behind its call
        else:
            known = last if last is not None and not (name and last.name) else None
        if known is not None and wire_id and known.id and wire_id != known.id:
            return None
        return known

    def _begin(self, index: object) -> _PartialCall:
        if len(self._calls) == MAX_CALLS:
            raise Unavailable(f"The answer held more than {MAX_CALLS} tool calls and was cut off.", retry=False)
        call = _PartialCall(len(self._calls))
        self._calls.append(call)
        if _is_number(index):
            self._by_index[index] = call
        return call


def _is_number(index: object) -> TypeGuard[int]:
    return isinstance(index, int) and not isinstance(index, bool)
