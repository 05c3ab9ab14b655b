"""Tapes: scripted model answers, their file format, and how they are played."""
