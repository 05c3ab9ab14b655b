"""Touching the machine: confined files, processes, search, git, test runs."""
