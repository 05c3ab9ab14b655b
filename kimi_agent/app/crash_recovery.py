"""Crash recovery: ends what a killed run left running, and finds which files its interrupted calls changed."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from kimi_agent.guard.tool_wrappers.snapshots import MAX_MISSED_PATHS
from kimi_agent.log.events import Checkpoint, OpenCall, Said, Stamped, TurnEnded
from kimi_agent.log.fold.unanswered_calls import UnansweredCall, settle_calls
from kimi_agent.log.messages import User
from kimi_agent.log.store.session import Session
from kimi_agent.rewind.tree_changes import read_tree_changes
from kimi_agent.toolbox import Toolbox
from kimi_agent.workspace.checkpoint import Checkpoints, SnapshotError
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.process.process_tree import kill_leftover_runs


def describe_interrupted_calls(session: Session, toolbox: Toolbox) -> list[str]:
    """A notice for the person about calls that a crash cut off; the model reads of the same ones."""
    started = [call for call in session.conversation.open_calls if call.started is not None]
    names = [call.call.name for call in started if toolbox.effect(call.call.name) != "read"]
    return [f"Cut off last time, and perhaps done: {', '.join(names)}. The model is told."] if names else []


def close_interrupted_call(session: Session, checkpoints: Checkpoints, log: Sequence[Stamped]) -> None:
    """Record the `Checkpoint` after a call that a crash cut off.

    What happens to the files from then on is not counted as the work of that call.
    """
    changes = read_tree_changes(log)
    if changes and not (last := changes[-1]).after and not last.failed:
        with contextlib.suppress(SnapshotError):
            kept = checkpoints.take(checkpoints.requested_ignored(last.before) if last.before else ())
            session.emit(Checkpoint(kept.tree, "after", last.answer, last.index, kept.missed[:MAX_MISSED_PATHS]))


def describe_unfinished_turn(log: Sequence[Stamped]) -> list[str]:
    """A notice for the person where the last turn of the log was cut off; none where it ended."""
    for stamped in reversed(log):
        match stamped.event:
            case TurnEnded():
                return []
            case Said(User(), queued=0):
                return ["The last turn never came to its end; say 'continue' to go on with it."]
            case _:
                pass
    return []


def end_leftover_processes(register: Path) -> list[str]:
    """End the processes that a killed run left behind; a notice says how many they were."""
    killed = kill_leftover_runs(register)
    return [f"Ended {killed} processes that a killed run had left behind."] if killed else []


def settle_interrupted_calls(files: Files, toolbox: Toolbox, calls: Sequence[UnansweredCall]) -> tuple[OpenCall, ...]:
    """What changed since each interrupted call began; for a command, which names no files, whatever the model knew."""
    commands = {(each.answer, each.index) for each in calls if toolbox.effect(each.call.name) == "execute"}
    return tuple(
        OpenCall(*key, tuple(files.changed())) if (key := (each.answer, each.index)) in commands else each
        for each in settle_calls(calls, files.fingerprints)
    )
