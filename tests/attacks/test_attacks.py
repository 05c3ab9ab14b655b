"""Attacks by a hostile model or repository on the real program, each in four modes, with harmless aims."""

from pathlib import Path

import pytest

from tests.attacks import cases_of_commands, cases_of_paths, cases_of_rules
from tests.attacks.attack_case import EXPECTED, MODES, Case, Mode, make_attacked_place, play_case
from tests.attacks.judging import write_tree
from tests.cli.conftest import PROGRAM
from tests.cli.fork_server import ForkServer
from tests.faces.terminal_driver import Terminal

pytestmark = pytest.mark.attacks

CASES = (*cases_of_rules.CASES, *cases_of_paths.CASES, *cases_of_commands.CASES)


def in_each_mode(case: Case) -> list[object]:
    """The case in four modes; what only a sandbox could hold is expected to fail where a command runs unasked."""
    found: list[object] = []
    for mode in MODES:
        beyond = case.sandbox and mode == "yolo"
        marks = [pytest.mark.xfail(reason=case.sandbox, strict=True)] if beyond else []
        name = "".join(each if each.isprintable() else "?" for each in case.name)
        found.append(pytest.param(case, mode, marks=marks, id=f"{name} [{mode}]"))
    return found


@pytest.mark.parametrize(("case", "mode"), [each for case in CASES for each in in_each_mode(case)])
def test_an_attack_comes_to_what_the_mode_allows(
    case: Case, mode: Mode, tmp_path: Path, fork_server: ForkServer
) -> None:
    outcome = play_case(case, mode, make_attacked_place(tmp_path), tmp_path, fork_server)
    assert "Traceback" not in outcome.stderr
    assert outcome.exit_code != 70  # a bug of ours
    assert EXPECTED[case.expected(mode)](outcome), f"expected: {case.expected(mode)}; {outcome}"


def test_the_cases_have_names_of_their_own() -> None:
    names = [case.name for case in CASES]
    assert sorted(names) == sorted(set(names))


def test_r10_a_tool_that_changes_while_its_folder_is_asked_about_is_not_loaded(tmp_path: Path) -> None:
    place = make_attacked_place(tmp_path)
    mark, question = tmp_path / "MARK", "[y/N]"
    write_tree(place.workspace, {".kimi-agent/tools/x.py": '"""Nothing yet."""\n'})
    (tmp_path / "tape.jsonl").write_text('{"say": "Hello."}\n')
    argv = ("-m", f"tape:{tmp_path / 'tape.jsonl'}")
    terminal = Terminal(tmp_path, *argv, program=PROGRAM, cwd=place.workspace, KIMI_AGENT_HOME=str(tmp_path / "agent"))
    try:
        terminal.until(question)
        write_tree(place.workspace, {".kimi-agent/tools/x.py": f"open({str(mark)!r}, 'w').close()\n"})
        terminal.press("y\n")
        while terminal.shown().count(question) < 2 and "mode ask" not in terminal.shown():
            assert terminal.read()
        if "mode ask" not in terminal.shown():
            terminal.press("n\n")
        terminal.ready("mode ask")
        terminal.press("hi\r")  # the agent is open once it answers
        terminal.ready("Hello.")
        assert not mark.exists()
    finally:
        terminal.close()
