"""Binary file types: recognised by their first bytes, with a hint how else to look; notebooks become text."""

import json
from collections.abc import Iterator
from typing import Any

FILE_SIGNATURES = (
    (b"%PDF-", "a PDF", "use shell: pdftotext {path} - | head -100"),
    (b"\x89PNG\r\n", "a PNG image", ""),
    (b"\xff\xd8\xff", "a JPEG image", ""),
    (b"GIF8", "a GIF image", ""),
    (b"BM", "a BMP image", ""),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video", ""),
    (b"\x7fELF", "an ELF program", "use shell: file {path}"),
    (b"PK\x03\x04", "a zip archive", "use shell: unzip -l {path}"),
    (b"\x1f\x8b", "gzip data", "use shell: zcat {path} | head"),
    (b"SQLite format 3", "an SQLite database", "use shell: sqlite3 {path} .schema"),
)
NO_MEDIA_HINT = (
    "this version of kimi-agent can't show you images or videos; ask the user what it shows, or use the shell"
)


def describe_binary(head: bytes) -> tuple[str, str]:
    """What it is, and what to do next (with `{path}` in it)."""
    if head[:4] == b"RIFF" and head[8:12] in (b"WEBP", b"AVI "):
        return ("a WebP image" if head[8:12] == b"WEBP" else "an AVI video"), NO_MEDIA_HINT
    if head[4:8] == b"ftyp":
        image = head[8:12] in (b"heic", b"heix", b"avif", b"mif1")
        return ("a HEIF or AVIF image" if image else "an MP4 video"), NO_MEDIA_HINT
    for magic, what, next_step in FILE_SIGNATURES:
        if head.startswith(magic):
            return what, next_step or NO_MEDIA_HINT
    return "binary", "use shell: xxd {path} | head"


def render_notebook(raw: bytes, max_output: int = 500) -> Iterator[str]:
    """The cells of a Jupyter notebook as lines of text. Raises ValueError for what is none."""
    notebook = json.loads(raw)
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list):
        raise ValueError("no cells")
    for number, cell in enumerate(cells, 1):
        if not isinstance(cell, dict):
            raise ValueError("a cell is no object")
        yield f"--- cell {number} ({cell.get('cell_type', '?')})\n"
        yield join_text(cell.get("source")).rstrip("\n") + "\n"
        outputs = cell.get("outputs")
        for output in outputs if isinstance(outputs, list) else []:
            shown = output_text(output).rstrip("\n")
            if shown:
                rest = f"… {len(shown) - max_output} more characters" if len(shown) > max_output else ""
                yield f"--- output\n{shown[:max_output]}{rest}\n"


def output_text(output: Any) -> str:
    """One output of a cell as text; pictures are named."""
    if not isinstance(output, dict):
        return ""
    if output.get("output_type") == "error":
        return f"{output.get('ename')}: {output.get('evalue')}"
    data = output.get("data")
    if isinstance(data, dict):
        return join_text(data["text/plain"]) if "text/plain" in data else f"({', '.join(map(str, data))})"
    return join_text(output.get("text"))


def join_text(text: Any) -> str:
    """Notebooks keep text as a string or as a list of lines."""
    return "".join(map(str, text)) if isinstance(text, list) else str(text or "")
