"""Replacement in, file before, file after (or the error's code)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kimi_agent.errors import ToolError


class Row(NamedTuple):
    says: str
    before: str | bytes
    old: str
    new: str
    after: str | bytes
    error: str = ""
    everywhere: bool = False


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
def test_a_replacement_makes_exactly_this_text_or_this_error(row: Row, tree: Callable[..., Any]) -> None:
    before = tree({"f": row.before})
    if row.error:
        with pytest.raises(ToolError) as caught:
            before.edited(row.old, row.new, everywhere=row.everywhere)
        assert caught.value.code == row.error
    else:
        wanted = row.after.encode() if isinstance(row.after, str) else row.after
        assert before.edited(row.old, row.new, everywhere=row.everywhere) == wanted


TEXT = st.text(st.sampled_from("ab\n \t\f"), max_size=24)


@settings(deadline=None, max_examples=400)
@given(text=TEXT, new=TEXT, everywhere=st.booleans(), crlf=st.booleans(), data=st.data())
def test_it_is_what_python_replace_makes_of_a_text_that_stands_once(
    text: str, new: str, everywhere: bool, crlf: bool, data: st.DataObject, tree: Callable[..., Any]
) -> None:
    assume(text)
    first = data.draw(st.integers(0, len(text) - 1))
    old = text[first : first + data.draw(st.integers(1, 6))]
    wanted = text.replace(old, new)
    assume(wanted != text)
    # Searched as if the last line had a newline: an old text with one fits there too, and keeps none.
    shown = text if text.endswith("\n") else text + "\n"
    overlapping = sum(shown.startswith(old, at) for at in range(len(shown)))
    assume(overlapping == text.count(old) and (everywhere or overlapping == 1))
    ends = (lambda each: each.replace("\n", "\r\n")) if crlf and "\n" in text else str
    assert tree({"f": ends(text)}).edited(old, new, everywhere=everywhere).decode() == ends(wanted)
