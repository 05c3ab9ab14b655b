"""The sessions of a workspace."""

import json
import os
import random
import re
from itertools import count
from pathlib import Path

import pytest

from kimi_agent.errors import UserError
from kimi_agent.layers import workspace_key
from kimi_agent.log.event_parts import Short
from kimi_agent.log.events import (
    CallStarted,
    Compacted,
    Durable,
    Opened,
    Partial,
    Queued,
    Renamed,
    Restored,
    Returned,
    Said,
    Shortened,
    Stamped,
    TurnEnded,
)
from kimi_agent.log.messages import Assistant, Call, Usage, User, user_message
from kimi_agent.log.readers.export import export_markdown
from kimi_agent.log.sessions import Sessions
from kimi_agent.log.store.lock import LockHolder
from kimi_agent.log.store.session import Session
from kimi_agent.log.views import Result


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state of mine"


def sessions_of(state: Path, workspace: Path, seed: int = 1) -> Sessions:
    ticks = count(1_795_307_680)
    return Sessions(state, workspace, now=lambda: float(next(ticks)), rng=random.Random(seed))


def told(sessions: Sessions, *events: Durable) -> str:
    """A session with these events, closed."""
    session = sessions.create(model="kimi-k2.6", version="0.1")
    for event in events:
        session.emit(event)
    session.close()
    return session.id


def test_ids_sort_by_time_and_differ_within_a_second(state: Path, tmp_path: Path) -> None:
    sessions = Sessions(state, tmp_path, now=lambda: 1_795_307_680.0, rng=random.Random(3))
    one, two = told(sessions), told(sessions)
    assert re.fullmatch(r"20261122-003440-[a-z2-9]{4}", one)
    assert one[:-4] == two[:-4]
    assert one != two
    # The same draws again: a name that is taken is passed over.
    again = Sessions(state, tmp_path, now=lambda: 1_795_307_680.0, rng=random.Random(3))
    assert told(again) not in (one, two)


def test_workspaces_are_never_mixed(tmp_path: Path) -> None:
    names = ["a-b", "a_b", "a b", "ü", "", "x" * 250, "x" * 249 + "y", "a\nb", "\udcff"]
    keys = [workspace_key(tmp_path / name) for name in names]
    assert len(set(keys)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,80}", key) for key in keys)
    assert workspace_key(Path("/")).startswith("root-")


def test_a_workspace_is_known_by_its_real_path(state: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    id_ = told(sessions_of(state, tmp_path / "link"), Said(user_message("hi")))
    found = sessions_of(state, tmp_path / "real").find(id_)
    assert found.workspace == str(tmp_path / "real")


def test_the_list_tells_of_each_session_the_last_used_first(state: Path, tmp_path: Path) -> None:
    sessions = sessions_of(state, tmp_path)
    old = told(
        sessions,
        Said(user_message("fix the bug\nplease")),
        Queued(user_message("quick")),
        Said(user_message("quick"), queued=3),
        Said(Assistant('"event":{"type":"Said","message":{"type":"user" in words')),
        TurnEnded("done", 1),
        Said(user_message("y" * 100_000)),
    )
    new = told(sessions, Said(user_message("one")), Renamed("my work"))
    first, second = sessions.list()
    assert (first.id, first.title, first.turns, first.model) == (new, "my work", 1, "kimi-k2.6")
    assert (second.id, second.title, second.turns) == (old, "fix the bug", 2)
    assert second.started < second.last_used < first.started < first.last_used
    assert first.size_bytes == (first.folder / "main.jsonl").stat().st_size
    assert first.in_use is None


def test_a_summary_agrees_with_the_fold(state: Path, tmp_path: Path, rich_events: list[Durable]) -> None:
    sessions = sessions_of(state, tmp_path)
    id_ = told(sessions, *rich_events[1:])
    session = sessions.resume(id_)
    fold = session.conversation
    session.close()
    found = sessions.find(id_)
    prompts = [each for each in rich_events if isinstance(each, Said) and isinstance(each.message, User)]
    assert (found.title, found.turns) == (fold.title, sum(not each.queued for each in prompts))


def test_what_is_no_folder_is_no_session(state: Path, tmp_path: Path) -> None:
    sessions = sessions_of(state, tmp_path)
    assert sessions.list() == sessions.list_all() == ()
    id_ = told(sessions, Said(user_message("hi")))
    (sessions.folder / "a file").write_text("x")
    (sessions.folder / "dangling").symlink_to("nowhere")
    (sessions.folder / ".hidden").mkdir()
    assert [one.id for one in sessions.list()] == [id_]


def test_a_session_is_found_by_what_people_remember(state: Path, tmp_path: Path) -> None:
    sessions = sessions_of(state, tmp_path)
    one = told(sessions, Said(user_message("Mend the parser")))
    two = told(sessions, Said(user_message("Mend the printer")))
    assert sessions.find(one).id == sessions.find(one[:-1]).id == sessions.find("the PARSER").id == one
    told(sessions)  # opened, and left without a word
    assert sessions.find("last").id == sessions.find("mend the printer").id == two


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("mend", "'mend' means more than one session; say which: {two} (Mend the printer), {one} (Mend the parser)"),
        ("2026", "'2026' means more than one session; say which: {two} (Mend the printer), {one} (Mend the parser)"),
        ("nope", "there is no session 'nope' here; there are: {two} (Mend the printer), {one} (Mend the parser)"),
        ("", "there is no session '' here; there are: {two} (Mend the printer), {one} (Mend the parser)"),
        ("../x", "there is no session '../x' here; there are: {two} (Mend the printer), {one} (Mend the parser)"),
    ],
)
def test_a_word_that_means_none_or_several_names_the_candidates(
    state: Path, tmp_path: Path, word: str, sentence: str
) -> None:
    sessions = sessions_of(state, tmp_path)
    one = told(sessions, Said(user_message("Mend the parser")))
    two = told(sessions, Said(user_message("Mend the printer")))
    with pytest.raises(UserError) as error:
        sessions.find(word)
    assert str(error.value) == sentence.format(one=one, two=two)


def test_a_session_of_another_workspace_is_named_with_its_place(state: Path, tmp_path: Path) -> None:
    elsewhere = sessions_of(state, tmp_path / "elsewhere")
    id_ = told(elsewhere, Said(user_message("hi")))
    here = sessions_of(state, tmp_path / "here")
    with pytest.raises(UserError, match=rf"no session of .*here yet \(it belongs to {tmp_path}/elsewhere: use -C\)"):
        here.find(id_)
    with pytest.raises(UserError, match=r"there is no session of .*here yet$"):
        here.find("last")
    mine = told(here, Said(user_message("hi")))
    assert [one.id for one in here.list()] == [mine]
    assert {one.id for one in here.list_all()} == {mine, id_}


def test_one_that_is_in_use_can_be_copied_but_not_removed_or_resumed(state: Path, tmp_path: Path) -> None:
    sessions = sessions_of(state, tmp_path)
    session = sessions.create(model="kimi-k2.6", version="0.1")
    session.emit(Said(user_message("hi")))
    holder = sessions.find("last").in_use
    assert isinstance(holder, LockHolder)
    assert holder.pid == os.getpid()
    with pytest.raises(UserError, match=f"^session {session.id} is in use by pid {os.getpid()} .*; end it first$"):
        sessions.remove(session.id)
    with pytest.raises(UserError, match="in use"):
        sessions.resume("last")
    copy = sessions.fork(session.id)
    assert copy.opened.forked_from == session.id
    copy.close()
    session.close()
    assert sessions.find(copy.id).forked_from == session.id
    assert sessions.remove(session.id).id == session.id
    assert [one.id for one in sessions.list()] == [copy.id]
    assert sorted(path.name for path in sessions.folder.iterdir()) == [copy.id]


def test_a_child_in_use_keeps_its_session_from_being_removed(state: Path, tmp_path: Path) -> None:
    sessions = sessions_of(state, tmp_path)
    main = sessions.resume(told(sessions, Said(user_message("hi"))))
    child = Session.create(main.folder, main.opened, now=lambda: 1.0, agent="main.2.0")
    main.close()
    with pytest.raises(UserError, match="end it first"):
        sessions.remove("last")
    child.close()
    sessions.remove("last")
    assert sessions.list() == ()


def test_a_session_is_exported_whole(state: Path, tmp_path: Path, rich_events: list[Durable]) -> None:
    sessions = sessions_of(state, tmp_path)
    id_ = told(sessions, *rich_events[1:])
    folder = sessions.find(id_).folder
    child = Session.create(folder, rich_events_opened(rich_events), now=lambda: 1.0, agent="main.2.0")
    child.close()
    records = json.loads(sessions.export(id_, "json"))
    assert [record["seq"] for record in records] == [*range(1, len(rich_events) + 1), 1]
    assert records[-1]["agent"] == "main.2.0"
    shown = sessions.export(id_)
    assert shown.startswith("# Session ")
    assert "fix the ปัญหา" in shown


def rich_events_opened(events: list[Durable]) -> Opened:
    first = events[0]
    assert isinstance(first, Opened)
    return first


def test_a_transcript_reads_like_a_conversation() -> None:
    answer = Assistant("Let me look.", "Where is it?", (Call("i", "shell", '{"command":"ls"}'),))
    events: list[Durable] = [
        Said(user_message("what is here?")),
        Said(answer),
        CallStarted(2, 0, "shell", "execute"),
        Returned(2, 0, Result("```\na.py\n", failed=True)),
        TurnEnded("done", 1),
    ]
    log = [Stamped("main", seq, float(seq), event) for seq, event in enumerate(events, 1)]
    assert (
        export_markdown(log, clock=lambda at: f"{at:.0f} o'clock")
        == """\
## User, 1 o'clock

what is here?

## Kimi

> Where is it?

Let me look.

### shell

```json
{"command":"ls"}
```

*Result of shell, failed:*

````
```
a.py
````

*Turn ended: done, 1 steps.*

---
"""
    )


def test_a_transcript_tells_when_room_was_made_how_much_and_what_became_of_it() -> None:
    calls = (Call("i", "shell", "{}"), Call("j", "read_file", "{}"))
    events: list[Durable] = [
        Said(user_message("look")),
        Said(Assistant("", None, calls), Usage(10, 5)),
        Returned(2, 0, Result("a")),
        Returned(2, 1, Result("b")),
        Shortened((Short(2, 0, "."), Short(2, 1, ".")), 9_000, 4_000),  # 5
        Partial("I s", retried=True, why="the line was cut"),
        Said(Assistant("I saw.")),
        Said(user_message("more")),
        Compacted(7, "one\ntwo\nthree", "window", 4, 9_500, 700),  # 9
        Said(Assistant("Yes.")),
        Restored(5),  # changes nothing: it is not the last
        Restored(9),
        Compacted(7, "one", "overflow"),  # 13
        Compacted(0, "none", "asked"),
    ]
    log = [Stamped("main", seq, float(seq), event) for seq, event in enumerate(events, 1)]
    text = export_markdown(log, clock=lambda at: f"{at:.0f} o'clock", summary_lines=2)
    told = [line for line in text.splitlines() if line.startswith(("*", "## C", "one", "two", "three", "…"))]
    assert told == [
        "*Result of shell:*",
        "*Result of read_file:*",
        "*2 old results shortened to make room (1 of shell, 1 of read_file); the request went from about 9,000 tokens"
        " to 4,000.*",
        "*The answer broke off (the line was cut) and was asked for again.*",
        "## Compaction, 9 o'clock",
        "*The window was nearly full: 5 messages up to turn 1 (1 prompt or summary, 2 answers, 2 results) became this"
        " summary; the request went from about 9,500 tokens to 700; taken back at 12 o'clock.*",
        "one",
        "two",
        "… 1 more line of the summary",
        "## Compaction, 13 o'clock",
        "*The server said it was too long: 5 messages up to turn 1 (1 prompt or summary, 2 answers, 2 results) became"
        " this summary.*",
        "one",
        "## Compaction, 14 o'clock",
        "*Asked for: nothing became this summary.*",
        "*Cost: 10 tokens in (0 cached), 5 out; price not known.*",
    ]
    assert "three" in export_markdown(log, clock=str)


def test_state_that_cannot_be_written_stops_no_session(state: Path, tmp_path: Path) -> None:
    state.write_text("a file in the way")
    session = sessions_of(state, tmp_path).create(model="kimi-k2.6", version="0.1")
    assert session.unsaved == 1
    session.close()
