"""Patch in, tree before, tree after (or the error's code): the rules of both dialects, one row each."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest

from kimi_agent.errors import ToolError

Files = Mapping[str, str | bytes]


class Row(NamedTuple):
    says: str
    before: Files
    patch: str
    after: Files | str


def v4a(*lines: str) -> str:
    return "\n".join(["*** Begin Patch", *lines, "*** End Patch"]) + "\n"


def update(*lines: str, path: str = "a") -> str:
    return v4a(f"*** Update File: {path}", *lines)


def diff(*lines: str, path: str = "a") -> str:
    return "\n".join([f"--- a/{path}", f"+++ b/{path}", *lines]) + "\n"


ABC = {"a": "a\nb\nc\n"}
TWICE = {"a": "def f():\n    x = 1\n    return x\n\ndef g():\n    x = 1\n    return x\n"}
SECOND = {"a": "def f():\n    x = 1\n    return x\n\ndef g():\n    x = 2\n    return x\n"}
CLASSES = {"a": "class A:\n    def f(self):\n        pass\n\nclass B:\n    def f(self):\n        pass\n"}
CRLF = {"a": "a\r\nb\r\nc\r\n"}
SCALE = "".join(f"{n}\n" for n in range(1, 101))

V4A = [
    Row("a line is replaced", ABC, update("@@", " a", "-b", "+B", " c"), {"a": "a\nB\nc\n"}),
    Row("the first hunk needs no @@", ABC, update(" a", "-b", "+B"), {"a": "a\nB\nc\n"}),
    Row("a line is removed", ABC, update("@@", "-b"), {"a": "a\nc\n"}),
    Row("lines are inserted", ABC, update("@@", " a", "+1", "+2", " b"), {"a": "a\n1\n2\nb\nc\n"}),
    Row("an empty line is blank context", {"a": "a\n\nb\n"}, update("@@", " a", "", "-b", "+B"), {"a": "a\n\nB\n"}),
    Row("two hunks", ABC, update("@@", "-a", "+A", "@@", "-c", "+C"), {"a": "A\nb\nC\n"}),
    Row("hunks may share context", ABC, update("@@", "-a", "+A", " b", "@@", " b", "-c", "+C"), {"a": "A\nb\nC\n"}),
    Row("hunks out of order", ABC, update("@@", "-c", "+C", "@@", "-a", "+A"), {"a": "A\nb\nC\n"}),
    Row("hunks match the old text", ABC, update("@@", "-a", "+b", "@@", "-b", "+x"), {"a": "b\nx\nc\n"}),
    Row("two hunks on one line collide", ABC, update("@@", "-b", "+x", "@@", "-b", "+y"), "ambiguous"),
    Row("a blank before the next header", ABC, update("@@", "-c", "+C", ""), {"a": "a\nb\nC\n"}),
    Row("blanks before @@", ABC, update("", "", "@@", "-c", "+C"), {"a": "a\nb\nC\n"}),
    Row("an anchor decides", TWICE, update("@@ def g():", "-    x = 1", "+    x = 2"),
        SECOND),
    Row("an anchor may be trimmed", TWICE, update("@@   def g():  ", "-    x = 1", "+    x = 2"),
        SECOND),
    Row("an anchor may be a beginning", TWICE, update("@@ def g", "-    x = 1", "+    x = 2"),
        SECOND),
    Row("without anchor it is refused", TWICE, update("@@", "-    x = 1", "+    x = 2"), "ambiguous"),
    Row("a path of anchors", CLASSES, update("@@ class B:", "@@     def f(self):", "-        pass", "+        ..."),
        {"a": "class A:\n    def f(self):\n        pass\n\nclass B:\n    def f(self):\n        ...\n"}),
    Row("a path stays in its block", CLASSES, update("@@ class A:", "@@ def f", "-        pass", "+        ..."),
        {"a": "class A:\n    def f(self):\n        ...\n\nclass B:\n    def f(self):\n        pass\n"}),
    Row("an anchor that stands twice decides nothing", CLASSES, update("@@ def f", "-        pass", "+        1"),
        "ambiguous"),
    Row("an unknown anchor", ABC, update("@@ def nope", "-b"), "anchor_not_found"),
    Row("an anchor above the hunk before", {"a": "k\na\nb\n"}, update("@@", "-b", "+B", "@@ k", "-a"),
        "anchor_not_found"),
    Row("one anchor for two hunks", {"a": "f\n a\n b\n c\n"}, update("@@ f", "- a", "+ A", "@@ f", "- c", "+ C"),
        {"a": "f\n A\n b\n C\n"}),
    Row("nothing below the anchor", ABC, update("@@ b", "-a"), "not_found"),
    Row("an insertion below its anchor", ABC, update("@@ a", "+x"), {"a": "a\nx\nb\nc\n"}),
    Row("an insertion at the end", ABC, update("@@", "+x"), {"a": "a\nb\nc\nx\n"}),
    Row("an insertion into an empty file", {"a": ""}, update("@@", "+x"), {"a": "x\n"}),
    Row("an insertion at its number", ABC, update("@@ -1,0 +2,1 @@", "+x"), {"a": "a\nx\nb\nc\n"}),
    Row("an insertion with a wrong count", ABC, update("@@ -1,0 +2,3 @@", "+x"), "ambiguous"),
    Row("numbers decide", TWICE, update("@@ -6,1 +6,1 @@", "-    x = 1", "+    x = 2"),
        SECOND),
    Row("End of File pins", {"a": "x\ny\nx\n"}, update("@@", "-x", "+z", "*** End of File"), {"a": "x\ny\nz\n"}),
    Row("End of File that is not", ABC, update("@@", "-a", "*** End of File"), "not_found"),
    Row("a hunk after End of File", {"a": "x\ny\nx\n"},
        update("@@", "-y", "+Y", "@@", " x", "+z", "*** End of File", ""), {"a": "x\nY\nx\nz\n"}),
    Row("lines that look like headers are lines", {"a": " *** End Patch\nb\n"},
        update("@@", "  *** End Patch", "-b", "+*** End Patch"), {"a": " *** End Patch\n*** End Patch\n"}),
    Row("context is never a header", {"a": "*** End Patch\nb\n"}, update("@@", " *** End Patch", "-b", "+B"),
        {"a": "*** End Patch\nB\n"}),
    Row("a file is added", {}, v4a("*** Add File: d/n", "+x", "+", "+y"), {"d/n": "x\n\ny\n"}),
    Row("an empty file is added", {}, v4a("*** Add File: n"), {"n": ""}),
    Row("an added file without last newline", {}, v4a("*** Add File: n", "+x", "\\ No newline at end of file"),
        {"n": "x"}),
    Row("an added file exists", ABC, v4a("*** Add File: a", "+x"), "exists"),
    Row("an added file with a stray line", {}, v4a("*** Add File: n", "+x", "y"), "parse"),
    Row("an added file with a bare blank inside", {}, v4a("*** Add File: n", "+x", "", "+y"), "parse"),
    Row("blanks between sections", {"a": "x\n"}, v4a("*** Add File: n", "+x", "", "*** Delete File: a", ""),
        {"n": "x\n"}),
    Row("a file is deleted", ABC, v4a("*** Delete File: a"), {}),
    Row("a deleted file is missing", {}, v4a("*** Delete File: a"), "missing"),
    Row("a file is moved", ABC, update("*** Move to: d/b"), {"d/b": "a\nb\nc\n"}),
    Row("moved and changed", ABC, update("*** Move to: b", "@@", "-b", "+B"), {"b": "a\nB\nc\n"}),
    Row("moved onto itself is an update", ABC, update("*** Move to: a", "@@", "-b", "+B"), {"a": "a\nB\nc\n"}),
    Row("a move's goal exists", {**ABC, "b": ""}, update("*** Move to: b"), "exists"),
    Row("moved away, made anew", ABC, v4a("*** Update File: a", "*** Move to: b", "*** Add File: a", "+x"),
        {"a": "x\n", "b": "a\nb\nc\n"}),
    Row("sections add up", ABC, v4a("*** Update File: a", "@@", "-a", "+1", "*** Update File: a", "@@", "-1", "+2"),
        {"a": "2\nb\nc\n"}),
    Row("spellings of one file", ABC, v4a("*** Update File: ./a", "@@", "-a", "*** Update File: a", "@@", "-b"),
        {"a": "c\n"}),
    Row("added, then changed", {}, v4a("*** Add File: n", "+x", "*** Update File: n", "@@", "-x", "+y"), {"n": "y\n"}),
    Row("added, then deleted, is nothing", {}, v4a("*** Add File: n", "+x", "*** Delete File: n"), "noop"),
    Row("one bad file keeps all", {**ABC, "b": "b\n"},
        v4a("*** Update File: b", "@@", "-b", "+B", "*** Update File: a", "@@", "-z"), "not_found"),
    Row("an update without hunks", ABC, update(), "parse"),
    Row("a hunk without changes", ABC, update("@@", " a", " b"), "parse"),
    Row("a hunk without lines", ABC, update("@@"), "parse"),
    Row("a hunk that changes nothing", ABC, update("@@", "-a", "+a"), "noop"),
    Row("an unknown section", ABC, v4a("*** Frobnicate File: a"), "parse"),
    Row("a section without a path", ABC, v4a("*** Update File:"), "parse"),
    Row("a stray line in a hunk", ABC, update("@@", "-a", "b"), "parse"),
    Row("an empty envelope", ABC, v4a(), "no_patch"),
    Row("no envelope", ABC, "-a\n+b\n", "no_patch"),
    Row("nothing", ABC, "", "no_patch"),
    Row("without its end", ABC, "*** Begin Patch\n*** Update File: a\n@@\n-a\n", {"a": "b\nc\n"}),
    Row("cut off in a line", ABC, "*** Begin Patch\n*** Update File: a\n@@\n-a\n+new t", "truncated"),
    Row("the lines stand already", {"a": "a\nB\nc\n"}, update("@@", " a", "-b", "+B", " c"), "already_applied"),
    Row("a missing file", {"d/a": ""}, update("@@", "-a"), "missing"),
    Row("padded headers", ABC, " *** Begin Patch \n  *** Update File: a  \n@@\n-b\n*** End Patch  ", {"a": "a\nc\n"}),
    Row("a padded envelope", ABC, "  *** Begin Patch\n  *** Update File: a\n  @@\n   a\n  -b\n  *** End Patch\n",
        {"a": "a\nc\n"}),
    Row("a fence", ABC, "Here:\n```patch\n" + update("@@", "-b") + "```\n", {"a": "a\nc\n"}),
    Row("a heredoc", ABC, "apply_patch <<'EOF'\n" + update("@@", "-b") + "EOF\n", {"a": "a\nc\n"}),
    Row("prose around", ABC, "I will:\n\n" + update("@@", "-b") + "Done.\n", {"a": "a\nc\n"}),
    Row("two envelopes", {**ABC, "b": "x\n"}, update("@@", "-b") + update("@@", "-x", "+y", path="b"),
        {"a": "a\nc\n", "b": "y\n"}),
    Row("sent with CRLF", ABC, update("@@", " a", "-b", "+B").replace("\n", "\r\n"), {"a": "a\nB\nc\n"}),
    Row("sent with a BOM", ABC, "\ufeff" + update("@@", "-b"), {"a": "a\nc\n"}),
    Row("a unified diff in the envelope", ABC, v4a("--- a/a", "+++ b/a", "@@ -1,3 +1,3 @@", " a", "-b", "+B", " c"),
        {"a": "a\nB\nc\n"}),
]  # fmt: skip

UNIFIED = [
    Row("a line is replaced", ABC, diff("@@ -1,3 +1,3 @@", " a", "-b", "+B", " c"), {"a": "a\nB\nc\n"}),
    Row("numbers decide", {"a": "x\ny\nx\ny\n"}, diff("@@ -3 +3 @@", "-x", "+z"), {"a": "x\ny\nz\ny\n"}),
    Row("one common shift", {"a": "0\n" + SCALE}, diff("@@ -3 +3 @@", "-3", "+x", "@@ -50 +50 @@", "-50", "+y"),
        {"a": "0\n" + SCALE.replace("\n3\n", "\nx\n").replace("\n50\n", "\ny\n")}),
    Row("wrong counts, one place", ABC, diff("@@ -9,9 +9,9 @@", " a", "-b", "+B"), {"a": "a\nB\nc\n"}),
    Row("wrong counts, two places", {"a": "x\ny\nx\n"}, diff("@@ -3,7 +3,7 @@", "-x", "+z"), "ambiguous"),
    Row("shifts that differ still need one way", {"a": "x\nx\ny\n"}, diff("@@ -9 +9 @@", "-x", "@@ -20 +20 @@", "-y"),
        "ambiguous"),
    Row("several shifts fit", {"a": "x\ny\nx\n"}, diff("@@ -9 +9 @@", "-x", "+z"), "ambiguous"),
    Row("no numbers", ABC, diff("@@ ... @@", "-b", "+B"), {"a": "a\nB\nc\n"}),
    Row("an anchor for numbers", TWICE, diff("@@ def g(): @@", "-    x = 1", "+    x = 2"),
        SECOND),
    Row("a heading is no anchor", ABC, diff("@@ -2 +2 @@ def nope():", "-b", "+B"), {"a": "a\nB\nc\n"}),
    Row("a header without its last @@", {"a": "x\ny\nx\n"}, diff("@@ -3 +3", "-x", "+z"), {"a": "x\ny\nz\n"}),
    Row("an insertion by number", ABC, diff("@@ -2,0 +3 @@", "+x"), {"a": "a\nb\nx\nc\n"}),
    Row("an insertion at the top", ABC, diff("@@ -0,0 +1 @@", "+x"), {"a": "x\na\nb\nc\n"}),
    Row("a removed line that looks like a header", {"a": "-- x\nb\n"}, diff("@@ -1,2 +1 @@", "--- x", " b"),
        {"a": "b\n"}),
    Row("a removed and an added one", {"a": "-- x\nb\n"}, diff("@@ -1,2 +1,2 @@", "--- x", "+++ y", " b"),
        {"a": "++ y\nb\n"}),
    Row("a count that swallows a header", {**ABC, "b": "x\n"},
        diff("@@ -1,4 +1,4 @@", "-a", "+A", " b", " c") + diff("@@ -1 +1 @@", "-x", "+y", path="b"),
        {"a": "A\nb\nc\n", "b": "y\n"}),
    Row("two files", {**ABC, "b": "x\n"}, diff("@@ -1 +1 @@", "-a", "+A") + diff("@@ -1 +1 @@", "-x", "+y", path="b"),
        {"a": "A\nb\nc\n", "b": "y\n"}),
    Row("blank context without its space", {"a": "a\n\nb\n"}, diff("@@ -1,3 +1,3 @@", " a", "", "-b", "+B"),
        {"a": "a\n\nB\n"}),
    Row("prose around", ABC, "This mends it:\n\n" + diff("@@ -2 +2 @@", "-b", "+B") + "\nThat is all.\n",
        {"a": "a\nB\nc\n"}),
    Row("a mailed patch", ABC, "From 1234567 Mon\nSubject: x\n---\n a | 2 +-\n\ndiff --git a/a b/a\nindex 1..2 100644\n"
        + diff("@@ -2 +2 @@", "-b", "+B") + "-- \n2.39.5\n\n", {"a": "a\nB\nc\n"}),
    Row("timestamps", ABC, "--- a\t2024-01-01\n+++ a\t2024-01-02\n@@ -2 +2 @@\n-b\n+B\n", {"a": "a\nB\nc\n"}),
    Row("no prefixes", {"d/a": "x\n"}, "--- d/a\n+++ d/a\n@@ -1 +1 @@\n-x\n+y\n", {"d/a": "y\n"}),
    Row("prefixes of other tools", ABC, "--- old/a\n+++ new/a\n@@ -2 +2 @@\n-b\n+B\n", {"a": "a\nB\nc\n"}),
    Row("a file's copy as old side", ABC, "--- a.orig\n+++ a\n@@ -2 +2 @@\n-b\n+B\n", {"a": "a\nB\nc\n"}),
    Row("two files that exist", {**ABC, "b": "b\n"}, "--- a\n+++ b\n@@ -1 +1 @@\n-b\n+B\n", "parse"),
    Row("quoted names", {"ä b": "x\n"}, '--- "a/\\303\\244 b"\n+++ "b/\\303\\244 b"\n@@ -1 +1 @@\n-x\n+y\n',
        {"ä b": "y\n"}),
    Row("a new file", {}, "--- /dev/null\n+++ b/n\n@@ -0,0 +1,2 @@\n+x\n+y\n", {"n": "x\ny\n"}),
    Row("a new empty file", {}, "diff --git a/n b/n\nnew file mode 100644\nindex 0000000..e69de29\n", {"n": ""}),
    Row("a new file exists", {"n": ""}, "--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n", "exists"),
    Row("a deleted file", ABC, "--- a/a\n+++ /dev/null\n@@ -1,3 +0,0 @@\n-a\n-b\n-c\n", {}),
    Row("a deleted file that holds more", ABC, "--- a/a\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-b\n", "not_found"),
    Row("a renamed file", ABC, "diff --git a/a b/b\nsimilarity index 100%\nrename from a\nrename to b\n",
        {"b": "a\nb\nc\n"}),
    Row("renamed and changed", ABC, "diff --git a/a b/b\nsimilarity index 60%\nrename from a\nrename to b\n"
        "--- a/a\n+++ b/b\n@@ -2 +2 @@\n-b\n+B\n", {"b": "a\nB\nc\n"}),
    Row("a copy", ABC, "diff --git a/a b/b\ncopy from a\ncopy to b\n", "parse"),
    Row("a symlink", {}, "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc\n",
        "not_regular"),
    Row("a symlink by its index", ABC, "diff --git a/a b/a\nindex 1..2 120000\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-a\n+b\n",
        "not_regular"),
    Row("a submodule", {}, "diff --git a/m b/m\nnew file mode 160000\n", "not_regular"),
    Row("setuid", ABC, "diff --git a/a b/a\nold mode 100755\nnew mode 104755\n", "not_regular"),
    Row("binary", ABC, "diff --git a/a b/a\nindex 1..2\nBinary files a/a and b/a differ\n", "binary"),
    Row("binary without git", ABC, "Binary files a/a and b/a differ\n" + diff("@@ -1 +1 @@", "-a", "+b"), "binary"),
    Row("a git binary patch", ABC, "diff --git a/a b/a\nGIT binary patch\nliteral 0\n", "binary"),
    Row("the newline goes", {"a": "a\nb\n"}, diff("@@ -2 +2 @@", "-b", "+b", "\\ No newline at end of file"),
        {"a": "a\nb"}),
    Row("the newline comes", {"a": "a\nb"}, diff("@@ -2 +2 @@", "-b", "\\ No newline at end of file", "+b"),
        {"a": "a\nb\n"}),
    Row("no newline before and after", {"a": "a\nb"}, diff("@@ -1,2 +1,3 @@", "+x", " a", " b", "\\ No newline"),
        {"a": "x\na\nb"}),
    Row("a mark pins to the end", {"a": "b\nb"}, diff("@@ -9 +9 @@", "-b", "\\ No newline", "+c", "\\ No newline"),
        {"a": "b\nc"}),
    Row("without marks it stays as it was", {"a": "a\nb"}, diff("@@ -2 +2 @@", "-b", "+B"), {"a": "a\nB"}),
    Row("no hunk after the header", ABC, "--- a/a\n+++ b/a\n", "parse"),
    Row("a hunk before any header", ABC, "@@ -1 +1 @@\n-a\n+b\n" + diff("@@ -1 +1 @@", "-a", "+b"), "parse"),
    Row("a stray line in a hunk", ABC, diff("@@ -1,3 +1,3 @@", " a", "b"), "parse"),
    Row("changes only context", ABC, diff("@@ -1,2 +1,2 @@", " a", " b"), "parse"),
    Row("V4A words in context", {"a": "*** Begin Patch\nb\n"},
        diff("@@ -1,2 +1,2 @@", " *** Begin Patch", "-b", "+B"), {"a": "*** Begin Patch\nB\n"}),
]  # fmt: skip

BYTES = [
    Row("new lines take CRLF", CRLF, update("@@", " a", "-b", "+B", "+C"), {"a": "a\r\nB\r\nC\r\nc\r\n"}),
    Row("an unchanged LF stays among CRLF", {"a": "a\r\nb\nc\r\n"}, update("@@", "-a", "+A", " b"),
        {"a": "A\r\nb\nc\r\n"}),
    Row("the k-th takes the k-th", {"a": "a\nb\r\nc\n"}, update("@@", "-a", "-b", "+A", "+B", "+C"),
        {"a": "A\nB\r\nC\r\nc\n"}),
    Row("CRs that are shown are meant", CRLF, update("@@", " a\r", "-b\r", "+B\r", "+C"), {"a": "a\r\nB\r\nC\nc\r\n"}),
    Row("CRs that are not there do not fit", ABC, update("@@", " a\r", "-b\r", "+B\r"), "not_found"),
    Row("a lone CR is a character", {"a": "a\rb\nc\n"}, update("@@", "-a\rb", "+x", " c"), {"a": "x\nc\n"}),
    Row("a form feed and U+2028 end no line", {"a": "a\fb\u2028c\nd\n"}, update("@@", " a\fb\u2028c", "-d", "+D"),
        {"a": "a\fb\u2028c\nD\n"}),
    Row("a UTF-8 BOM stays", {"a": b"\xef\xbb\xbfa\nb\n"}, update("@@", "-a", "+A"), {"a": b"\xef\xbb\xbfA\nb\n"}),
    Row("UTF-16 LE", {"a": "\ufeffä\nb\n".encode("utf-16-le")}, update("@@", " ä", "-b", "+ö"),
        {"a": "\ufeffä\nö\n".encode("utf-16-le")}),
    Row("UTF-16 BE with CRLF", {"a": "\ufeffa\r\nb\r\n".encode("utf-16-be")}, update("@@", "-b", "+x"),
        {"a": "\ufeffa\r\nx\r\n".encode("utf-16-be")}),
    Row("Latin-1 bytes pass", {"a": b"\xe4\nb\n\xff\xfe"}, update("@@", "-b", "+B"), {"a": b"\xe4\nB\n\xff\xfe"}),
    Row("but not beyond ASCII", {"a": b"\xe4\nb\n"}, update("@@", "-b", "+ä"), "encoding"),
    Row("nor as context", {"a": b"\xe4\nb\n"}, update("@@", " ä", "-b"), "encoding"),
    Row("half a character", ABC, update("@@", "-b", "+\ud800"), "encoding"),
    Row("half a character in a new file", {}, v4a("*** Add File: n", "+\udfff"), "encoding"),
    Row("NULs are binary", {"a": b"a\0\nb\n"}, update("@@", "-b", "+B"), "binary"),
    Row("UTF-16 without BOM is binary", {"a": "a\nb\n".encode("utf-16-le")}, update("@@", "-b", "+B"), "binary"),
    Row("broken UTF-16 is binary", {"a": b"\xff\xfea\0\0\xd8"}, update("@@", "-b", "+B"), "binary"),
    Row("a binary file can be moved", {"a": b"\0\xff"}, update("*** Move to: b"), {"b": b"\0\xff"}),
    Row("trailing blank lines stay", {"a": "a\n\n\n"}, update("@@", "-a", "+b"), {"a": "b\n\n\n"}),
    Row("no last newline stays none", {"a": "a\nb"}, update("@@", "-a", "+A"), {"a": "A\nb"}),
    Row("nor after an append", {"a": "a\nb"}, update("@@", " b", "+c"), {"a": "a\nb\nc"}),
    Row("nor when the last line goes", {"a": "a\nb"}, update("@@", "-b"), {"a": "a"}),
    Row("everything goes", {"a": "a\n"}, update("@@", "-a"), {"a": ""}),
    Row("tabs are not spaces", {"a": "\tx\n"}, update("@@", "-    x", "+y"), "not_found"),
]  # fmt: skip


KINDS = {"v4a": V4A, "unified": UNIFIED, "bytes": BYTES}
ROWS = {f"{kind}: {row.says}": row for kind, rows in KINDS.items() for row in rows}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_a_patch_makes_exactly_this_tree_or_this_error(row: Row, tree: Callable[..., Any]) -> None:
    before = tree(row.before)
    if isinstance(row.after, str):
        with pytest.raises(ToolError) as caught:
            before.patched(row.patch)
        assert caught.value.code == row.after
    else:
        wanted = {name: text.encode() if isinstance(text, str) else text for name, text in row.after.items()}
        assert before.patched(row.patch) == wanted
