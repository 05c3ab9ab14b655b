"""What holds for every text and every patch, by hypothesis."""

from codecs import BOM_UTF8
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from kimi_agent.edit import format_patch_result, make_diff_view, plan_patch
from kimi_agent.edit.file_text import decode_text, encode_text
from kimi_agent.edit.line_diff import diff_lines
from kimi_agent.errors import ToolError
from tests.edit.example_counts import effort, examples
from tests.edit.file_trees import Tree
from tests.edit.random_texts import CODECS, LINES, NOISE, body, pairs, pieces, texts, unified, v4a

Made = TypeVar("Made")


def tried(call: Callable[[], Made]) -> tuple[Made | None, ToolError | None]:
    try:
        return call(), None
    except ToolError as error:
        return None, error


@examples(30, 2_000)
def test_a_unified_diff_of_two_texts_turns_the_one_into_the_other(count: int) -> None:
    @effort(count)
    @given(both=pairs(), context=st.integers(0, 3), codec=CODECS)
    @example(both=("a\r", "b\r"), context=3, codec=("", "utf-8"))
    @example(both=("x\r\na\r\n", "x\r\na\r"), context=3, codec=("", "utf-8"))
    @example(both=("a\n", ""), context=3, codec=("\ufeff", "utf-16-le"))
    def holds(both: tuple[str, str], context: int, codec: tuple[str, str]) -> None:
        before, after = both
        assume(before != after and not (before + after).startswith("\ufeff"))
        # Without context an insertion shows no neighbour, so nothing tells which line end it is to get.
        assume(context or "\r" not in before + after)
        old, new = ((codec[0] + text).encode(codec[1]) for text in both)
        assert Tree({"f": old}).patched(unified(before, after, context)) == {"f": new}

    holds()


@examples(30, 2_000)
def test_a_v4a_diff_of_two_texts_turns_the_one_into_the_other(count: int) -> None:
    @effort(count)
    @given(both=pairs())
    def holds(both: tuple[str, str]) -> None:
        before, after = both
        assume(before != after and before and after and not before.startswith("\ufeff"))
        assume(before.endswith("\n") == after.endswith("\n"))  # V4A cannot say it otherwise
        assert Tree({"f": before}).patched(v4a(before, after)) == {"f": after.encode()}

    holds()


UNIQUE = st.lists(st.sampled_from(["x", "y = 'a'", "z - 1", "w...", "v w", "u"]), min_size=4, max_size=12)
DEPTHS = st.sampled_from(["", "    ", "\t", "        "])
TYPOGRAPHY = str.maketrans({"'": "’", "-": "–", " ": "\u00a0"})


@st.composite
def loose(draw: st.DrawFn) -> tuple[list[str], list[str], int, int, str]:
    """Lines of a file, the lines of a hunk that fit some of them loosely, from where to where, and how much deeper."""
    depth = draw(DEPTHS)
    bodies = [f"{depth}{line} {number}" for number, line in enumerate(draw(UNIQUE))]
    blank = draw(st.booleans())
    bodies[1:1] = [""] if blank else []
    first = draw(st.integers(0, len(bodies) - 1))
    last = draw(st.integers(first + 1, len(bodies)))
    shown, moved = list(bodies[first:last]), ""
    match draw(st.integers(0, 3)):
        case 1:
            shown = [line + draw(st.sampled_from(["", " ", "\t "])) for line in shown]
        case 2:
            own = len(depth)
            shown = [line[:own] + line[own:].translate(TYPOGRAPHY).replace("...", "…") for line in shown]
        case 3 if any(shown):
            moved = depth
            shown = [line.removeprefix(depth) for line in shown]
    ends = [draw(st.sampled_from(["\n", "\r\n"])) for _ in bodies]
    ends[-1] = draw(st.sampled_from(["", "\n", "\r\n"]))
    lines = [line + draw(st.sampled_from(["", "", " "])) if not moved else line for line in bodies]
    return [line + end for line, end in zip(lines, ends, strict=True)], shown, first, last, moved


@examples(30, 2_000)
def test_lines_that_no_hunk_removes_keep_every_byte_at_every_tolerance(count: int) -> None:
    @effort(count)
    @given(case=loose(), data=st.data())
    def holds(case: tuple[list[str], list[str], int, int, str], data: st.DataObject) -> None:
        lines, shown, first, last, moved = case
        assume(any(line.strip() for line in shown))
        gone = data.draw(st.integers(0, len(shown) - 1))
        old = [f"{'-' if at == gone else ' '}{line}\n" for at, line in enumerate(shown)]
        old.insert(gone + 1, "+new\n")
        patch = f"*** Begin Patch\n*** Update File: f\n@@\n{''.join(old)}*** End Patch\n"
        now = pieces(Tree({"f": "".join(lines)}).patched(patch)["f"].decode())
        at = first + gone
        assert now[:at] == lines[:at]
        assert now[at + 1 :] == lines[at + 1 :]
        assert now[at] == moved + "new" + lines[at][len(body(lines[at])) :]
        assert last <= len(now)

    holds()


@examples(30, 2_000)
def test_two_places_that_fit_are_never_decided_by_taking_one(count: int) -> None:
    @effort(count)
    @given(text=texts(newline=True), data=st.data())
    def holds(text: str, data: st.DataObject) -> None:
        lines = [body(line) for line in pieces(text)]
        assume(lines and not text.startswith("\ufeff"))
        first = data.draw(st.integers(0, len(lines) - 1))
        part = lines[first : first + data.draw(st.integers(1, 3))]
        assume(not any(line.endswith("\r") for line in part))
        bare = [line.rstrip(" \t") for line in lines]
        starts = range(len(lines) - len(part) + 1)
        fits = [at + 1 for at in starts if bare[at : at + len(part)] == [line.rstrip(" \t") for line in part]]
        old = "".join(f"-{line}\n" for line in part)
        patch = f"*** Begin Patch\n*** Update File: f\n@@\n{old}+unheard of\n*** End Patch\n"
        made, error = tried(lambda: Tree({"f": text}).patched(patch)["f"].decode())
        if len(fits) > 1:
            assert error is not None
            assert error.code == "ambiguous"
            assert f"fits {len(fits)} places: lines {', '.join(map(str, fits))}" in error.text
        else:
            assert made is not None
            assert "unheard of" in made

    holds()


@examples(25, 1_500)
def test_what_does_not_fit_is_told_by_the_first_line_that_differs(count: int) -> None:
    @effort(count)
    @given(size=st.integers(3, 40), data=st.data())
    def holds(size: int, data: st.DataObject) -> None:
        lines = [f"line {number} of it" for number in range(size)]
        first = data.draw(st.integers(0, size - 3))
        part = lines[first : data.draw(st.integers(first + 3, size))]
        wrong = data.draw(st.integers(0, len(part) - 1))
        rows = [f" {line}" for line in part]
        rows[wrong] = " something else"
        patch = "\n".join(["*** Begin Patch", "*** Update File: f", "@@", *rows, "+new", "*** End Patch\n"])
        with pytest.raises(ToolError) as caught:
            Tree({"f": "".join(f"{line}\n" for line in lines)}).patched(patch)
        assert caught.value.code == "not_found"
        assert f"\n> {first + wrong + 1}\t{part[wrong]}\n  yours:\tsomething else" in caught.value.text
        assert "Nowhere in the file: `something else`" in caught.value.text

    holds()


@examples(45, 4_000)
def test_whatever_is_sent_the_answer_is_a_plan_or_an_error_with_words(count: int) -> None:
    @effort(count)
    @given(lines=st.lists(NOISE, max_size=16), end=st.sampled_from(["\n", "\r\n"]), text=texts())
    @example(lines=["*** Begin Patch", "*** Update File: f", "@@ a"], end="\n", text="a\n")
    def holds(lines: list[str], end: str, text: str) -> None:
        change, error = tried(lambda: plan_patch(end.join(lines) + end, Tree({"f": text})))
        if error is not None:
            assert str(error).startswith(f"Error [{error.code}]: ")
            assert len(str(error)) < 9_000
        else:
            assert change is not None
            assert change.changes
            assert make_diff_view(change).files

    holds()


@examples(30, 2_000)
def test_a_damaged_patch_changes_nothing_or_something_that_it_says(count: int) -> None:
    @effort(count)
    @given(both=pairs(), form=st.sampled_from([unified, v4a]), data=st.data())
    def holds(both: tuple[str, str], form: Callable[[str, str], str], data: st.DataObject) -> None:
        lines = form(*both).split("\n")
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, len(lines)))
            lines[at : at + data.draw(st.integers(0, 2))] = data.draw(st.lists(NOISE, max_size=1))
        change, error = tried(lambda: plan_patch("\n".join(lines), Tree({"f": both[0]})))
        assert (change is None) != (error is None)
        if change is not None:
            view = make_diff_view(change)
            assert len(format_patch_result(change, view)) <= 4_000
            for file, done in zip(view.files, change.files, strict=True):
                # The diff that a person is shown is the change (CRs of a pure CRLF file and marks are left out of it).
                hidden = "\r" in both[0] + "".join(lines) or (done.after or b"").startswith(BOM_UTF8)
                if done.change in "MR" and file.diff and not hidden:
                    back = Tree({"f": done.before or b""}).patched(f"--- a/f\n+++ b/f\n{file.diff}\n")
                    assert back["f"] == done.after

    holds()


@examples(40, 4_000)
def test_bytes_that_can_be_read_come_back_as_they_were(count: int) -> None:
    @effort(count)
    @given(data=st.binary(max_size=60))
    def holds(data: bytes) -> None:
        text, error = tried(lambda: decode_text(data))
        assert text is None or encode_text(text) == data
        assert error is None or error.code == "binary"

    holds()


@examples(40, 4_000)
def test_what_lies_between_the_blocks_that_differ_is_equal(count: int) -> None:
    @effort(count)
    @given(old=st.lists(LINES, max_size=30), data=st.data())
    def holds(old: list[str], data: st.DataObject) -> None:
        new = data.draw(st.lists(LINES, max_size=10)) + old[data.draw(st.integers(0, 5)) :]
        made: list[str] = []
        at = 0
        for block in diff_lines(old, new):
            assert at <= block.old[0] <= block.old[1]
            made += old[at : block.old[0]] + new[slice(*block.new)]
            at = block.old[1]
        assert made + old[at:] == new

    holds()
