"""The last line of an export: what the session itself used, and what that cost."""

from kimi_agent.log.events import Durable, Opened, Said, Spent
from kimi_agent.log.messages import Assistant, Usage, user_message
from kimi_agent.log.readers.export import export_markdown
from tests.log.fold_helpers import logged

OLD = (Said(user_message("hi")), Said(Assistant("a"), Usage(10, 2, 1)))
PAID = (*OLD, Spent("kimi", Usage(20, 3, 5, 2), 0.5), Spent("kimi", Usage(), None), Spent("kimi", Usage(4), 0.25))
FORKED = Opened("new", "/w", "kimi", "1", forked_from="old")


def cost(*events: Durable) -> str:
    last = export_markdown(logged(*events), clock=str).strip().split("\n\n")[-1]
    return last.removeprefix("*Cost: ").removesuffix(".*") if last.startswith("*Cost") else ""


def test_what_was_spent_is_summed_up() -> None:
    assert cost() == cost(Said(user_message("hi"))) == ""
    assert cost(*OLD) == "10 tokens in (1 cached), 2 out; price not known"
    assert cost(*PAID) == "24 tokens in (5 cached), 3 out; $0.75"
    unknown = (*PAID, Spent("own", Usage(1, 1)), Spent("kimi", Usage(4), 0.25))
    assert cost(*unknown) == "29 tokens in (5 cached), 4 out; price not known"


def test_what_a_fork_copied_was_paid_by_the_session_that_it_came_from() -> None:
    assert not cost(*PAID, FORKED)
    assert cost(*PAID, FORKED, Spent("kimi", Usage(4), 0.25)) == "4 tokens in (0 cached), 0 out; $0.25"
