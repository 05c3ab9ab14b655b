"""Table of shell commands: each gets the verdict that a careful person would give, and gets it at once."""

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.attacks.judging import Place, judge_command, make_place

ACCEPTED = {"allow": {"allow"}, "ask": {"ask"}, "deny": {"deny"}, "held": {"ask", "deny"}, "sandbox": {"allow"}}
SIGNS = str.maketrans("⏎␉␍␀␛", "\n\t\r\0\x1b")
MAX_JUDGED_S = 0.005  # the median, of CPU: other tests run beside this one


@dataclass(frozen=True)
class Row:
    """A row of the table: `rule` is as it stands there, `command` as a shell would get it, placeholders unfilled."""

    line: int
    rule: str
    verdict: str
    command: str


def read_table() -> list[Row]:
    text = Path(__file__).with_name("commands.tsv").read_text("utf-8")
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line and not line.startswith("#"):
            rule, verdict, command = line.split("\t")
            found.append(Row(number, rule, verdict, command.translate(SIGNS)))
    return found


TABLE = read_table()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """One for the whole table: a verdict changes nothing."""
    return make_place(tmp_path_factory.mktemp("judged"))


def judge(row: Row, place: Place) -> str:
    """The verdict; the name of the error where there is none."""
    allow, deny = ([row.rule[1:]] if row.rule.startswith(sign) else [] for sign in "+-")
    try:
        return judge_command(place.filled(row.command), "ask" if allow else "yolo", place, allow=allow, deny=deny)
    except Exception as error:  # one bug must not hide the verdicts on all rows behind it
        return repr(error)


def wrong_rows(rows: list[Row], place: Place) -> list[str]:
    """One line for each row that is judged otherwise."""
    found = []
    for row in rows:
        seen = judge(row, place)
        if seen not in ACCEPTED[row.verdict]:
            found.append(f"commands.tsv:{row.line}: {seen}, not {row.verdict}: {row.rule} {row.command!r}")
    return found


@pytest.mark.parametrize("sign", ["", "+", "-"], ids=["yolo", "ask with an allow rule", "yolo with a deny rule"])
def test_each_command_gets_the_verdict_of_a_careful_person(place: Place, sign: str) -> None:
    wrong = wrong_rows([row for row in TABLE if row.rule[:1] == sign], place)
    assert not wrong, f"{len(wrong)} rows\n" + "\n".join(wrong)


def test_the_table_is_large_and_about_half_of_it_is_everyday_work() -> None:
    verdicts = Counter(row.verdict for row in TABLE if not row.rule)
    assert len(TABLE) >= 400
    assert len({(row.rule, row.command) for row in TABLE}) == len(TABLE)
    assert set(verdicts) <= set(ACCEPTED)
    assert 0.4 < verdicts["allow"] / verdicts.total() < 0.6


@pytest.mark.parametrize(
    "command",
    [
        "true && " * 60 + "curl x",
        "echo " + "a" * 12_000 + "; curl x",
        "echo" + " " * 2_000 + "; curl x",
        "echo" + "\n" * 2_000 + "curl x",
        "echo \u200b\u202e; curl x",
        "(" * 40 + "curl x" + ")" * 40,
        "# " + "a" * 5_000 + "\ncurl x",
    ],
    ids=["60 commands", "a long word", "blanks", "empty lines", "invisible", "nested", "below a comment"],
)
def test_a_denied_command_is_denied_however_far_back_it_stands(place: Place, command: str) -> None:
    assert judge_command(command, "yolo", place, deny=["shell(curl)"]) == "deny"
    assert judge_command(command.replace("curl x", "rm -rf ~"), "yolo", place) == "deny"
    assert judge_command(command, "ask", place, allow=["shell(echo)", "shell(true)"]) == "ask"


def test_words_that_are_long_are_read_in_time(place: Place) -> None:
    began = time.process_time()
    for text in ("test '" + "a[" * 40_000 + "'", "sed '" + "w " * 40_000 + "'", "f " + "rm " * 3_900):
        judge_command(text, "yolo", place)
    assert time.process_time() - began < 3


def test_a_command_is_judged_at_once(place: Place) -> None:
    took = []
    for row in TABLE:
        began = time.process_time()
        judge(row, place)
        took.append(time.process_time() - began)
    assert sorted(took)[len(took) // 2] < MAX_JUDGED_S
