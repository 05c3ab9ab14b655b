"""Formatting of listed paths and sizes in tool results."""

from kimi_agent.tool import escape_name


def format_size(count: float) -> str:
    """A number of bytes, short."""
    if count < 1000:
        return f"{count:.0f} bytes"
    for unit in ("KB", "MB"):
        count /= 1000
        if count < 1000:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} GB"


def format_entry(path: str, kind: str, bytes_: int) -> str:
    """A path in a listing: folders end with "/", links with "@", big files have their size."""
    mark = {"directory": "/", "link": "@"}.get(kind, "")
    return f"{escape_name(path)}{mark}" + (f" ({format_size(bytes_)})" if kind == "file" and bytes_ > 100_000 else "")
