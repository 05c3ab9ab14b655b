"""What a killed run left behind: it is ended, told to the person, and settled in the log."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from kimi_agent.guard.tool_wrappers.snapshots import MOST_MISSED
from kimi_agent.log.events import Checkpoint, OpenCall, Said, Stamped, TurnEnded
from kimi_agent.log.fold.unanswered_calls import Unanswered, settled
from kimi_agent.log.messages import User
from kimi_agent.log.store.session import Session
from kimi_agent.toolbox import Toolbox
from kimi_agent.workspace.checkpoint import Checkpoints, Unkept
from kimi_agent.workspace.checkpoint.tree_changes import spans
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.process.runner import sweep


def cut_off(session: Session, toolbox: Toolbox) -> list[str]:
    """What the person should know of calls that a crash cut off, as the model will be told of them."""
    started = [call for call in session.conversation.open_calls if call.started is not None]
    names = [call.call.name for call in started if toolbox.effect(call.call.name) != "read"]
    return [f"Cut off last time, and perhaps done: {', '.join(names)}. The model is told."] if names else []


def close_cut_off(session: Session, checkpoints: Checkpoints, log: Sequence[Stamped]) -> None:
    """What was cut off by a crash ends here: what happens to the files from now on is somebody else's doing."""
    done = spans(log)
    if done and not done[-1].after and not done[-1].failed:
        with contextlib.suppress(Unkept):
            kept = checkpoints.take(checkpoints.also(done[-1].before) if done[-1].before else ())
            session.emit(Checkpoint(kept.tree, "after", done[-1].answer, done[-1].index, kept.missed[:MOST_MISSED]))


def never_ended(log: Sequence[Stamped]) -> list[str]:
    """What the person should know where the last turn of the log was cut off."""
    for stamped in reversed(log):
        match stamped.event:
            case TurnEnded():
                return []
            case Said(User(), queued=0):
                return ["The last turn never came to its end; say 'continue' to go on with it."]
            case _:
                pass
    return []


def swept(register: Path) -> list[str]:
    """End the processes that are still there, and say how many they were."""
    killed = sweep(register)
    return [f"Ended {killed} processes that a killed run had left behind."] if killed else []


def settled_calls(files: Files, toolbox: Toolbox, calls: Sequence[Unanswered]) -> tuple[OpenCall, ...]:
    """What changed since each interrupted call began; for a command, which names no files, whatever the model knew."""
    found = settled(calls, files.fingerprints)
    effects = {(each.answer, each.index): toolbox.effect(each.call.name) for each in calls}
    return tuple(
        OpenCall(each.answer, each.index, tuple(files.changed()))
        if effects[each.answer, each.index] == "execute"
        else each
        for each in found
    )
