"""Log readers: recall, search, summary, export and spending, each computed from the events."""
