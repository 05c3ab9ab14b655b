"""User interfaces of a session: the REPL for people at a terminal, text and JSON lines for pipes and programs."""
