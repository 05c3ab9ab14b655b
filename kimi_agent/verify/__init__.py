"""Verification at the end of a turn: what the test runs prove of the files as they are."""
