"""Runs without a screen: text and JSON output, stdin, approvals on the terminal, GitHub Actions."""
