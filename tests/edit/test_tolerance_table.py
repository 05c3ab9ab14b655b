"""What a hunk may differ in and still fit, what is told of it, and what is refused all the same."""

import pytest

from kimi_agent.edit import FileState, plan_patch
from kimi_agent.errors import ToolError
from tests.edit.file_trees import Tree
from tests.edit.table_rows import Row, diff, ids, judged, update, v4a

DEEP = {"a": "class A:\n    def f(self):\n        return 1\n\n\nx = 1\n"}
TABS = {"a": "def f():\n\tif x:\n\t\treturn 1\n"}

BLANKS = [
    Row("a context line keeps its trailing blanks", {"a": "a  \nb\n"}, update("@@", " a", "-b", "+B"),
        {"a": "a  \nB\n"}, "Note: a hunk 1: trailing blanks ignored on 1 line (kept the file's)"),
    Row("a context line keeps that it has none", {"a": "a\nb\n"}, update("@@", " a \t", "-b", "+B"),
        {"a": "a\nB\n"}, "trailing blanks ignored on 1 line (kept the file's)"),
    Row("a removed line may have trailing blanks", {"a": "a \nb\t\n"}, update("@@", "-a", "-b", "+B"),
        {"a": "B\n"}, "hunk 1: trailing blanks ignored on 2 lines\n"),
    Row("an added line is written as it was sent", {"a": "a \n"}, update("@@", "-a", "+b  "), {"a": "b  \n"}),
    Row("a blank line of blanks is a blank line", {"a": "a\n  \t\nb\n"}, update("@@", " a", "", "-b", "+B"),
        {"a": "a\n  \t\nB\n"}, "trailing blanks ignored on 1 line"),
    Row("an exact twin does not win", {"a": "x \nx\n"}, update("@@", "-x", "+y"), "ambiguous",
        ("lines 1, 2", "1 but for blanks or the kind of quotes and dashes")),
    Row("nor does the first of the loose ones", {"a": "x \nx  \n"}, update("@@", "-x", "+y"), "ambiguous"),
    Row("numbers decide between them", {"a": "x \nx\n"}, diff("@@ -1 +1 @@", "-x", "+y"), {"a": "y\nx\n"}),
    Row("order decides between them", {"a": "x \nk\nx\n"}, update("@@", "-k", "@@", "-x", "+y"), {"a": "x \ny\n"}),
    Row("CRLF and trailing blanks", {"a": "a  \r\nb\r\n"}, update("@@", " a", "-b", "+B"), {"a": "a  \r\nB\r\n"},
        ("trailing blanks", "CRLF kept")),
    Row("CRs that are shown, and trailing blanks", {"a": "a  \r\nb\r\n"}, update("@@", " a\r", "-b\r", "+B\r"),
        {"a": "a  \r\nB\r\n"}, "trailing blanks"),
    Row("a CR that is shown counts", {"a": "a \nb\n"}, update("@@", " a\r", "-b", "+B"), "not_found"),
    Row("blanks within a line count", {"a": "a  b\n"}, update("@@", "-a b", "+c"), "not_found", "only blanks differ"),
    Row("a form feed is no blank", {"a": "a\f\nb\n"}, update("@@", "-a", "+c"), "not_found"),
    Row("a blank context line that the file lacks", {"a": "a\nb\nc\n"}, update("@@", " a", "-b", "+B", ""),
        {"a": "a\nB\nc\n"}, "hunk 1: blank context at its end ignored"),
    Row("also with trailing blanks elsewhere", {"a": "a \nb\nc\n"}, update("@@", " a", "-b", "+B", " "),
        {"a": "a \nB\nc\n"}, ("blank context at its end ignored", "trailing blanks ignored")),
    Row("a deleted file's content must be exact", {"a": "a \nb\n"}, "--- a/a\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-b\n",
        "not_found"),
]  # fmt: skip

PUNCTUATION = [
    Row("curly quotes", {"a": "x = “a” + ‘b’\ny\n"}, update("@@", " x = \"a\" + 'b'", "-y", "+z"),
        {"a": "x = “a” + ‘b’\nz\n"}, "other kinds of quotes, dashes or spaces ignored on 1 line (kept the file's)"),
    Row("straight ones in the file", {"a": "x = \"a\"\n"}, update("@@", "-x = “a”", "+x = “b”"), {"a": "x = “b”\n"},
        "hunk 1: other kinds of quotes, dashes or spaces ignored on 1 line\n"),
    Row("low and high quotes", {"a": "„a‟ ‚b‛\nx\n"}, update("@@", " \"a\" 'b'", "-x"), {"a": "„a‟ ‚b‛\n"}),
    Row("every dash", {"a": "‐‑‒–—―−\nx\n"}, update("@@", " -------", "-x"), {"a": "‐‑‒–—―−\n"}),
    Row("every space", {"a": "a\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000b\nx\n"},
        update("@@", " a" + " " * 13 + "b", "-x"),
        {"a": "a\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000b\n"}),
    Row("an ellipsis", {"a": "wait…\nx\n"}, update("@@", " wait...", "-x"), {"a": "wait…\n"}),
    Row("three dots in the file", {"a": "wait...\nx\n"}, update("@@", " wait…", "-x"), {"a": "wait...\n"}),
    Row("added lines keep what was sent", {"a": "“a”\n"}, update("@@", '-"a"', '+"b" – “c”'), {"a": '"b" – “c”\n'}),
    Row("a space that is a trailing blank, too", {"a": "a\u00a0\nx\n"}, update("@@", " a", "-x"), {"a": "a\u00a0\n"}),
    Row("a typographic twin counts", {"a": "“a”\n\"a\"\n"}, update("@@", '-"a"', "+b"), "ambiguous", "lines 1, 2"),
    Row("other letters are others", {"a": "naïve\n"}, update("@@", "-naive", "+x"), "not_found"),
    Row("bytes of an unknown encoding are not guessed", {"a": b"a\xa0b\nx\n"}, update("@@", " a b", "-x"), "not_found"),
    Row("a change of punctuation alone", {"a": "“a”\n"}, update("@@", "-“a”", '+"a"'), {"a": '"a"\n'}),
    Row("in CRLF and UTF-16", {"a": "\ufeff“ä”\r\nx\r\n".encode("utf-16-le")}, update("@@", ' "ä"', "-x", "+y"),
        {"a": "\ufeff“ä”\r\ny\r\n".encode("utf-16-le")}),
]  # fmt: skip

INDENTED = [
    Row("a hunk at the margin", DEEP,
        update("@@", " def f(self):", "-    return 1", "+    if self:", "+        return 2"),
        {"a": "class A:\n    def f(self):\n        if self:\n            return 2\n\n\nx = 1\n"},
        "Note: a hunk 1: re-indented by 4 spaces\n"),
    Row("a hunk too deep", DEEP, update("@@", "-    x = 1", "+    x = 2", "+", "+    y = 3"),
        {"a": "class A:\n    def f(self):\n        return 1\n\n\nx = 2\n\ny = 3\n"}, "re-indented by 4 spaces less"),
    Row("spaces for tabs", TABS, update("@@", "     if x:", "-        return 1", "+        return (", "+          2)"),
        {"a": "def f():\n\tif x:\n\t\treturn (\n\t\t  2)\n"}, "re-indented: a tab for each 4 spaces"),
    Row("two spaces for tabs", TABS, update("@@", " def f():", "   if x:", "-    return 1", "+    return 2"),
        {"a": "def f():\n\tif x:\n\t\treturn 2\n"}, "a tab for each 2 spaces"),
    Row("tabs for spaces", {"a": "if x:\n   if y:\n      z\n"},
        update("@@", " if x:", " \tif y:", "-\t\tz", "+\t\t\tw"),
        {"a": "if x:\n   if y:\n         w\n"}, "re-indented: no tabs but 3 spaces"),
    Row("tabs for eight spaces", {"a": "        x\n"}, update("@@", "-\tx", "+\ty"), {"a": "        y\n"},
        "no tabs but 8 spaces"),
    Row("a tab more", {"a": "\tx\n\ty\n"}, update("@@", " x", "-y", "+z"), {"a": "\tx\n\tz\n"}, "re-indented by 1 tab"),
    Row("blank lines need no indentation", {"a": "    a\n\n    b\n"}, update("@@", " a", "", "-b", "+", "+c"),
        {"a": "    a\n\n\n    c\n"}, "re-indented by 4 spaces"),
    Row("context keeps its own", {"a": "    a  \n    b\n"}, update("@@", " a", "-b", "+c"), {"a": "    a  \n    c\n"},
        ("re-indented by 4 spaces", "trailing blanks ignored on 1 line (kept the file's)")),
    Row("punctuation beside it", {"a": "    a(“b”)\n    c\n"}, update("@@", ' a("b")', "-c", "+d"),
        {"a": "    a(“b”)\n    d\n"}, ("re-indented by 4 spaces", "other kinds of quotes")),
    Row("CRLF beside it", {"a": "    a\r\n    b\r\n"}, update("@@", " a", "-b", "+c"), {"a": "    a\r\n    c\r\n"}),
    Row("CRs that are shown beside it", {"a": "    a\r\n    b\r\n"}, update("@@", " a\r", "-b\r", "+c\r", "+\r"),
        {"a": "    a\r\n    c\r\n\r\n"}),
    Row("not where lines move by other amounts", {"a": "    a\n  b\n"}, update("@@", " a", "-b", "+c"), "not_found"),
    Row("not where an added line has less to take away", {"a": "x\n"}, update("@@", "-    x", "+  y"), "not_found"),
    Row("not if a place fits as it is", {"a": "x\n    x\n"}, update("@@", "-x", "+y"), {"a": "y\n    x\n"}),
    Row("not if a place fits but for blanks", {"a": "x  \n    x\n"}, update("@@", "-x", "+y"), {"a": "y\n    x\n"}),
    Row("not where two places fit", {"a": "  x\n    x\n"}, update("@@", "-x", "+y"), "ambiguous", "lines 1, 2"),
    Row("an anchor decides between two", {"a": "def f():\n    x\ndef g():\n    x\n"}, update("@@ def g():", "-x", "+y"),
        {"a": "def f():\n    x\ndef g():\n    y\n"}),
    Row("numbers decide between two", {"a": "  x\n  x\n"}, diff("@@ -2 +2 @@", "-x", "+y"), {"a": "  x\n  y\n"}),
    Row("what was indented by it is not indented again", {"a": "if c:\n    a\n    b\n"},
        update("@@", "-a", "-b", "+if c:", "+    a", "+    b"), "already_applied", "lines 1-3"),
    Row("nor what it made less deep", {"a": "a\nb\n"}, update("@@", "-    a", "-    b", "+a", "+b"), "already_applied"),
    Row("blank lines alone have no indentation", {"a": "a\n"}, update("@@", " ", "+x"), "not_found"),
]  # fmt: skip

ANCHORS = [
    Row("two places in what the anchor opens are two", {"a": "def f():\n    a = 1\n    x()\n    b = 2\n    x()\n"},
        update("@@ def f():", "-    x()", "+    y()"), "ambiguous", ("lines 3 (", "5 (", "'def f():' does not decide")),
    Row("the one in what it opens wins over those below", {"a": "def f():\n    x()\n\ndef g():\n    x()\n"},
        update("@@ def f():", "-    x()", "+    y()"), {"a": "def f():\n    y()\n\ndef g():\n    x()\n"}),
    Row("a class goes on below the hunk before",
        {"a": "class C:\n    def f(self):\n        return 1\n\n    def g(self):\n        return 2\n\nclass D:\n"
              "    def g(self):\n        return 2\n"},
        update("@@", "-        return 1", "+        return 10",
               "@@ class C:", "-        return 2", "+        return 20"),
        {"a": "class C:\n    def f(self):\n        return 10\n\n    def g(self):\n        return 20\n\nclass D:\n"
              "    def g(self):\n        return 2\n"}),
    Row("an anchor with a twin but for a blank decides nothing",
        {"a": "class A: \n\n    a = 1\n\nclass A:\n\n    a = 1\n"},
        update("@@ class A:", "     a = 1", "+    b = 2"), "ambiguous"),
    Row("an anchor is found but for its quotes", {"a": "def f(a=“x”):\n    y\n    z\n"},
        update('@@ def f(a="x"):', "-    y"), {"a": "def f(a=“x”):\n    z\n"}),
    Row("an anchor's indentation counts if it has some",
        {"a": "def f():\n    x\n\nclass A:\n    def f():\n        x\n"}, update("@@     def f():", " x", "+y"),
        {"a": "def f():\n    x\n\nclass A:\n    def f():\n        x\n        y\n"}),
    Row("a beginning only where nothing is equal", {"a": "def f\n a\ndef fg\n a\n"}, update("@@ def f", "- a"),
        {"a": "def f\ndef fg\n a\n"}),
    Row("an anchor inside its own hunk", {"a": "def f():\n    x\n\ndef g():\n    x\n"},
        update("@@ def g():", " def g():", "-    x", "+    y"), {"a": "def f():\n    x\n\ndef g():\n    y\n"}),
    Row("a heading of Markdown", {"a": "# A\n\ntext\n\n## B\n\ntext\n\n# C\n\ntext\n"},
        update("@@ # C", "-text", "+new"),
        {"a": "# A\n\ntext\n\n## B\n\ntext\n\n# C\n\nnew\n"}),
    Row("a chapter with two such lines", {"a": "# A\n\ntext\n\n## B\n\ntext\n\n# C\n"}, update("@@ # A", "-text"),
        "ambiguous", "lines 3, 7"),
    Row("a table of TOML", {"a": '[a]\nx = 1\n[b]\nx = 1\n[c]\nx = 1\n'}, update("@@ [b]", "-x = 1", "+x = 2"),
        {"a": "[a]\nx = 1\n[b]\nx = 2\n[c]\nx = 1\n"}),
    Row("a key of YAML", {"a": "jobs:\n  a:\n    x: 1\n  b:\n    x: 1\n  c:\n    x: 1\n"},
        update("@@   b:", "-    x: 1", "+    x: 2"), {"a": "jobs:\n  a:\n    x: 1\n  b:\n    x: 2\n  c:\n    x: 1\n"}),
    Row("a function in braces", {"a": "int f(void)\n{\n    x();\nout:\n    y();\n}\n\nint g(void)\n{\n    y();\n}\n"},
        update("@@ int f(void)", "-    y();", "+    z();"),
        {"a": "int f(void)\n{\n    x();\nout:\n    z();\n}\n\nint g(void)\n{\n    y();\n}\n"}),
    Row("a label ends nothing", {"a": "int f(void) {\n    y();\nout:\n    y();\n}\n"}, update("@@ int f", "-    y();"),
        "ambiguous", "lines 2, 4"),
    Row("a string at the margin ends nothing",
        {"a": 'def f():\n    x()\n    a = """\nb\n"""\n    x()\n\ndef g():\n    x()\n'},
        update("@@ def f", "-    x()"), "ambiguous", "lines 2"),
    Row("an unknown anchor names the closest", {"a": "def compute_total():\n    x\n"},
        update("@@ def compute_totals():", "-    x"), "anchor_not_found", "closest: `def compute_total():` (line 1)"),
    Row("an unknown anchor of a path", {"a": "class A:\n    def f():\n        x\n"},
        update("@@ class A:", "@@ def nope", "-        x"), "anchor_not_found", "'def nope'"),
    Row("a path is sought below, if not within", {"a": "k\nx\nl\nx\n"}, update("@@ k", "@@ l", "-x", "+y"),
        {"a": "k\nx\nl\ny\n"}),
]  # fmt: skip

KINDS = {"blanks": BLANKS, "punctuation": PUNCTUATION, "indentation": INDENTED, "anchors": ANCHORS}
ROWS = {f"{kind}: {row.says}": row for kind, rows in KINDS.items() for row in rows}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_what_a_hunk_may_differ_in(row: Row) -> None:
    judged(row, Tree(row.before))


CHANGED = Tree({"a": "a \nb\nc\nd\n"}, seen={"a": "another hash"})
STALE = [
    Row("an exact hunk is taken and noted", {}, update("@@", "-b", "+B"), {"a": "a \nB\nc\nd\n"},
        "Note: a changed on disk since you last saw it; every hunk still fitted"),
    Row("trailing blanks, too", {}, update("@@", "-a", "+A"), {"a": "A\nb\nc\nd\n"}, "trailing blanks"),
    Row("punctuation is not", {}, update("@@", "-b…", "+x"), "not_found"),
    Row("an insertion is not", {}, update("@@", "+x"), "stale", "changed on disk since you last saw it"),
    Row("nor one below its anchor", {}, update("@@ b", "+x"), "stale"),
    Row("hunks that still fit are named", {}, update("@@", "-c", "+C", "@@", "+x"), "stale",
        ("hunk 2 is not placed", "placed by their own lines: hunk 1", "read_file(path='a'")),
    Row("a delete is not", {}, v4a("*** Delete File: a"), "stale", "cannot be deleted"),
    Row("a move is not", {}, update("*** Move to: b"), "stale"),
    Row("a diff that holds all of it is", {}, "--- a/a\n+++ /dev/null\n@@ -1,4 +0,0 @@\n-a \n-b\n-c\n-d\n", {}),
]  # fmt: skip


@pytest.mark.parametrize("row", STALE, ids=ids(STALE))
def test_what_holds_in_a_file_that_somebody_else_wrote(row: Row) -> None:
    judged(row, CHANGED)


@pytest.mark.parametrize(
    ("text", "patch"),
    [
        ("“b”\nx\n", update("@@", '-"b"', "+c")),
        ("    b\nx\n", update("@@", "-b", "+c")),
        ("b\nx\nb\n", diff("@@ -3 +3 @@", "-b", "+c")),
    ],
    ids=["punctuation", "indentation", "number alone"],
)
def test_a_loose_fit_is_no_proof_in_a_file_that_somebody_else_wrote(text: str, patch: str) -> None:
    Tree({"a": text}).patched(patch)
    with pytest.raises(ToolError) as caught:
        Tree({"a": text}, seen={"a": "another hash"}).patched(patch)
    assert caught.value.code == "stale"


UNREAD = Tree({"a": "a\n", "empty": "", "c": "c\n"}, seen={"a": None, "empty": None, "c": None}, in_git=["c"])
UNKNOWN = [
    Row("an update needs no reading", {}, update("@@", "-a", "+A"), {"a": "A\n", "empty": "", "c": "c\n"}),
    Row("a delete needs it", {}, v4a("*** Delete File: a"), "unread", ("was not read whole", "read_file(path='a')")),
    Row("a move needs it", {}, update("*** Move to: b"), "unread"),
    Row("a diff that shows all of it is a reading", {}, "--- a/a\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n",
        {"empty": "", "c": "c\n"}),
    Row("an empty file holds nothing to read", {}, v4a("*** Delete File: empty"), {"a": "a\n", "c": "c\n"}),
    Row("what git holds can be deleted", {}, v4a("*** Delete File: c"), {"a": "a\n", "empty": ""},
        "Note: c was not read whole; git holds it as it was"),
    Row("what git holds can be moved", {}, update("*** Move to: d", path="c"), {"a": "a\n", "empty": "", "d": "c\n"},
        "git holds it as it was"),
]  # fmt: skip


@pytest.mark.parametrize("row", UNKNOWN, ids=ids(UNKNOWN))
def test_what_must_have_been_read(row: Row) -> None:
    judged(row, UNREAD)


def test_git_is_only_asked_where_the_answer_matters() -> None:
    asked: list[str] = []

    def ask(name: str) -> bool:
        asked.append(name)
        return False

    class Watched(Tree):
        def file(self, name: str, /) -> FileState | None:
            found = super().file(name)
            return found and FileState(
                name,
                found.data,
                found.sha256,
                seen=found.seen,
                whole=found.whole,
                in_git=lambda: ask(name),
            )

    tree = Watched({"a": "a\n", "b": "b\n"}, seen={"a": None})
    plan_patch(v4a("*** Update File: a", "@@", "-a", "+A", "*** Delete File: b"), tree)
    assert asked == []
    with pytest.raises(ToolError, match="unread"):
        plan_patch(v4a("*** Delete File: a"), tree)
    assert asked == ["a"]
