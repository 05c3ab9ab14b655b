"""Search in the workspace: ripgrep, the parser of its output, and a slow substitute in Python."""
