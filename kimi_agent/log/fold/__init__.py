"""The conversation fold: what the model reads, computed from the log, and what a rewind takes back of it."""
