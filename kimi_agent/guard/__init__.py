"""May it? Policy and rules, command reading, trust of a folder, and the wrappers that ask."""
