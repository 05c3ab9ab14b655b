"""Rendering: events and Markdown as rows of the terminal."""
