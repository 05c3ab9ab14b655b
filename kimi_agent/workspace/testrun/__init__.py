"""The repository's tests: choose their command, run it, and parse what the test runner reports."""

from kimi_agent.workspace.testrun.project_tests import ProjectTests

__all__ = ["ProjectTests"]
