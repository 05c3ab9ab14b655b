"""Git, hardened: its command, its settings, and what is read from a git folder without running it."""
