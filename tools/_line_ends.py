"""Line end for a new file, as .gitattributes or .editorconfig of the folders above it set it."""

import fnmatch
import re
from collections.abc import Callable

BRACE_GROUP = re.compile(r"\{([^{}]*)\}")


def choose_line_end(path: str, read: Callable[[str], str]) -> str:
    """The line end for the new file `path` (workspace-relative); `read(path)` gives a file's text or ""."""
    folder = path
    while folder:
        folder = folder.rpartition("/")[0]
        below = path[len(folder) :].lstrip("/")
        above = f"{folder}/" if folder else ""
        found = line_end_by_gitattributes(read(f"{above}.gitattributes"), below)
        found = found or line_end_by_editorconfig(read(f"{above}.editorconfig"), below)
        if found:
            return "\r\n" if found == "crlf" else "\n"
    return "\n"


def line_end_by_gitattributes(text: str, path: str) -> str:
    """The last `eol=` whose pattern fits."""
    found = ""
    for line in text.splitlines():
        pattern, *attributes = line.split() or ["#"]
        if not pattern.startswith("#") and matches_pattern(path, pattern):
            found = next((word[4:] for word in attributes if word in ("eol=crlf", "eol=lf")), found)
    return found


def line_end_by_editorconfig(text: str, path: str) -> str:
    """The last `end_of_line` whose section fits."""
    found, applies = "", False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            applies = any(matches_pattern(path, pattern) for pattern in expand_braces(line[1:-1]))
        key, _, value = (part.strip().lower() for part in line.partition("="))
        if applies and key == "end_of_line" and value in ("lf", "crlf"):
            found = value
    return found


def expand_braces(pattern: str) -> list[str]:
    """`*.{a,b}` as `*.a` and `*.b`."""
    braces = BRACE_GROUP.search(pattern)
    if braces is None:
        return [pattern]
    before, after = pattern[: braces.start()], pattern[braces.end() :]
    choices = [before + choice.strip() + after for choice in braces[1].split(",")[:50]]
    return [each for choice in choices for each in expand_braces(choice)][:200]


def matches_pattern(path: str, pattern: str) -> bool:
    """Whether a pattern without "/" fits the name, or one with it the path."""
    if "/" not in pattern.strip("/"):
        path = path.rpartition("/")[2]
    return fnmatch.fnmatchcase(path, pattern.strip("/").replace("**/", "*"))
