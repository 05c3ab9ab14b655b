"""Rewind: takes chat, files or both back to any turn, and forward again; and who changed what (diff, blame)."""
