"""Properties of the shell reading: it never raises, takes bounded time, and misses no command that bash would run."""

import re
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kimi_agent.guard.destructive.forbidden import find_forbidden_effect
from kimi_agent.guard.destructive.losses import find_losses
from kimi_agent.guard.shell.denied_words import ANYWHERE
from kimi_agent.guard.shell.expansion import ShellState
from kimi_agent.guard.shell.invocations import find_invocations

PLACE = ShellState(Path("/home/me"), Path("/home/me/app"), (("home", "me", "app"),))
NAMES = [f"prog{number}" for number in range(12)]
PIECES = [
    *("a", "rm", "-rf", "~", "/", "x=1", "$x", "${x:-y}", '"', "'", "`", "$(", ")", "(", "{", "}", ";", "&", "&&"),
    *("||", "|", "\n", "<", ">", ">>", "<<E", "<<<", "E\n", "\\", "\\\n", "#", "*", "[", "[[", "]]", "((", "))", "if"),
    *("then", "fi", "for", "in", "do", "done", "case", "esac", ";;", "function", "time", "!", "xargs", "sudo", "env"),
    *("find", "\0", "-exec", "sh", "-c", "eval", "cd", "..", "$'\\x41'", '$"', "é", "\u2028", "\udcff", "\r", " ", " "),
    *(" ", "docker", "-v"),
]  # fmt: skip
OPERANDS = ["x", "'a|b'", '"c"', "-f", "$y", '"${z}"', "a=b", "~", "{1,2}", "*.c", "\\;", "2>&1", "<in", ">out"]


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join) | st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_no_text_is_too_odd_to_be_judged(text: str) -> None:
    began = time.process_time()
    find_forbidden_effect(text, home=PLACE.home, workspace=PLACE.workspace)
    find_losses(text, home=PLACE.home, workspace=PLACE.workspace)
    find_invocations(text, ANYWHERE)
    assert time.process_time() - began < 2


def simple() -> st.SearchStrategy[str]:
    """A command with arguments that are only data."""
    words = st.sampled_from(
        ["x", "'a b'", '"c"', "-f", "$y", '"${z}"', "a=b", "~", "{1,2}", "*.c", "\\;", "2>&1", "<in", ">out"]
    )
    return st.tuples(st.sampled_from(NAMES), st.lists(words, max_size=3)).map(
        lambda made: " ".join((made[0], *made[1]))
    )


def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """The ways in which a shell text holds another."""
    two = st.tuples(inner, inner)
    joined = [" && ", " || ", " | ", "; ", "\n", " & "]
    wrapped = [
        *("( {} )", "{{ {}; }}", "if {}; then :; fi", "if :; then {}; fi", "while {}; do break; done", "! {}"),
        *("for i in 1; do {}; done", "case x in x) {} ;; esac", 'echo "$( {} )"', "echo `{}`", "echo <({})"),
        *("f() {{ {}; }}; f", "x=$( {} )", "[[ -n $( {} ) ]]", "echo $(( $({}) + 1 ))", "echo ${{v:-$({})}}"),
        *("cat <<EOT\n$( {} )\nEOT\n", "echo a >$( {} )", "export x=$( {} )", "{} <<'EOT'\n$(no)\nEOT\n", "{}; # c\n"),
    ]  # fmt: skip
    either = st.sampled_from(joined).flatmap(lambda by: two.map(by.join))
    return either | st.tuples(st.sampled_from(wrapped), inner).map(lambda made: made[0].format(made[1]))


@given(st.recursive(simple(), nested, max_leaves=6))
@settings(max_examples=150, deadline=None)
def test_every_program_that_bash_would_run_is_found(text: str) -> None:
    checked = subprocess.run(["bash", "-n"], input=text, capture_output=True, encoding="utf-8", check=False)
    assume(checked.returncode == 0 and not checked.stderr)
    found = {made.name for made in find_invocations(text, PLACE).invocations}
    assert set(re.findall(r"prog\d+", text)) <= found


@pytest.mark.parametrize(
    "quote", ["sh -c {}", "eval {}", "bash <<< {}", "echo {} | sh", "trap {} EXIT", "sudo bash -c {}"]
)
@given(st.recursive(simple(), nested, max_leaves=3))
@settings(max_examples=30, deadline=None)
def test_a_text_that_a_shell_is_given_is_read_as_well(quote: str, text: str) -> None:
    assume("'" not in text and "\\" not in text and "*" not in text)
    checked = subprocess.run(["bash", "-n"], input=text, capture_output=True, encoding="utf-8", check=False)
    assume(checked.returncode == 0 and not checked.stderr)
    found = {made.name for made in find_invocations(quote.format(f"'{text}'"), PLACE).invocations}
    assert set(re.findall(r"prog\d+", text)) <= found


def test_a_command_is_judged_within_milliseconds() -> None:
    texts = [
        "cd src && make -j4 2>&1 | tee log",
        "find . -name '*.pyc' -delete",
        "rm -rf build",
        "sudo sh -c 'a; b'",
    ] * 25
    find_invocations(texts[0], ANYWHERE)
    began = time.process_time()
    for text in texts:
        find_forbidden_effect(text, home=PLACE.home, workspace=PLACE.workspace)
        find_losses(text, home=PLACE.home, workspace=PLACE.workspace)
        find_invocations(text, ANYWHERE)
    assert (time.process_time() - began) / len(texts) < 0.005
