"""Snapshots of the whole workspace, kept as git objects in a private store."""

from kimi_agent.workspace.checkpoint.checkpoints import Checkpoints
from kimi_agent.workspace.checkpoint.values import Kept, Limits, PathChange, Snapshot, Unkept

__all__ = ["Checkpoints", "Kept", "Limits", "PathChange", "Snapshot", "Unkept"]
