"""The interactive session: the read loop, slash commands, the status line."""
