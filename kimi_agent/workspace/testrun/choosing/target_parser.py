"""Test target parser: paths and node ids such as "tests/test_a.py::test_b", confined to the workspace.

A target is never read as an option.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from kimi_agent.errors import NeedsConsent, ToolError
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.testrun.commands_and_reports import Target

_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.\w+)+")
MAX_TARGETS = 500


def parse_targets(files: Files, spellings: Sequence[str]) -> tuple[Target, ...]:
    """The targets that `spellings` name. Raises ToolError for what is no path, leads outside or is not there."""
    if len(spellings) > MAX_TARGETS:
        raise ToolError("bad_arguments", f"{len(spellings)} targets are too many", "name their folder instead")
    return tuple(_read(files, spelling.strip()) for spelling in spellings)


def check_test_name(name: str) -> str:
    """`name` as the runner may get it. Raises ToolError for what no test can be called."""
    if "\x00" in name or "\n" in name or len(name) > 1_000:
        raise ToolError("bad_arguments", "'name' must be one short line", "give a part of a test's name")
    return name.strip()


def _read(files: Files, spelling: str) -> Target:
    path, _, node = spelling.partition("::")
    if not path or "\x00" in spelling or "\n" in spelling:
        raise ToolError("bad_arguments", f"{spelling[:80]!r} is no test target", "give a path or a node id")
    if path.startswith("-"):
        why = f"{spelling[:80]!r} looks like an option; targets are paths or node ids"
        mend = "give options in 'command', or write ./ before a path that starts with -"
        raise ToolError("bad_arguments", why, mend)
    if files.kind(path) == "missing" and (named := _parse_dotted_name(files, path)):
        return named
    return Target(_resolve_inside(files, path), node)


def _parse_dotted_name(files: Files, spelling: str) -> Target | None:
    if not _DOTTED.fullmatch(spelling):
        return None
    parts = spelling.split(".")
    for length in range(len(parts), 0, -1):
        for path in ("/".join(parts[:length]) + ".py", "/".join(parts[:length])):
            if files.kind(path) in ("file", "directory"):
                return Target(_resolve_inside(files, path), "::".join(parts[length:]))
    return None


def _resolve_inside(files: Files, spelling: str) -> Path:
    try:
        path = files.readable(spelling)
    except NeedsConsent as error:
        # Consent to read is not consent to run.
        raise ToolError(error.code, error.text, "name tests inside the workspace") from error
    if not path.is_relative_to(files.root):
        raise ToolError("outside", f"{path} lies outside the workspace", "name tests inside the workspace")
    if not path.exists():
        similar = files.similar(spelling)
        near = f"; similar: {', '.join(similar)}" if similar else ""
        mend = "check the path with list_files, or give a part of the test's own name as 'name'"
        raise ToolError("missing", f"there is no {spelling!r}{near}", mend)
    return path
