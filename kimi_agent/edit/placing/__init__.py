"""Hunk placement: the lines of a file that a hunk is about, by exact match, anchors and tolerances."""
