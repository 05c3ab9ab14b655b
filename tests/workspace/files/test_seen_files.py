"""What the model has seen: ranges of one content add up, another content begins anew."""

import pytest

from kimi_agent.log.events import Compacted, Durable, Restored, Seen, Short, Shortened, Stamped
from kimi_agent.workspace.files.seen_files import Known, Ledger, covers, merged


def test_ranges_of_one_content_add_up() -> None:
    ledger = Ledger(lambda seen: None)
    ledger.saw("a", "1", ranges=[(1, 10)])
    ledger.saw("a", "1", ranges=[(30, 40)])
    ledger.saw("a", "1", ranges=[(11, 15)], whole=True)
    assert ledger.known("a") == Known("1", ((1, 15), (30, 40)), True, "read")
    ledger.saw("a", "1", ranges=[(2, 3)])
    assert ledger.known("a") == Known("1", ((1, 15), (30, 40)), True, "read"), "whole stays"


def test_another_content_begins_anew() -> None:
    ledger = Ledger(lambda seen: None)
    ledger.saw("a", "1", ranges=[(1, 10)], whole=True)
    ledger.saw("a", "2", whole=True, by="write")
    assert ledger.known("a") == Known("2", (), True, "write")
    ledger.saw("a", "3", ranges=[(4, 4)])
    assert ledger.known("a") == Known("3", ((4, 4),), False, "read")
    assert ledger.known("b") is None


def test_only_news_is_told_and_telling_it_again_rebuilds_the_ledger() -> None:
    told: list[Seen] = []
    ledger = Ledger(told.append)
    ledger.saw("a", "1", ranges=[(1, 10)])
    ledger.saw("a", "1", ranges=[(2, 5)])
    ledger.saw("a", "1", ranges=[(5, 12)])
    ledger.saw("b", "2", whole=True, by="write")
    assert told == [Seen("a", "1", ((1, 10),)), Seen("a", "1", ((5, 12),)), Seen("b", "2", (), True, "write")]
    again = Ledger(told.append)
    for seen in tuple(told):
        again.feed(seen)
    assert len(told) == 3
    assert [again.known(path) for path in "ab"] == [ledger.known(path) for path in "ab"]


def test_forgotten_text_leaves_the_hash() -> None:
    ledger = Ledger(lambda seen: None)
    ledger.saw("a", "1", ranges=[(1, 10)], whole=True)
    ledger.saw("b", "2", ranges=[(1, 10)])
    ledger.forget_text("b")
    assert ledger.known("b") == Known("2")
    ledger.forget_text()
    assert ledger.known("a") == Known("1", (), True)


@pytest.mark.parametrize("event", [Compacted(1, "All of it."), Shortened((Short(1, 0, "..."),)), Restored(1)])
def test_text_that_may_be_gone_from_the_conversation_is_shown_again_when_it_is_read(event: Durable) -> None:
    seen = Seen("a", "1", ((1, 10),), whole=True)
    log = [Stamped("main", 1, 0.0, seen), Stamped("main", 2, 0.0, event)]
    ledger = Ledger(lambda seen: None)
    ledger.feed(seen)
    ledger.hear(log[1])
    resumed = Ledger(lambda seen: None)
    resumed.rebuild(log)
    assert ledger.known("a") == resumed.known("a") == Known("1", (), True)


def test_ranges_merge_and_cover() -> None:
    ranges = merged([(5, 6), (1, 2), (3, 3), (8, 9), (8, 8)])
    assert ranges == ((1, 3), (5, 6), (8, 9))
    assert covers(ranges, 1, 3)
    assert not covers(ranges, 3, 5)
