"""The machine under the agent: confined files, processes, search, git and test runs."""
