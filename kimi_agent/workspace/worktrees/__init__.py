"""Git worktrees of sessions: created, named, listed and removed."""
