"""What happened: messages, views, events, their codec, the session file and its readings."""
