"""Unanswered calls after a crash or Ctrl-C: the result text that answers each, and the files that changed since."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kimi_agent.log.event_parts import Fingerprint, OpenCall
from kimi_agent.log.events import CallStarted
from kimi_agent.log.messages import Call
from kimi_agent.printable import join_some

NOT_RUN_TEXT = "not run: the turn was interrupted before this call began"
_MOST_NAMES = 20


@dataclass(frozen=True)
class UnansweredCall:
    """A call without a result: (answer, index) names it; `started` is None where it never began."""

    answer: int
    index: int
    call: Call
    started: CallStarted | None


def describe_interruption(started: CallStarted | None, changed: Sequence[str] | None) -> str:
    """The text in place of the result; `changed` names the files that differ since, None where nobody looked."""
    if started is None:
        return NOT_RUN_TEXT
    lines = ["Error [interrupted]: interrupted; it may or may not have taken effect"]
    if changed:
        lines.append(f"Files that changed since it began: {join_some(changed, _MOST_NAMES)}")
    elif changed is not None and started.before:
        lines.append("None of the files it names changed since it began.")
    lines.append("Next: check before repeating it")
    return "\n".join(lines)


def settle_calls(
    calls: Iterable[UnansweredCall], fingerprints: Callable[[Iterable[str]], Iterable[Fingerprint]]
) -> tuple[OpenCall, ...]:
    """For a `Recovered`: each call that was started, and which of the files it names differ from what they were."""
    found = []
    for call in calls:
        if call.started is not None:
            before = call.started.before
            now = {file.path: file.sha256 for file in fingerprints([file.path for file in before])}
            changed = tuple(file.path for file in before if now.get(file.path, "") != file.sha256)
            found.append(OpenCall(call.answer, call.index, changed))
    return tuple(found)
