"""Finding a repository's tests, running them, and reading what they report."""

from kimi_agent.workspace.testrun.project_tests import TestRun

__all__ = ["TestRun"]
