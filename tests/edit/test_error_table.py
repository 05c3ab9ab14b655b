"""Every error of the engine: its code, the words that say what is wrong, and what to do next."""

import pytest

from kimi_agent.edit import plan_patch
from kimi_agent.errors import ToolError
from tests.edit.file_trees import Tree
from tests.edit.table_rows import Row, diff, judged, renamed, update, v4a

CODE = {"a": "def one():\n    x = 1\n    return x\n\ndef two():\n    x = 1\n    return x\n"}
LONG = {"a": "".join(f"line {number}\n" for number in range(1, 41))}
MANY = {"a": "x\n" * 300}
SCALE = dict.fromkeys("abcdefghijklmnopqrstuvwxyz", "x\n")

ROWS = [
    # not_found: the nearest place, the first line that differs, what stands nowhere
    Row("not found: the first line that differs",
        LONG, update("@@", " line 7", " line 8", "-line nine", "+x"), "not_found",
        ("a hunk 1 (line 3 of the patch) does not fit", "  7\tline 7\n  8\tline 8\n> 9\tline 9\n  yours:\tline nine",
         "Nowhere in the file: `line nine`", "Next: send this hunk again with the file's lines as shown")),
    Row("not found: blanks are made visible", {"a": "k\n\tx  = 1\n"}, update("@@", " k", "-    x = 1"), "not_found",
        "> 2\t'\\tx  = 1'\n  yours:\t'    x = 1'   (only blanks differ)"),
    Row("not found: the place runs over the end", LONG, update("@@", " line 39", " line 40", "-line 41"), "not_found",
        "> 41\t(end of file)\n  yours:\tline 41"),
    Row("not found: nothing of it", LONG, update("@@", "-entirely different", "+x"), "not_found",
        ("None of its lines is in the file", "Nowhere in the file: `entirely different`")),
    Row("not found: the closest line",
        {"a": "total = compute_sum(values)\n"}, update("@@", "-total = compute_sums(value)"),
        "not_found", "The closest line is 1: `total = compute_sum(values)`"),
    Row("not found: in an empty file", {"a": ""}, update("@@", "-x", "+y"), "not_found", "The file is empty"),
    Row("not found: below its anchor", CODE, update("@@ def two():", "-def one():"), "not_found",
        ("at or below its anchor 'def two():'", "its lines stand at line 1")),
    Row("not found: what would have fitted",
        LONG, update("@@", "-line 3", "@@", "-line xx", "@@", "-line 5"), "not_found",
        ("a hunk 2 (line 5", "Would have fitted: a hunk 1, 3")),
    Row("already applied", {"a": "a\nb\nC\nd\n"}, update("@@", " b", "-c", "+C", " d"), "already_applied",
        ("its new lines stand already at lines 2-4", "Next: drop this hunk")),
    # ambiguous: all the lines, each with what it lies in
    Row("ambiguous: each place with its definition", CODE, update("@@", "-    return x", "+    return 2"), "ambiguous",
        ("fits 2 places: lines 3 (in `def one():`), 7 (in `def two():`)",
         "Next: add a context line that differs, or `@@ `")),
    Row("ambiguous: a hundred lines and a count", MANY, update("@@", "-x", "+y"), "ambiguous",
        ("fits 300 places: lines 1, 2, 3,", ", 100 and 200 more")),
    Row("ambiguous: only some hunks", {"a": "x\nk\nx\nl\n"}, update("@@", "-k", "@@", "-l", "@@", "-k"), "ambiguous"),
    Row("ambiguous: two hunks for one line", LONG, update("@@", "-line 3", "+a", "@@", "-line 3", "+b"), "ambiguous",
        ("a hunk 2 (line 6 of the patch) changes the same lines as hunk 1", "Next: join the two hunks")),
    Row("ambiguous: numbers without context", LONG, update("@@ -3,7 +3,9 @@", "+x"), "ambiguous",
        "has no context, and its line numbers do not agree with its lines"),
    Row("anchor not found: the closest", CODE, update("@@ def ones():", "-    x = 1"), "anchor_not_found",
        ("no line is or begins with its anchor 'def ones():'", "closest: `def one():` (line 1)")),
    Row("anchor not found: it stands above", {"a": "k\na\nb\n"}, update("@@", "-b", "@@ k", "-a"), "anchor_not_found",
        ("its anchor 'k' stands at line 1, above the hunk or anchor before it",
         "send the hunks in the order of the file")),
    # files
    Row("exists: an added file", {"a": ""}, v4a("*** Add File: a", "+x"), "exists",
        ("a exists already", "Next: change it with `*** Update File: a`")),
    Row("exists: the goal of a move",
        {"a": "", "b": ""}, update("*** Move to: b"), "exists", "cannot move a: b exists"),
    Row("exists: the goal of a rename", {"a": "1\n", "b": "2\n"}, renamed("a", "b"), "exists"),
    Row("exists: two for one goal", {"a": "1\n", "b": "2\n"}, renamed("a", "c") + renamed("b", "c"), "exists",
        "cannot move b: c exists already"),
    Row("missing: similar ones", {"src/abc.py": ""}, update("@@", "-x", path="abc.py"), "missing",
        ("there is no file abc.py; similar: src/abc.py",
         "Next: check the path; a new file needs `*** Add File: path`")),
    Row("missing: a delete", {}, v4a("*** Delete File: a"), "missing"),
    Row("missing: a rename", {}, renamed("a", "b"), "missing"),
    Row("missing: gone by an earlier section",
        {"a": "x\n"}, v4a("*** Delete File: a", "*** Update File: a", "@@", "-x"),
        "missing"),
    # text
    Row("encoding: beyond ASCII in unknown bytes", {"a": b"\xe4\nb\n"}, update("@@", "-b", "+\u00e4"), "encoding",
        ("a is not UTF-8, so 'ä' of your text", "iconv -f ENCODING -t UTF-8")),
    Row("encoding: half a character", {"a": "b\n"}, update("@@", "-b", "+\ud83d"), "encoding", "'\\ud83d'"),
    Row("binary: a NUL", {"a": b"a\0b\n"}, update("@@", "-b", "+c"), "binary", "a is not text (NUL at character 1)"),
    Row("binary: broken UTF-16", {"a": b"\xff\xfea\0\0\xd8"}, update("@@", "-b"), "binary", "UTF-16-LE that breaks"),
    Row("binary: in the diff", {"a": "x"}, "diff --git a/a b/a\nGIT binary patch\nliteral 0\n", "binary", "line 2"),
    Row("not regular: a symbolic link", {}, "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n"
        "@@ -0,0 +1 @@\n+/etc\n", "not_regular", ("'new file mode 120000'", "a symbolic link is not patched")),
    Row("not regular: a submodule", {}, "diff --git a/l b/l\nnew file mode 160000\n", "not_regular", "a submodule"),
    Row("not regular: setuid", {"a": "x\n"}, "diff --git a/a b/a\nold mode 100755\nnew mode 104755\n", "not_regular",
        "mode 104755 is not patched"),
    Row("not regular: a file becomes a link", {"a": "x\n"}, "diff --git a/a b/a\nold mode 100644\nnew mode 120000\n",
        "not_regular"),
    # the patch itself
    Row("parse: the line and what may stand there", {"a": "x\n"}, update("@@", "-x", "y"), "parse",
        ("line 5 of the patch: 'y'; a line of a hunk starts with ` ` (context), `-` or `+`",
         "Next: the smallest valid form:\n*** Begin Patch")),
    Row("parse: an unknown section", {"a": "x\n"}, v4a("*** Copy File: a"), "parse", "expected `*** Add File: path`"),
    Row("parse: a diff without numbers or lines",
        {"a": "x\n"}, "--- a/a\n+++ b/a\n", "parse", "no hunk follows this header"),
    Row("parse: a hunk that changes nothing", {"a": "x\n"}, diff("@@ -1 +1 @@", " x"), "parse", "would change nothing"),
    Row("parse: a new file with old lines",
        {}, "--- /dev/null\n+++ b/n\n@@ -1 +1 @@\n-x\n+y\n", "parse", "one hunk, of `+`"),
    Row("parse: a deleted file with new lines", {"a": "x\n"}, "--- a/a\n+++ /dev/null\n@@ -1 +1 @@\n-x\n+y\n", "parse",
        "only `-` lines"),
    Row("parse: a copy",
        {"a": "x\n"}, "diff --git a/a b/b\ncopy from a\ncopy to b\n", "parse", "copies are not supported"),
    Row("no patch: neither dialect", {"a": "x\n"}, "please change x to y", "no_patch",
        ("neither a V4A patch nor a unified diff", "*** Begin Patch", "--- a/path")),
    Row("no patch: an envelope without sections", {}, v4a("nothing"), "no_patch", "holds no file section"),
    Row("truncated: without its end", {"a": "x\n"}, "*** Begin Patch\n*** Update File: a\n@@\n-x\n+new t", "truncated",
        ("breaks off after line 5 without `*** End Patch`", "Next: send the whole patch again")),
    Row("truncated: a diff in its last hunk",
        {"a": "a\nb\nc\n"}, "--- a/a\n+++ b/a\n@@ -1,3 +1,3 @@\n a\n-b\n+b", "truncated",
        "its last hunk (line 3 of the patch) has fewer lines than its header counts"),
    Row("not truncated: wrong counts, but a newline",
        {"a": "a\nb\nc\n"}, "--- a/a\n+++ b/a\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n",
        {"a": "a\nB\nc\n"}),
    Row("not truncated: only the newline lacks", {"a": "a\nb\n"}, "--- a/a\n+++ b/a\n@@ -1,2 +1,2 @@\n a\n-b\n+B",
        {"a": "a\nB\n"}),
    Row("noop",
        {"a": "x\n"}, update("@@", "-x", "+x"), "noop", ("already are as this patch would make them", "Next: go on")),
    # all of them at once
    Row("every reason is told", {"a": "x\nx\n", "b": "1\n"},
        v4a("*** Update File: a", "@@", "-x", "*** Update File: b", "@@", "-2", "*** Add File: b", "+x",
             "*** Add File: n"),
        "ambiguous", ("nothing was changed, for 2 reasons", "[ambiguous] a hunk 1", "[not_found] b hunk 1",
                      "Would have fitted: n")),
    Row("of very many reasons the first are told", SCALE,
        v4a(*(line for name in SCALE for line in (f"*** Update File: {name}", "@@", "-nope", "+y"))), "not_found",
        ("for 26 reasons", "[not_found] l hunk 1", "... and 14 more")),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[row.says for row in ROWS])
def test_what_an_error_says(row: Row) -> None:
    judged(row, Tree(row.before))


def test_every_error_begins_with_its_code_and_names_a_next_step() -> None:
    for row in ROWS:
        if isinstance(row.after, str):
            with pytest.raises(ToolError) as caught:
                Tree(row.before).patched(row.patch)
            assert str(caught.value).startswith(f"Error [{row.after}]: ")
            assert "\nNext: " in str(caught.value)


CHAINS = [
    Row("two files change places",
        {"a": "1\n", "b": "2\n"}, renamed("a", "b") + renamed("b", "a"), {"a": "2\n", "b": "1\n"},
        ("R b → a +0 -0", "R a → b +0 -0")),
    Row("and change on the way", {"a": "1\n", "b": "2\n"},
        renamed("a", "b", "@@ -1 +1 @@", "-1", "+one") + renamed("b", "a", "@@ -1 +1 @@", "-2", "+two"),
        {"a": "two\n", "b": "one\n"}),
    Row("a chain, the first one first", {"a": "1\n", "b": "2\n"}, renamed("a", "b") + renamed("b", "c"),
        {"b": "1\n", "c": "2\n"}),
    Row("a chain, the last one first", {"a": "1\n", "b": "2\n"}, renamed("b", "c") + renamed("a", "b"),
        {"b": "1\n", "c": "2\n"}),
    Row("three in a ring",
        {"a": "1\n", "b": "2\n", "c": "3\n"}, renamed("a", "b") + renamed("b", "c") + renamed("c", "a"),
        {"a": "3\n", "b": "1\n", "c": "2\n"}),
    Row("into the place of a deleted file", {"a": "1\n", "b": "2\n"},
        renamed("a", "b") + "diff --git a/b b/b\ndeleted file mode 100644\n--- a/b\n+++ /dev/null\n@@ -1 +0,0 @@\n-2\n",
        {"b": "1\n"}, "takes the place of the one that is deleted"),
    Row("a new file in the place of a moved one", {"b": "2\n"},
        "diff --git a/b b/b\nnew file mode 100644\n--- /dev/null\n+++ b/b\n@@ -0,0 +1 @@\n+new\n" + renamed("b", "c"),
        {"b": "new\n", "c": "2\n"}),
    Row("one file that moves twice", {"a": "1\n"}, renamed("a", "b") + renamed("b", "c"), {"c": "1\n"}, "R a → c"),
    Row("not two into one place", {"a": "1\n", "b": "2\n", "c": "3\n"},
        renamed("a", "c") + renamed("b", "c") + renamed("c", "d"), "exists", "cannot move b: c exists already"),
    Row("not onto what is only changed", {"a": "1\n", "b": "2\n"},
        renamed("a", "b") + "diff --git a/b b/b\n" + diff("@@ -1 +1 @@", "-2", "+3", path="b"), "exists"),
    Row("if one does not fit, none moves", {"a": "1\n", "b": "2\n"},
        renamed("a", "b", "@@ -1 +1 @@", "-9", "+one") + renamed("b", "a"), "not_found"),
    Row("V4A moves one after the other", {"a": "1\n", "b": "2\n"},
        v4a("*** Update File: a", "*** Move to: b", "*** Update File: b", "*** Move to: a"), "exists"),
]  # fmt: skip


@pytest.mark.parametrize("row", CHAINS, ids=[row.says for row in CHAINS])
def test_the_renames_of_git_speak_of_the_tree_before_the_patch(row: Row) -> None:
    judged(row, Tree(row.before))


def test_modes_go_with_the_files_that_change_places() -> None:
    tree = Tree({"a": "1\n", "b": "2\n"}, modes={"a": 0o755, "b": 0o640})
    after = tree.after(plan_patch(renamed("a", "b") + renamed("b", "a"), tree))
    assert (after.files, after.modes) == ({"a": b"2\n", "b": b"1\n"}, {"a": 0o640, "b": 0o755})
