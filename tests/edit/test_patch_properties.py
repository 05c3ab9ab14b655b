"""What holds for every text and every patch, by hypothesis (edit-tools.md §3.4)."""

import difflib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from kimi_agent.edit import applied, diff_view, plan_patch
from kimi_agent.edit.text import decode, encode
from kimi_agent.errors import ToolError

Made = TypeVar("Made")

RELAXED = settings(
    deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)

# Few different lines, so that they repeat; with what other tools take for line ends or for headers.
LINES = st.sampled_from(
    [
        "",
        " ",
        "a",
        "b",
        "\tc",
        "a b ",
        "d\f",
        "\u2028",
        "e\x85f",
        "g\rh",
        "-- x",
        "++ y",
        "@@ -1 +1 @@",
        "*** End Patch",
    ]
)
ENDS = st.sampled_from(["\n", "\n", "\r\n", "\r\r\n"])


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


def marked(rows: Iterator[str]) -> str:
    return "".join(row if row.endswith("\n") else f"{row}\n\\ No newline at end of file\n" for row in rows)


def unified(before: str, after: str, context: int = 3) -> str:
    rows = difflib.unified_diff(pieces(before), pieces(after), "a/f", "b/f", n=context)
    return marked(rows)


def v4a(before: str, after: str) -> str:
    """One hunk of the whole file: V4A has no numbers, and where it is not unique it is rightly refused."""
    rows = list(difflib.ndiff(pieces(before), pieces(after), linejunk=None, charjunk=None))
    body = "".join(row[0] + row[2:].removesuffix("\n") + "\n" for row in rows if row[0] != "?")
    return f"*** Begin Patch\n*** Update File: f\n@@\n{body}*** End of File\n*** End Patch\n"


def tried(call: Callable[[], Made]) -> tuple[Made | None, ToolError | None]:
    try:
        return call(), None
    except ToolError as error:
        return None, error


@RELAXED
@given(both=pairs(), context=st.integers(0, 3))
@example(both=("a\r", "b\r"), context=3)
@example(both=("x\r\na\r\n", "x\r\na\r"), context=3)
@example(both=("a\n", ""), context=3)
def test_a_unified_diff_of_two_texts_turns_the_one_into_the_other(
    both: tuple[str, str], context: int, tree: Callable[..., Any]
) -> None:
    before, after = both
    assume(before != after)
    # Without context an insertion shows no neighbour, so nothing tells which line end it is to get.
    assume(context or "\r" not in before + after)
    assert tree({"f": before}).patched(unified(before, after, context)) == {"f": after.encode()}


@RELAXED
@given(both=pairs())
def test_a_v4a_diff_of_two_texts_turns_the_one_into_the_other(both: tuple[str, str], tree: Callable[..., Any]) -> None:
    before, after = both
    assume(before != after and before and after)
    assume(before.endswith("\n") == after.endswith("\n"))  # V4A cannot say it otherwise
    assert tree({"f": before}).patched(v4a(before, after)) == {"f": after.encode()}


@RELAXED
@given(text=texts(), data=st.data())
def test_untouched_lines_keep_every_byte(text: str, data: st.DataObject, tree: Callable[..., Any]) -> None:
    lines = pieces(text)
    assume(lines)
    at = data.draw(st.integers(0, len(lines) - 1))
    shown = body(lines[at])
    assume(not shown.endswith("\r"))
    hunk = f"@@ -{at + 1} +{at + 1} @@\n-{shown}\n+new\n"
    made = tree({"f": text}).patched(f"--- a/f\n+++ b/f\n{hunk}")["f"].decode()
    now = pieces(made)
    assert now[:at] == lines[:at]
    assert now[at + 1 :] == lines[at + 1 :]
    assert now[at] == "new" + lines[at][len(shown) :]


@RELAXED
@given(text=texts(newline=True), data=st.data())
def test_two_places_that_fit_are_never_decided_by_taking_one(
    text: str, data: st.DataObject, tree: Callable[..., Any]
) -> None:
    lines = [body(line) for line in pieces(text)]
    assume(lines)
    first = data.draw(st.integers(0, len(lines) - 1))
    part = lines[first : first + data.draw(st.integers(1, 3))]
    assume(not any(line.endswith("\r") for line in part))
    fits = sum(lines[at : at + len(part)] == part for at in range(len(lines)))
    old = "".join(f"-{line}\n" for line in part)
    patch = f"*** Begin Patch\n*** Update File: f\n@@\n{old}+unheard of\n*** End Patch\n"
    made, error = tried(lambda: tree({"f": text}).patched(patch)["f"].decode())
    if fits > 1:
        assert error is not None
        assert error.code == "ambiguous"
    else:
        assert made is not None
        assert "unheard of" in made


HEADERS = st.sampled_from(
    [
        "*** Begin Patch", "*** End Patch", "*** Update File: f", "*** Add File: n", "*** Delete File: f",
        "*** Move to: g", "*** End of File", "@@", "@@ a", "@@ -1,2 +1,2 @@", "@@ -9999999999 +1 @@", "--- a/f",
        "+++ b/f", "--- /dev/null", "+++ /dev/null", "diff --git a/f b/f", "diff --git", "rename from f",
        "rename to g",
        "new file mode 100644", "deleted file mode 100644", "old mode", "new mode 100755", "index 1..2", "```", "<<EOF",
        "EOF", "\\ No newline at end of file", '--- "a/\\777\\', "+a", "-a", " a", "-b", "+", "-", " ", "",
    ]
)  # fmt: skip
NOISE = st.one_of(HEADERS, HEADERS, HEADERS, st.text(max_size=8), LINES.map(" {}".format), LINES.map("-{}".format))


@settings(RELAXED, max_examples=400)
@given(lines=st.lists(NOISE, max_size=16), end=st.sampled_from(["\n", "\r\n"]), text=texts())
@example(lines=["*** Begin Patch", "*** Update File: f", "@@ a"], end="\n", text="a\n")
def test_whatever_is_sent_the_answer_is_a_plan_or_an_error_with_words(
    lines: list[str], end: str, text: str, tree: Callable[..., Any]
) -> None:
    change, error = tried(lambda: plan_patch(end.join(lines) + end, tree({"f": text})))
    if error is not None:
        assert str(error).startswith(f"Error [{error.code}]: ")
        assert len(str(error)) < 9_000
    else:
        assert change is not None
        assert change.changes
        assert diff_view(change).files


@settings(RELAXED, max_examples=200)
@given(both=pairs(), form=st.sampled_from([unified, v4a]), data=st.data())
def test_a_damaged_patch_changes_nothing_or_something_that_it_says(
    both: tuple[str, str], form: Callable[[str, str], str], data: st.DataObject, tree: Callable[..., Any]
) -> None:
    lines = form(*both).split("\n")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines)))
        lines[at : at + data.draw(st.integers(0, 2))] = data.draw(st.lists(NOISE, max_size=1))
    change, error = tried(lambda: plan_patch("\n".join(lines), tree({"f": both[0]})))
    assert (change is None) != (error is None)
    if change is not None:
        view = diff_view(change)
        assert len(applied(change, view)) <= 4_000
        for file, done in zip(view.files, change.files, strict=True):
            # The diff that a person is shown is the change that is made (CRs of a pure CRLF file are left out of it).
            if done.change in "MR" and file.diff and "\r" not in both[0] + "".join(lines):
                back = tree({"f": done.before or b""}).patched(f"--- a/f\n+++ b/f\n{file.diff}\n")
                assert back["f"] == done.after


@RELAXED
@given(data=st.binary(max_size=60))
def test_bytes_that_can_be_read_come_back_as_they_were(data: bytes) -> None:
    text, error = tried(lambda: decode(data))
    assert text is None or encode(text) == data
    assert error is None or error.code == "binary"
