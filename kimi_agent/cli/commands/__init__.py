"""The subcommands: sessions, stats, changes, worktrees and more."""
