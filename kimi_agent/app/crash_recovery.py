"""Crash recovery: finishes file changes, ends processes, and records in the log what a killed run had begun."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from msgspec import structs

from kimi_agent.errors import UserError
from kimi_agent.guard.tool_wrappers.snapshots import MAX_MISSED_PATHS
from kimi_agent.log.events import Checkpoint, Said, Spent, Stamped, TurnEnded
from kimi_agent.log.messages import User
from kimi_agent.log.sessions import Sessions
from kimi_agent.log.store.lock import SessionInUse
from kimi_agent.log.store.session import Session
from kimi_agent.model.cost.prices import format_usd
from kimi_agent.printable import format_count
from kimi_agent.rewind.file_plan.authorship import SnapshotAccess
from kimi_agent.rewind.restore_note import decode_restore_note, is_unrecorded
from kimi_agent.rewind.tree_changes import read_tree_changes
from kimi_agent.toolbox import Toolbox
from kimi_agent.workspace.checkpoint import SnapshotError
from kimi_agent.workspace.confined_open import ConfinedOpener
from kimi_agent.workspace.process.process_tree import kill_leftover_runs
from kimi_agent.workspace.transaction.recovery import recover_commits
from kimi_agent.workspace.transaction.syscalls import FileSyscalls


def recover_files(journals: Path, sessions: Sessions, checkpoints: SnapshotAccess) -> list[str]:
    """Finish or undo the file changes of the workspace that a kill cut short. Returns a sentence for each.

    To be called before a session is opened: a rewind that is finished here is recorded in its own session.
    """
    syscalls = FileSyscalls(ConfinedOpener())
    return recover_commits(
        journals, str(sessions.workspace), syscalls, lambda note: _record_restore(note, sessions, checkpoints)
    )


def _record_restore(text: str, sessions: Sessions, checkpoints: SnapshotAccess) -> bool:
    """Write the `Rewound` of a restore into its session's log; False where another process has that open."""
    if (note := decode_restore_note(text)) is None:
        return True
    try:
        session = sessions.resume(note.session)
    except SessionInUse:
        return False
    except UserError:
        return True  # the session was removed
    try:
        if is_unrecorded(session.take_past(), note.event):
            tree = ""
            with contextlib.suppress(SnapshotError):
                tree = checkpoints.take(checkpoints.requested_ignored(note.event.was), newly_ignored=True).tree
            session.emit(structs.replace(note.event, tree=tree))
    finally:
        session.close()
    return True


def describe_interrupted_calls(session: Session, toolbox: Toolbox) -> list[str]:
    """A notice for the person about calls that a crash cut off; the model reads of the same ones."""
    started = [call for call in session.conversation.open_calls if call.started is not None]
    names = [call.call.name for call in started if toolbox.effect(call.call.name) != "read"]
    return [f"Cut off last time, and perhaps done: {', '.join(names)}. The model is told."] if names else []


def close_interrupted_call(session: Session, checkpoints: SnapshotAccess, log: Sequence[Stamped]) -> None:
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


def describe_cut_requests(booked: Sequence[Stamped]) -> list[str]:
    """A notice for the person where requests were under way when a run was killed: what is counted for them."""
    spent = [each.event for each in booked if isinstance(each.event, Spent)]
    if not spent:
        return []
    cost = sum(each.usd or 0.0 for each in spent)
    counted = format_usd(cost) if cost else format_count(sum(each.usage.input for each in spent), "token")
    return [f"A request was under way when the last run was killed: {counted} are counted for it, by estimate."]


def end_leftover_processes(register: Path) -> list[str]:
    """End the processes that a killed run left behind; a notice says how many they were."""
    killed = kill_leftover_runs(register)
    return [f"Ended {killed} processes that a killed run had left behind."] if killed else []
