"""The choice of a test command: given, documented, remembered or detected."""
