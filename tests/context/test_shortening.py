import json
from collections.abc import Mapping
from typing import Any

from kimi_agent.context.request_tokens import estimate_message_tokens
from kimi_agent.context.shortening import Shortening, SizedMessage, find_newest_step, shorten_oversized, shorten_stale
from kimi_agent.log.event_parts import Short
from kimi_agent.log.messages import Assistant, Call, Message, ToolReturn, user_message
from tests.golden_texts import Golden


class Talk:
    """Messages with their origins, as a conversation gives them."""

    def __init__(self) -> None:
        self.items: list[SizedMessage] = []
        self._seq = 0

    def add(self, message: Message, origin: tuple[int, int] | None = None) -> None:
        self._seq += 1
        self.items.append(SizedMessage(message, origin or (self._seq, -1), estimate_message_tokens(message)))

    def step(self, *done: tuple[str, Mapping[str, Any] | str, str]) -> int:
        """An answer with calls (name, arguments, result); gives its seq."""
        wanted = [
            Call(f"f:{at}", name, args if isinstance(args, str) else json.dumps(args))
            for at, (name, args, _) in enumerate(done)
        ]
        self.add(Assistant("", None, tuple(wanted)))
        answer = self._seq
        for at, (name, _, result) in enumerate(done):
            self.add(ToolReturn(f"f:{at}", name, result), (answer, at))
        return answer

    def shortened(
        self, wanted: int = 10**9, *, least: int = 0, recent: int = 0, **written: int
    ) -> list[tuple[int, int]]:
        """The places whose results become stubs."""
        paths = {name.replace("_py", ".py"): seq for name, seq in written.items()}
        done = shorten_stale(self.items, wanted=wanted, least=least, recent=recent, written=paths)
        return [(short.answer, short.index) for short in done.results]


LONG = "a line\n" * 400


def test_old_results_become_stubs_that_say_where_the_whole_is(golden: Golden) -> None:
    talk = Talk()
    answer = talk.step(("read_file", {"path": "a.py"}, LONG))
    talk.step(("read_file", {"path": "b.py"}, LONG))
    done = shorten_stale(talk.items, wanted=1, least=0, recent=0, written={})
    stub = done.results[0].text
    assert f'recall(id="{answer}.0")' in stub
    assert done == Shortening(
        (Short(answer, 0, stub),), estimate_message_tokens(talk.items[1].message) - -(-len(stub) // 4)
    )
    golden(stub)


def test_a_single_long_line_is_cut_in_it() -> None:
    talk = Talk()
    talk.step(("shell", {"command": "x"}, "x" * 5_000))
    talk.add(Assistant("done"))
    (short,) = shorten_stale(talk.items, wanted=1, least=0, recent=0, written={}).results
    assert short.text.startswith("x" * 200 + "\n[shortened")


def test_the_oldest_go_first_and_only_until_enough_is_free() -> None:
    talk = Talk()
    places = [talk.step(("read_file", {"path": f"{number}.py"}, LONG)) for number in range(10)]
    assert talk.shortened(1_300) == [(places[0], 0), (places[1], 0), (places[2], 0)]


def test_the_newest_step_and_the_recent_ones_are_left_alone() -> None:
    talk = Talk()
    places = [talk.step(("read_file", {"path": f"{number}.py"}, LONG)) for number in range(4)]
    assert talk.shortened() == [(place, 0) for place in places[:3]]
    assert talk.shortened(recent=1_500) == [(place, 0) for place in places[:2]]
    assert talk.shortened(recent=10**6) == []


def test_short_results_are_left_alone() -> None:
    talk = Talk()
    talk.step(("shell", {"command": "x"}, "ok"), ("shell", {"command": "y"}, "y" * 600))
    talk.add(Assistant("done"))
    assert talk.shortened() == []


def test_what_frees_too_little_is_not_worth_a_broken_cache() -> None:
    talk = Talk()
    talk.step(("read_file", {"path": "a.py"}, LONG))
    talk.add(Assistant("done"))
    assert talk.shortened(least=650) == []
    assert talk.shortened(least=600) != []


def test_a_call_that_was_made_again_makes_the_earlier_one_useless() -> None:
    talk = Talk()
    talk.step(("read_file", {"path": "old.py"}, LONG))
    first = talk.step(("shell", {"command": "make"}, LONG))
    talk.step(("shell", {"command": "make"}, "ok"))
    talk.add(Assistant("done"))
    assert talk.shortened(1) == [(first, 0)]


def test_a_whole_reading_makes_earlier_parts_useless() -> None:
    talk = Talk()
    talk.step(("read_file", {"path": "old.py"}, LONG))
    part = talk.step(("read_file", {"path": "./a.py", "offset": 9}, LONG))
    other = talk.step(("read_file", {"path": "b.py", "offset": 9}, LONG))
    talk.step(("read_file", {"path": "a.py"}, LONG), ("read_file", {"path": "b.py", "offset": 90}, LONG))
    assert talk.shortened(1) == [(part, 0)]
    assert talk.shortened()[-1] == (other, 0)


def test_unchanged_since_you_read_it_keeps_what_was_read() -> None:
    talk = Talk()
    old = talk.step(("read_file", {"path": "old.py"}, LONG))
    talk.step(("read_file", {"path": "a.py"}, LONG))
    talk.step(("read_file", {"path": "a.py"}, "a.py is unchanged since you read lines 1-400 above."))
    talk.add(Assistant("done"))
    assert talk.shortened(1) == [(old, 0)]


def test_a_file_that_was_changed_since_is_not_what_was_read() -> None:
    talk = Talk()
    talk.step(("read_file", {"path": "old.py"}, LONG))
    read = talk.step(("read_file", {"path": "a.py"}, LONG))
    talk.add(Assistant("done"))
    assert talk.shortened(1, a_py=read + 5) == [(read, 0)]
    assert talk.shortened(1, a_py=read - 1) == [(1, 0)]


def test_a_failure_that_was_mended_is_useless() -> None:
    talk = Talk()
    talk.step(("read_file", {"path": "old.py"}, LONG))
    failed = talk.step(("edit_file", {"path": "a.py", "old": "x", "new": "y"}, f"Error [missing]: no\n{LONG}"))
    alone = talk.step(("edit_file", {"path": "b.py", "old": "x", "new": "y"}, f"Error [missing]: no\n{LONG}"))
    talk.step(("edit_file", {"path": "a.py", "old": "z", "new": "y"}, "edited"))
    talk.add(Assistant("done"))
    assert talk.shortened(1) == [(failed, 0)]
    assert talk.shortened()[-1] == (alone, 0)


def test_arguments_that_cannot_be_read_are_about_themselves() -> None:
    talk = Talk()
    first = talk.step(("f", "[" * 50_000, LONG), ("f", "{", LONG))
    talk.step(("f", "{", LONG))
    talk.add(Assistant("done"))
    assert talk.shortened(1) == [(first, 1)]


def test_a_result_whose_answer_was_summed_up_can_still_be_shortened() -> None:
    talk = Talk()
    talk.add(ToolReturn("f:0", "shell", LONG), (3, 0))
    talk.add(Assistant("done"))
    assert talk.shortened() == [(3, 0)]


def test_the_newest_step_is_what_the_model_has_not_read() -> None:
    talk = Talk()
    assert find_newest_step(talk.items) == 0
    talk.add(user_message("go"))
    assert find_newest_step(talk.items) == 0
    talk.step(("f", "{}", "x"), ("f", "{}", "y"))
    assert find_newest_step(talk.items) == 1
    talk.add(user_message("and this"))
    assert find_newest_step(talk.items) == 1
    talk.add(Assistant("done"))
    assert find_newest_step(talk.items) == 6
    talk.add(user_message("next"))
    assert find_newest_step(talk.items) == 6


def test_a_flood_keeps_its_ends_and_goes_to_a_file(golden: Golden) -> None:
    kept: dict[str, str] = {}

    def keep(text: str) -> str:
        name = f"output:{len(kept)}"
        kept[name] = text
        return name

    talk = Talk()
    flood = "".join(f"line {number}\n" for number in range(6_000))
    answer = talk.step(*(("read_file", {"path": f"{number}"}, flood) for number in range(4)), ("f", "{}", "small"))
    done = shorten_oversized(talk.items, 4_000, keep)
    assert [(short.answer, short.index) for short in done.results] == [(answer, index) for index in range(4)]
    assert set(kept.values()) == {flood}
    first = done.results[0].text
    assert first.startswith("line 0\nline 1\n")
    assert first.endswith("line 5999\n")
    line = first[: first.index("[")].count("\n") + 1
    (notice,) = (each for each in first.splitlines() if each.startswith("["))
    assert f'read_file(path="output:0", offset={line})]' in notice
    assert sum(item.size for item in talk.items) - done.freed < 4_400
    golden(notice, LEFT=notice[1:].split()[0], OFFSET=f"offset={line}")


def test_small_results_of_a_flood_leave_their_share_to_the_big_ones() -> None:
    talk = Talk()
    talk.step(("f", "{}", "x" * 8_000), ("f", "{}", "x" * 1_000), ("f", "{}", "x" * 80_000))
    done = shorten_oversized(talk.items, 12_000, lambda text: "output:1")
    assert [short.index for short in done.results] == [2]
    assert 35_000 < len(done.results[0].text) < 42_000


def test_a_step_within_its_share_is_left_as_it_is() -> None:
    talk = Talk()
    talk.step(("f", "{}", LONG))
    assert shorten_oversized(talk.items, 10_000, lambda text: "output:1") == Shortening()


def test_where_nothing_can_be_stored_the_log_still_has_it() -> None:
    def full(text: str) -> str:
        raise OSError(28, "No space left on device")

    talk = Talk()
    answer = talk.step(("f", "{}", "中" * 50_000))
    (short,) = shorten_oversized(talk.items, 2_000, full).results
    assert f'recall(id="{answer}.0") shows it]' in short.text
    assert len(short.text) < 2_300
