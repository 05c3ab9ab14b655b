"""Workspace files: read, listed, written, kept outputs, and the files that the model has seen."""
