"""Which commands a shell text runs, wherever in it they stand."""

from pathlib import Path

import pytest

from kimi_agent.guard.shell.denied_words import ANYWHERE
from kimi_agent.guard.shell.expansion import ShellState, join_parts, split_path
from kimi_agent.guard.shell.invocation import Invocation
from kimi_agent.guard.shell.invocations import find_invocations
from kimi_agent.guard.shell.syntax.parser import ASCII_ONLY
from kimi_agent.guard.shell.syntax.words import words_text

HOME, WORKSPACE = Path("/home/me"), Path("/home/me/app")


def walked(text: str) -> tuple[Invocation, ...]:
    return find_invocations(text, ShellState(HOME, WORKSPACE, (split_path(WORKSPACE),))).invocations


def commands(text: str) -> list[str]:
    """The commands that surely run, each as a line."""
    return [words_text(each.words) for each in walked(text) if each.words and each.certain]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b; c", ["a b", "c"]),
        ("a && b || c | d &", ["a", "b", "c", "d"]),
        ("(a); { b; }; ! c", ["a", "b", "c"]),
        ("if a; then b; elif c; then d; else e; fi", ["a", "b", "c", "d", "e"]),
        ("for x in 1 2; do a $x; done", ["a ${x}"]),
        ("while a; do b; done; until c; do d; done", ["a", "b", "c", "d"]),
        ("case $x in rm) a;; *) b;; esac", ["a", "b"]),
        ("f() { a; }; f", ["a", "f"]),
        ("a $(b `c`) <(d) \"$(e)\"", ["c", "b ${_}", "d", "e", "a ${_} ${_} ${_}"]),
        ("a ${x:-$(f)} $((1 + $(g)))", ["f", "g", "a ${_} ${_}"]),
        ("[[ -f $(a) ]]; (( $(b) )); export X=$(c)", ["a", "b", "c", "export X=${_}"]),
        ("cat <<E && b\n$(a)\nE", ["a", "cat", "b"]),
        ("cat <<E | sh\na b\nE", ["cat", "sh", "a b"]),
        ("bash <<'E'\na\nb\nE", ["bash", "a", "b"]),
        ("sh -c 'a; b'", ["sh -c a; b", "a", "b"]),
        ("eval a b; trap 'c' EXIT; alias x='d'", ["eval a b", "a b", "trap c EXIT", "c", "alias x=d", "d"]),
        ("echo 'a b' | sh", ["echo a b", "sh", "a b"]),
        ("echo > f hello", ["echo hello"]),
        ("X='a b' ; $X c", ["a b c"]),
        ("X=a; X+=' b'; $X", ["a", "a b"]),
        ("sudo -u me -- a b", ["sudo -u me -- a b", "a b"]),
        ("timeout -k 1 5 nice -n 3 a", ["timeout -k 1 5 nice -n 3 a", "nice -n 3 a", "a"]),
        ("env -u X A=b a", ["env -u X A=b a", "a"]),
        ("xargs -n 1 -0 a b", ["xargs -n 1 -0 a b", "a b"]),
        ("find . -name x -exec a {} \\; -exec b {} +", ["find . -name x -exec a {} ; -exec b {} +", "a {}", "b {}"]),
        ("fd x -x a", ["fd x -x a", "a"]),
        ("ssh -p 2 host 'a; b'", ["ssh -p 2 host a; b", "a", "b"]),
        ("npm exec -c 'a b'", ["npm exec -c a b", "a b"]),
        ("docker run --rm -v x:/x image a b", ["docker run --rm -v x:/x image a b", "a b"]),
        ("git -c alias.x='!a b' x", ["git -c alias.x=!a b x", "a b"]),
        ("make -f - <<'E'\nall:\n\ta b\nE", ["make -f -", "a b"]),
        ("vim -c '!a b'", ["vim -c !a b", "a b"]),
        ("awk 'BEGIN{system(\"a b\")}'", ["awk BEGIN{system(\"a b\")}", "a b"]),
        ("time a; coproc b; command c", ["time a", "a", "coproc b", "b", "command c", "c"]),
    ],
)  # fmt: skip
def test_every_command_is_found(text: str, expected: list[str]) -> None:
    assert commands(text) == expected


@pytest.mark.parametrize(
    ("text", "folders"),
    [
        ("cd x && a", ["x"]),
        ("cd x; a", ["x", "."]),
        ("cd x || exit 1; a", ["x"]),
        ("set -e; cd x; a", ["x"]),
        ("(cd x && b); a", ["."]),
        ("cd x | b; a", ["."]),
        ("cd x & a", ["."]),
        ("cd x && cd .. && a", ["."]),
        ("if true; then cd x; fi; a", ["x", "."]),
        ("cd x && b; a", ["x", "."]),
    ],
)
def test_the_folders_that_a_command_may_run_in(text: str, folders: list[str]) -> None:
    cwds = [each.state.cwds for each in walked(text) if each.name == "a"][-1]
    assert [join_parts(cwd or ()) for cwd in cwds] == [str(WORKSPACE / folder) for folder in folders]


def test_what_feeds_and_what_launches_a_command_is_known() -> None:
    found = walked("find . | xargs sudo rm")[-1]
    assert (found.name, [each.name for each in found.fed]) == ("rm", ["find"])
    assert [launch.name for launch in found.launchers] == ["xargs", "sudo"]
    assert [each.name for each in walked("rm $(ls)")[-1].substituted] == ["ls"]
    assert [each.remote for each in walked("ssh host ls")] == [False, True]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ls -la | wc -l", ""),
        ("ls \\\n  -l", ""),
        ("cat <<'E' > x\na\\\nb `c` \r\nE", "a control character (U+000D)"),
        ("cat <<'E' > x\na\\\nb `c`\nE", ""),
        ("r\\\nm x", "a word continued on the next line"),
        ("rm\x00 x", "a control character (U+0000)"),
        ("echo cm0K | base64 -d | sh", "a text for a shell that only the run shows"),
        ("echo 'x", "something that is no plain shell grammar"),
        ("echo 'q'\\ b", "characters that the grammar passes over"),
        ("cat <<E\n`x`\nE", "a substitution that is not read for sure"),
        ("a; " * 40_000, "more than 100,000 characters"),
    ],
)
def test_a_text_that_is_not_read_for_sure_says_why(text: str, why: str) -> None:
    assert find_invocations(text, ANYWHERE).unclear == why


def test_characters_beyond_ascii_are_parts_of_words_and_never_reach_the_grammar() -> None:
    text = "é=1 ls; echo 日本; rm 'ü' #\U0001f44d"
    assert commands(text) == ["é=1 ls", "echo 日本", "rm ü"]
    assert not find_invocations(text, ANYWHERE).unclear
    assert text.encode().translate(ASCII_ONLY).isascii()
