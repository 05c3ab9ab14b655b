"""Snapshots of the whole workspace, kept as git objects in a private store."""

from kimi_agent.workspace.checkpoint.checkpoints import Checkpoints
from kimi_agent.workspace.checkpoint.snapshot_values import (
    PathChange,
    Snapshot,
    SnapshotError,
    SnapshotLimits,
    TreeEntry,
    UnkeptPaths,
)

__all__ = ["Checkpoints", "PathChange", "Snapshot", "SnapshotError", "SnapshotLimits", "TreeEntry", "UnkeptPaths"]
