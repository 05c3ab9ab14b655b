"""What the model has seen: ranges of one content add up, another content begins anew."""

import pytest

from kimi_agent.log.event_parts import Short
from kimi_agent.log.events import Compacted, Durable, Restored, Seen, Shortened, Stamped
from kimi_agent.workspace.files.seen_files import KnownFile, SeenFiles, merge_ranges


def test_ranges_of_one_content_add_up() -> None:
    seen_files = SeenFiles(lambda seen: None)
    seen_files.record("a", "1", ranges=[(1, 10)])
    seen_files.record("a", "1", ranges=[(30, 40)])
    seen_files.record("a", "1", ranges=[(11, 15)], whole=True)
    assert seen_files.known("a") == KnownFile("1", ((1, 15), (30, 40)), True, "read")
    seen_files.record("a", "1", ranges=[(2, 3)])
    assert seen_files.known("a") == KnownFile("1", ((1, 15), (30, 40)), True, "read"), "whole stays"


def test_another_content_begins_anew() -> None:
    seen_files = SeenFiles(lambda seen: None)
    seen_files.record("a", "1", ranges=[(1, 10)], whole=True)
    seen_files.record("a", "2", whole=True, by="write")
    assert seen_files.known("a") == KnownFile("2", (), True, "write")
    seen_files.record("a", "3", ranges=[(4, 4)])
    assert seen_files.known("a") == KnownFile("3", ((4, 4),), False, "read")
    assert seen_files.known("b") is None


def test_only_news_is_reported_and_reporting_it_again_rebuilds_the_ledger() -> None:
    reported: list[Seen] = []
    seen_files = SeenFiles(reported.append)
    seen_files.record("a", "1", ranges=[(1, 10)])
    seen_files.record("a", "1", ranges=[(2, 5)])
    seen_files.record("a", "1", ranges=[(5, 12)])
    seen_files.record("b", "2", whole=True, by="write")
    assert reported == [Seen("a", "1", ((1, 10),)), Seen("a", "1", ((5, 12),)), Seen("b", "2", (), True, "write")]
    again = SeenFiles(reported.append)
    for seen in tuple(reported):
        again.apply(seen)
    assert len(reported) == 3
    assert [again.known(path) for path in "ab"] == [seen_files.known(path) for path in "ab"]


def test_forgotten_text_leaves_the_hash() -> None:
    seen_files = SeenFiles(lambda seen: None)
    seen_files.record("a", "1", ranges=[(1, 10)], whole=True)
    seen_files.record("b", "2", ranges=[(1, 10)])
    seen_files.forget_text("b")
    assert seen_files.known("b") == KnownFile("2")
    seen_files.forget_text()
    assert seen_files.known("a") == KnownFile("1", (), True)


@pytest.mark.parametrize("event", [Compacted(1, "All of it."), Shortened((Short(1, 0, "..."),)), Restored(1)])
def test_text_that_may_be_gone_from_the_conversation_is_shown_again_when_it_is_read(event: Durable) -> None:
    seen = Seen("a", "1", ((1, 10),), whole=True)
    log = [Stamped("main", 1, 0.0, seen), Stamped("main", 2, 0.0, event)]
    seen_files = SeenFiles(lambda seen: None)
    seen_files.apply(seen)
    seen_files.hear(log[1])
    resumed = SeenFiles(lambda seen: None)
    resumed.rebuild(log)
    assert seen_files.known("a") == resumed.known("a") == KnownFile("1", (), True)


def test_ranges_that_touch_or_overlap_are_merged() -> None:
    ranges = merge_ranges([(5, 6), (1, 2), (3, 3), (8, 9), (8, 8)])
    assert ranges == ((1, 3), (5, 6), (8, 9))
