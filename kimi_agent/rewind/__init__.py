"""Going back: chat, files or both, to any turn, and forward again."""
