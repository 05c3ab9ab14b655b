"""The words of the status line on window and cost."""

from kimi_agent.faces.repl.usage_status import UsageStatus
from kimi_agent.log.events import Compacted, Durable, Restored, Said, Spent, Stamped
from kimi_agent.log.messages import Assistant, Usage


def test_the_gauge_follows_answers_compactions_and_what_takes_them_back() -> None:
    measured = iter([0, 4_000])
    costs = iter(["", "$0.12"])
    gauge = UsageStatus(10_000, lambda: next(measured), lambda: next(costs))
    assert gauge.parts == []
    reported: list[tuple[Durable, list[str]]] = [
        (Said(Assistant("hi"), Usage(3_000, 500)), ["35 % of the window"]),
        (Spent("kimi", Usage(3_000, 500), 0.12), ["35 % of the window", "$0.12"]),
        (Compacted(3, "All.", tokens_after=900), ["9 % of the window", "$0.12"]),
        (Restored(4), ["40 % of the window", "$0.12"]),
    ]
    for seq, (event, parts) in enumerate(reported):
        gauge.hear(Stamped("main", seq, 0.0, event))
        assert gauge.parts == parts
