"""Formatting of paths, sizes and counts in tool results."""


def printable_path(path: str) -> str:
    """`path` on one line: control characters and bytes that are no text become escapes."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def format_size(count: float) -> str:
    """A number of bytes, short."""
    if count < 1000:
        return f"{count:.0f} bytes"
    for unit in ("KB", "MB"):
        count /= 1000
        if count < 1000:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} GB"


def format_line_count(count: int) -> str:
    """ "1 line", "2 lines"."""
    return f"{count:,} line{'' if count == 1 else 's'}"


def format_entry(path: str, kind: str, bytes_: int) -> str:
    """A path in a listing: folders end with "/", links with "@", big files have their size."""
    mark = {"directory": "/", "link": "@"}.get(kind, "")
    return f"{printable_path(path)}{mark}" + (
        f" ({format_size(bytes_)})" if kind == "file" and bytes_ > 100_000 else ""
    )
