"""Texts made by dice, for properties: few different lines, so that they repeat, and every way to end a line."""

import difflib
from collections.abc import Iterable

from hypothesis import strategies as st

# With what other tools take for line ends or for headers.
LINES = st.sampled_from(
    [
        "", " ", "a", "b", "\tc", "a b ", "d\f", "\u2028", "e\x85f", "g\rh", "-- x", "++ y", "@@ -1 +1 @@",
        "*** End Patch", "\ufeffi", "“j”",
    ]
)  # fmt: skip
ENDS = st.sampled_from(["\n", "\n", "\r\n", "\r\r\n"])
# A mark in front and a codec that a file may have.
CODECS = st.sampled_from(
    [("", "utf-8"), ("", "utf-8"), ("\ufeff", "utf-8"), ("\ufeff", "utf-16-le"), ("\ufeff", "utf-16-be")]
)


@st.composite
def texts(draw: st.DrawFn, newline: bool | None = None) -> str:
    lines = draw(st.lists(st.tuples(LINES, ENDS), max_size=14))
    text = "".join(line + end for line, end in lines)
    ended = draw(st.booleans()) if newline is None else newline
    return text if ended else text.removesuffix("\n")


@st.composite
def pairs(draw: st.DrawFn) -> tuple[str, str]:
    """Two texts that share much, as an edit's two sides do."""
    before = draw(texts())
    lines = before.split("\n")
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines)))
        lines[at : at + draw(st.integers(0, 2))] = draw(st.lists(LINES, max_size=2))
    return before, "\n".join(lines)


def pieces(text: str) -> list[str]:
    """Lines with their "\\n"; nothing else ends one."""
    return [piece for piece in text.replace("\n", "\n\0").split("\0") if piece]


def body(piece: str) -> str:
    return piece[:-2] if piece.endswith("\r\n") else piece.removesuffix("\n")


def marked(rows: Iterable[str]) -> str:
    return "".join(row if row.endswith("\n") else f"{row}\n\\ No newline at end of file\n" for row in rows)


def unified(before: str, after: str, context: int = 3) -> str:
    return marked(difflib.unified_diff(pieces(before), pieces(after), "a/f", "b/f", n=context))


def v4a(before: str, after: str) -> str:
    """One hunk of the whole file: V4A has no numbers, and where it is not unique it is rightly refused."""
    rows = list(difflib.ndiff(pieces(before), pieces(after), linejunk=None, charjunk=None))
    body = "".join(row[0] + row[2:].removesuffix("\n") + "\n" for row in rows if row[0] != "?")
    return f"*** Begin Patch\n*** Update File: f\n@@\n{body}*** End of File\n*** End Patch\n"


HEADERS = st.sampled_from(
    [
        "*** Begin Patch", "*** End Patch", "*** Update File: f", "*** Add File: n", "*** Delete File: f",
        "*** Move to: g", "*** End of File", "@@", "@@ a", "@@ -1,2 +1,2 @@", "@@ -9999999999 +1 @@", "--- a/f",
        "+++ b/f", "--- /dev/null", "+++ /dev/null", "diff --git a/f b/f", "diff --git", "rename from f",
        "rename to g", "rename from g", "rename to f", "*** Add File: ../n", "*** Add File: .git/x", "+++ b/f/g",
        "new file mode 100644", "deleted file mode 100644", "old mode", "new mode 100755", "index 1..2", "```", "<<EOF",
        "EOF", "\\ No newline at end of file", '--- "a/\\777\\', "+a", "-a", " a", "-b", "+b", "+", "-", " ", "",
    ]
)  # fmt: skip
NOISE = st.one_of(HEADERS, HEADERS, HEADERS, st.text(max_size=8), LINES.map(" {}".format), LINES.map("-{}".format))
