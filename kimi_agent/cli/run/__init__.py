"""A run of the agent: its flags and options, headless or interactive."""
