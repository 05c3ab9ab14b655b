"""The session log: events, messages and views as values, the log file (store), its fold and its readers."""
