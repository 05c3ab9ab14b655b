"""recall gives back what the conversation no longer holds."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kimi_agent.log.events import Compacted, Opened, Returned, Said
from kimi_agent.log.messages import Assistant, Call, user_message
from kimi_agent.log.readers.recall import SessionRecall
from kimi_agent.log.store.log_scan import read_events
from kimi_agent.log.store.session import Session
from kimi_agent.log.views import Result, TextView
from kimi_agent.tool import Context, Tool, ToolError
from tests.golden_texts import Golden
from tests.tool_calls import run_tool


@pytest.fixture
def recalling(context: Context, tmp_path: Path) -> Context:
    """A context whose session was compacted: a port was named, and a log was read that is far too long."""
    clock = iter(range(0, 10**6, 1_800))
    session = Session.create(
        tmp_path / "s", Opened("s", "", "", ""), now=lambda: float(next(clock)), sync=lambda fd: None
    )
    session.emit(Said(user_message("use port 8123")))
    answer = session.emit(Said(Assistant("", None, (Call("x:0", "read_file", '{"path":"a.log"}'),)))).seq
    session.emit(Returned(answer, 0, Result("".join(f"line {n} of port\n" for n in range(2_000)))))
    session.emit(Compacted(answer + 1, "it went well"))
    again = session.emit(Said(Assistant("", None, (Call("x:0", "recall", '{"query":"8123"}'),)))).seq
    session.emit(Returned(again, 0, Result("1 hit: use port 8123")))
    session.close()
    return replace(context, history=SessionRecall(lambda: read_events(session.path)))


async def run(tool: Callable[[str], Tool], context: Context, **arguments: object) -> Result:
    return await run_tool(tool("recall"), context, json.dumps(arguments))


async def test_words_are_found_and_its_own_calls_are_not(
    golden: Golden, tool: Callable[[str], Tool], recalling: Context
) -> None:
    found = await run(tool, recalling, query="PORT 8123")
    assert found == Result(found.content, TextView("", "1 hit"))
    hits = (await run(tool, recalling, query="port")).content.splitlines()
    assert [hit.split()[0] for hit in hits[1:]] == ["3.0", "2"]
    nothing = await run(tool, recalling, query="/nowhere/")
    golden(found.content, *hits, nothing.content)


async def test_a_long_text_comes_in_pages(golden: Golden, tool: Callable[[str], Tool], recalling: Context) -> None:
    first = (await run(tool, recalling, id="3.0")).content
    head = first[: first.index("line 1 ")]
    golden(head.rstrip(), first.splitlines()[-1])
    rest = [(await run(tool, recalling, id="3.0", offset=at)).content for at in (16_000, 32_000)]
    whole = "".join(page.rpartition("\n[")[0] for page in (first, *rest))
    assert len(whole) == 34_948
    assert [row.split()[1] for row in whole.splitlines() if row.startswith("line ")] == [str(n) for n in range(2_000)]
    assert rest[1].endswith("of 34,948]")


async def test_what_cannot_be_found_is_told(golden: Golden, tool: Callable[[str], Tool], context: Context) -> None:
    with pytest.raises(ToolError, match="neither query nor id"):
        await run(tool, context, query="  ")
    with pytest.raises(ToolError, match="7\\.0") as caught:
        await run(tool, context, id="7.0", query="both")
    assert caught.value.code == "not_found"
    golden(caught.value.text)
    assert "Nothing" in (await run(tool, context, query="x")).content
