"""Patch parsers: unified diffs and V4A patches."""
