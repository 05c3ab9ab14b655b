"""Weakened tests: which tests assert less than before an edit."""
