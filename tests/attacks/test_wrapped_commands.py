"""Commands in random wrappings: none hides a catastrophe or a denied command, none makes an everyday one suspicious."""

import shlex
from collections.abc import Callable, Sequence
from functools import reduce

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.attacks.judging import Place, judge_command, make_place

CATASTROPHES = (
    "rm -rf ~", "rm -rf {home}", "rm -r -f $HOME/*", "find ~ -delete", "find {home} -type f -exec rm {} +",
    "chmod -R 000 ~", "mv ~ /tmp/x", "dd if=/dev/zero of=/dev/sda", "mkfs.ext4 /dev/sda1", "rm -rf ..",
    "rsync -a --delete build/ ~/", "find ~ -type f | xargs rm -f", "git clean -ffdx", "git push --force",
    "dropdb app", "X='rm -rf ~'; $X", "ln -s ~ l; rm -rf l/*", "echo x >> ~/.bashrc", "rm ~/.bashrc",
)  # fmt: skip
EVERYDAY = (
    "make", "rm -rf build", "pytest -q", "git status --short", "npm ci", "rm src/main.py", "grep -rn 'rm -rf ~' src",
    "echo 'rm -rf /'", "sed -i s/a/b/ src/main.py", "curl -fsS https://example.com -o src/x.json",
    "find . -name '*.pyc' -delete", "git commit -m 'no rm -rf ~'", "tar czf build/s.tgz src", "printf '%s\\n' ~",
)  # fmt: skip

WRAPPINGS: tuple[Callable[[str], str], ...] = (
    "(\n%s\n)".__mod__,
    "{\n%s\n} &".__mod__,
    "true && {\n%s\n}".__mod__,
    "false || (\n%s\n)".__mod__,
    "if true; then\n%s\nfi".__mod__,
    "for i in 1 2; do\n%s\ndone".__mod__,
    "until false; do\n%s\nbreak\ndone".__mod__,
    "case a in a)\n%s\n;; esac".__mod__,
    "f() {\n%s\n}; f".__mod__,
    "! {\n%s\n}".__mod__,
    "{\n%s\n} > build/log 2>&1".__mod__,
    "{\n%s\n} 2>&1 | tail -5".__mod__,
    'echo "$(\n%s\n)"'.__mod__,
    'x=$(\n%s\n); echo "$x"'.__mod__,
    "cat <(\n%s\n)".__mod__,
    "# a note\n%s".__mod__,
    "make\n%s".__mod__,
    "cd src && cd .. && {\n%s\n}".__mod__,
    "set -e\n%s\n".__mod__,
    "time {\n%s\n}".__mod__,
    lambda text: f"cat <<E_{len(text)}\n$(\n{text}\n)\nE_{len(text)}",
    lambda text: f"bash <<'E_{len(text)}'\n{text}\nE_{len(text)}",
    lambda text: f"bash -c {shlex.quote(text)}",
    lambda text: f"sh -ec {shlex.quote(text)}",
    lambda text: f"eval {shlex.quote(text)}",
    lambda text: f"env A=1 bash -c {shlex.quote(text)}",
    lambda text: f"timeout 60 sh -c {shlex.quote(text)}",
    lambda text: f"nohup nice bash -c {shlex.quote(text)} > build/out &",
    lambda text: f"trap {shlex.quote(text)} EXIT",
)
"""Each gives a whole list of commands of a whole list of commands, so that any may stand in any."""


def wrapped(commands: Sequence[str]) -> st.SearchStrategy[str]:
    """One of `commands` in up to three wrappings."""
    around = st.lists(st.sampled_from(WRAPPINGS), max_size=3)
    return st.tuples(st.sampled_from(commands), around).map(
        lambda given: reduce(lambda text, wrap: wrap(text), given[1], given[0])
    )


many = settings(
    max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("wrapped"))


@many
@given(wrapped(CATASTROPHES))
def test_no_wrapping_hides_a_catastrophe_or_a_loss(place: Place, text: str) -> None:
    assert judge_command(place.filled(text), "yolo", place) in ("ask", "deny")


@many
@given(wrapped(("curl x", "/usr/bin/curl x", "env curl x", "X=1 curl x")))
def test_no_wrapping_hides_a_denied_command(place: Place, text: str) -> None:
    assert judge_command(text, "yolo", place, deny=["shell(curl)"]) in ("ask", "deny")


@many
@given(wrapped(EVERYDAY))
def test_no_wrapping_makes_everyday_work_suspicious(place: Place, text: str) -> None:
    assert judge_command(text, "yolo", place) == "allow"
