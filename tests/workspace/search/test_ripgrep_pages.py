"""Reading ripgrep's output in pieces of any size."""

from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.workspace.search.ripgrep_output import MatchGroup, MatchLine, MatchPage, NulPaths, order_by_path

PRINTED = (
    b"./a\x001:hit\n./a\x002-\x00nul\n./late: WARNING: stopped searching binary file after match (found x)\n"
    b"./new\nline\x007:hit: binary file matches\n./z\x0012:\n\n3 matches\n3 files contained matches\n9 files searched\n"
)


def page(need: int = 10) -> MatchPage:
    return MatchPage(need, 1, order_by_path, hidden=lambda path: "sensitive" if path.endswith(b"secret") else "")


@given(st.integers(1, len(PRINTED)))
def test_the_size_of_the_pieces_makes_no_difference(size: int) -> None:
    reader = page()
    assert all(reader.feed(PRINTED[at : at + size]) for at in range(0, len(PRINTED), size))
    reader.finish()
    assert [(group.path, group.lines) for group in reader.groups] == [
        (b"./a", [MatchLine(1, "hit", True), MatchLine(2, "\0nul", False)]),
        (b"./new\nline", [MatchLine(7, "hit: binary file matches", True)]),
        (b"./z", [MatchLine(12, "", True)]),
    ]
    assert (reader.matches, reader.files, reader.searched) == (3, 3, 9)


@given(st.permutations(range(30)), st.integers(1, 40))
def test_files_in_any_order_give_the_same_page(order: list[int], need: int) -> None:
    reader = page(need)
    for number in order:
        reader.feed(b"".join(b"%02d\x00%d:hit\n" % (number, line) for line in (1, 2)))
    reader.finish()
    kept = [(group.path, line.number) for group in reader.groups for line in group.lines]
    assert kept[:need] == [(b"%02d" % number, line) for number in range(30) for line in (1, 2)][:need]
    assert len(kept) <= need + 2
    assert (reader.matches, reader.files) == (60, 30)


def test_much_text_is_let_go_of() -> None:
    reader = page(1_000_000)
    for number in range(300):
        reader.feed(b"".join(b"%03d\x00%d:%s\n" % (number, line, b"x" * 500) for line in range(200)))
    reader.finish()
    assert sum(group.size for group in reader.groups) < 10_000_000
    assert reader.matches == 60_000
    assert isinstance(reader.groups[0], MatchGroup)


def test_output_that_is_no_record_is_bounded() -> None:
    reader = page()
    for _ in range(40):
        reader.feed(b"x" * 65_536)
    assert reader.matches == 0


def test_names_stop_when_there_are_too_many() -> None:
    names = NulPaths(most=3)
    assert names.feed(b"a\0b")
    assert not names.feed(b"c\0d\0")
    assert names.paths == [b"a", b"bc", b"d"]
