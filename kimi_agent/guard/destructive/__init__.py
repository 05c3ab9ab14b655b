"""Destructive commands: which are forbidden, and what the others would lose."""
