"""The user's own git repository: commits, worktrees and pull requests made for them."""
