"""Replacement in, file before, file after (or the error's code)."""

from typing import NamedTuple

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kimi_agent.errors import ToolError
from tests.edit.example_counts import effort, examples
from tests.edit.file_trees import Tree, raw


class Row(NamedTuple):
    says: str
    before: str | bytes
    old: str
    new: str
    after: str | bytes
    error: str = ""
    everywhere: bool = False
    word: str = ""


ROWS = [
    Row("a fragment within a line", "x = 1\n", "1", "2", "x = 2\n"),
    Row("a whole line", "a\nb\nc\n", "b\n", "B\n", "a\nB\nc\n"),
    Row("a line goes", "a\nb\nc\n", "b\n", "", "a\nc\n"),
    Row("a line comes", "a\nb\n", "a\n", "a\nx\n", "a\nx\nb\n"),
    Row("lines are joined", "a\nb\nc\n", "a\n", "a", "ab\nc\n"),
    Row("a line is split", "abc\n", "b", "\n", "a\nc\n"),
    Row("over line ends", "foo(\n  a,\n)\n", "(\n  a,\n)", "(a)", "foo(a)\n"),
    Row("CRLF is no obstacle", "a\r\nb\r\nc\r\n", "a\nb", "A\nB\nB", "A\r\nB\r\nB\r\nc\r\n"),
    Row("a new CRLF text in an LF file", "a\nb\n", "a", "x\r\ny", "x\ny\nb\n"),
    Row("an old CRLF text in an LF file", "a\nb\n", "a\r\nb\r\n", "x\r\ny\r\n", "x\ny\n"),
    Row("CRs that are shown and there", "a\r\nb\nc\r\n", "a\r\nb\n", "a\nB\r\n", "a\nB\r\nc\r\n"),
    Row("mixed ends of lines that stay", "a\nb\r\nc\n", "a\nb\nc", "new\na\nb\nc", "new\na\nb\r\nc\n"),
    Row("a lone CR next to a CRLF", "a\r\r\nb\n", "a", "x", "x\r\r\nb\n"),
    Row("a lone CR at the end", "b\na\r", "a", "x", "b\nx\r"),
    Row("no last newline stays none", "a\nb", "b", "c", "a\nc"),
    Row("also if the text has one", "a\nb", "b\n", "c\n", "a\nc"),
    Row("the last newline can be taken away", "a\nb\n", "b\n", "b", "a\nb"),
    Row("the last newline can be given", "a\nb", "b", "b\n", "a\nb\n"),
    Row("the last line goes", "a\nb\n", "\nb", "", "a\n"),
    Row("everything goes", "a\n", "a\n", "", ""),
    Row("everywhere", "x y\nz\nx\n", "x", "Q", "Q y\nz\nQ\n", everywhere=True),
    Row("everywhere, also in one line", "xxa\n", "x", "xx", "xxxxa\n", everywhere=True),
    Row("everywhere, over line ends", "a\nb\na\nb\n", "a\nb\n", "c", "cc", everywhere=True),
    Row("everywhere, with its line ends", "x\r\ny\nx\n", "x\n", "z\n", "z\r\ny\nz\n", everywhere=True),
    Row("pasted line numbers", "def f():\n    return 1\n", " 1\tdef f():\n 2\t    return 1", "def g():\n    return 2",
        "def g():\n    return 2\n"),
    Row("pasted line numbers on both sides", "a\nb\n", "1\ta\n2\tb\n", "1\tA\n2\tb\n", "A\nb\n"),
    Row("a UTF-8 BOM stays", b"\xef\xbb\xbfa\n", "a", "b", b"\xef\xbb\xbfb\n"),
    Row("UTF-16", "\ufeffäb\r\n".encode("utf-16-le"), "b", "ö\nü", "\ufeffäö\r\nü\r\n".encode("utf-16-le")),
    Row("Latin-1 passes", b"\xe4 = 1\n", " = 1", " = 2", b"\xe4 = 2\n"),
    Row("a form feed ends no line", "a\fb\nc\n", "b", "x", "a\fx\nc\n"),
    Row("an ellipsis that was there", "# ... rest of it\na\n", "# ... rest of it\na", "# ... rest of it\nb",
        "# ... rest of it\nb\n"),
    Row("code that talks of the rest", "a\n", "a", "print('the rest of the code')", "print('the rest of the code')\n"),
    Row("twice", "x = 1\ny = 1\n", " = 1", " = 2", "", "ambiguous"),
    Row("twice, overlapping", "aaa\n", "aa", "b", "", "ambiguous"),
    Row("twice, once at the end without newline", "x\ny\nx", "x\n", "z\n", "", "ambiguous"),
    Row("a line that has trailing blanks", "a  \nb\nc\n", "a\nb", "a\nB", "a  \nB\nc\n",
        word="as its notes say.\nNote: f trailing blanks ignored on 1 line (kept the file's)"),
    Row("whole lines, with the last newline", "a  \nb \nc\n", "a\nb\n", "B\n", "B\nc\n", word="on 2 lines"),
    Row("a line with its newline", "a  \nb\n", "a\n", "A\n", "A\nb\n", word="trailing blanks"),
    Row("lines go, trailing blanks or not", "a \nb \nc\n", "a\nb\n", "", "c\n"),
    Row("no fragment but for blanks", "x = a \nb\n", "a\nb", "c", "", "not_found"),
    Row("lines are not joined but for blanks", "a \nb\n", "a\n", "c", "", "not_found"),
    Row("an exact text does not win over one with blanks", "a\nb\nk\na \nb\n", "a\nb", "c", "", "ambiguous",
        word="2 times (1 of them but for blanks, quotes or dashes) in f: lines 1, 4"),
    Row("a blank line before it is the same place", "x\n  \nfoo\n", "\nfoo\n", "\nbar\n", "x\n  \nbar\n"),
    Row("lines at the margin", "    a = 1\n    b = 2\nc\n", "a = 1\nb = 2\n", "a = 1\nif a:\n    b = 3\n",
        "    a = 1\n    if a:\n        b = 3\nc\n", word="re-indented by 4 spaces"),
    Row("lines too deep", "a\nb\n", "    a\n    b\n", "    a\n    c\n", "a\nc\n", word="re-indented by 4 spaces less"),
    Row("spaces for tabs", "if x:\n\ty\n", "if x:\n    y\n", "if x:\n    z\n", "if x:\n\tz\n", word="a tab for each 4"),
    Row("two places at other depths", "  a\n  b\n    a\n    b\n", "a\nb\n", "c\n", "", "ambiguous", word="lines 1, 3"),
    Row("replace_all at other depths", "  a\n  b\n", "a\nb\n", "c\n", "", "not_found", everywhere=True),
    Row("what was indented by it is not indented again", "if c:\n    a()\n    b()\n", "a()\nb()\n",
        "if c:\n    a()\n    b()\n", "", "already_applied"),
    Row("a fragment with straight quotes", "x = “a” + b\n", '"a"', '"c"', 'x = "c" + b\n',
        word="other kinds of quotes, dashes or spaces in it"),
    Row("a fragment with curly quotes", 'x = "a" + b\n', "“a”", "c", "x = c + b\n"),
    Row("a fragment with an ellipsis", "wait… now\n", "wait... n", "N", "Now\n"),
    Row("a part of an ellipsis is nothing", "wait…\n", "t..", "x", "", "not_found"),
    Row("an exact fragment does not win over a typographic one", "“a” \"a\"\n", '"a"', "b", "", "ambiguous",
        word="(1 of them but for"),
    Row("replace_all keeps to what is exact", "‘a’ 'a' 'a'\n", "'a'", "b", "‘a’ b b\n", everywhere=True),
    Row("replace_all without anything exact", "‘a’\n‘a’ x\n", "'a'", "b", "b\nb x\n", everywhere=True),
    Row("no typography in unknown bytes", b"\xa0x = 1\n", " x", "y", "", "not_found"),
    Row("not there", "a\n", "b", "c", "", "not_found"),
    Row("other blanks", "\ta\n", "    a", "b", "", "not_found"),
    Row("over-escaped", "a\nb\n", "a\\nb", "c", "", "not_found"),
    Row("done already", "x\nthe new text\n", "the old text", "the new text", "", "already_applied"),
    Row("an empty file", "", "a", "b", "", "not_found"),
    Row("an empty text", "a\n", "", "b", "", "bad_arguments"),
    Row("the same text", "a\n", "a", "a", "", "noop"),
    Row("the same but for CRs", "a\nb\n", "a\nb", "a\r\nb", "", "noop"),
    Row("left out code", "a\nb\n", "a\nb", "a\n# ... rest of the code", "", "refused"),
    Row("left out code, otherwise", "a\nb\n", "b", "    // ... existing code ...", "", "refused"),
    Row("left out code, in words", "a\nb\n", "b", "# unchanged", "", "refused"),
    Row("beyond ASCII in unknown bytes", b"\xe4\n", "ä", "ö", "", "encoding"),
    Row("half a character", "a\n", "a", "\ud83d", "", "encoding"),
    Row("binary", b"\0a\n", "a", "b", "", "binary"),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[row.says for row in ROWS])
def test_a_replacement_makes_exactly_this_text_or_this_error(row: Row) -> None:
    before = Tree({"f": row.before})
    if row.error:
        with pytest.raises(ToolError) as caught:
            before.edited(row.old, row.new, everywhere=row.everywhere)
        assert caught.value.code == row.error
        text = str(caught.value)
    else:
        data, text = before.edit(row.old, row.new, everywhere=row.everywhere)
        assert data == raw(row.after)
    assert row.word in text


@pytest.mark.parametrize(
    ("before", "old", "everywhere", "code"),
    [
        ("x = 1\n", "1", False, ""),
        ("a  \nb\n", "a\nb", False, ""),
        ("x = “1”\n", '"1"', False, "stale"),
        ("    a\n    b\n", "a\nb\n", False, "stale"),
        ("x = 1\n", "1", True, "stale"),
    ],
    ids=["exact", "trailing blanks", "punctuation", "indentation", "replace_all"],
)
def test_what_holds_in_a_file_that_somebody_else_wrote(before: str, old: str, everywhere: bool, code: str) -> None:
    new = "c\n" if old.endswith("\n") else "c"
    Tree({"f": before}).edited(old, new, everywhere=everywhere)
    changed = Tree({"f": before}, seen={"f": "another hash"})
    if code:
        with pytest.raises(ToolError) as caught:
            changed.edited(old, new, everywhere=everywhere)
        assert caught.value.code == code
    else:
        assert "changed on disk since you last saw it; old_string still fitted" in changed.edit(old, new)[1]


def strays(lines: list[str], old: list[str]) -> bool:
    """Whether the lines `old` stand somewhere but for trailing blanks: then they count as standing there, too."""
    parts = [lines[at : at + len(old)] for at in range(len(lines) - len(old) + 1)]
    return any(part != old and [line.rstrip() for line in part] == [line.rstrip() for line in old] for part in parts)


TEXT = st.text(st.sampled_from("ab\n \t\f"), max_size=24)


@examples(35, 2_000)
def test_it_is_what_python_replace_makes_of_a_text_that_stands_once(count: int) -> None:
    @effort(count)
    @given(text=TEXT, new=TEXT, everywhere=st.booleans(), crlf=st.booleans(), data=st.data())
    def holds(text: str, new: str, everywhere: bool, crlf: bool, data: st.DataObject) -> None:
        assume(text)
        first = data.draw(st.integers(0, len(text) - 1))
        old = text[first : first + data.draw(st.integers(1, 6))]
        wanted = text.replace(old, new)
        assume(wanted != text)
        # Searched as if the last line had a newline: an old text with one fits there too, and keeps none.
        shown = text if text.endswith("\n") else text + "\n"
        overlapping = sum(shown.startswith(old, at) for at in range(len(shown)))
        assume(overlapping == text.count(old) and (everywhere or overlapping == 1))
        assume(everywhere or not strays(shown.split("\n"), old.removesuffix("\n").split("\n")))
        ends = (lambda each: each.replace("\n", "\r\n")) if crlf and "\n" in text else str
        assert Tree({"f": ends(text)}).edited(old, new, everywhere=everywhere).decode() == ends(wanted)

    holds()
