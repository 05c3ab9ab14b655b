"""The session log on disk: its file, codec, lock, blobs and forks."""
