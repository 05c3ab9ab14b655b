"""Search in the workspace: ripgrep, the parser of its output, and a stand-in in Python."""
