"""Parsers of what Python's test runners write and print."""
