"""Running programs and shell commands: how they end, what they print, where they stand."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.workspace.process.process_runner import ProcessRunner, shell_argv
from tests.builders import make_runner

CANARY = "sk-canary-0123456789"


def make(root: Path, state: Path, **given: Any) -> ProcessRunner:
    return make_runner(root, state, **({"environ": {**os.environ, "KIMI_API_KEY": CANARY}} | given))


@pytest.fixture
async def runner(workspace: Path, tmp_path: Path) -> AsyncIterator[ProcessRunner]:
    runner = make(workspace, tmp_path)
    yield runner
    await runner.aclose()


async def test_stdout_and_stderr_come_in_order_with_the_exit_code(runner: ProcessRunner, tmp_path: Path) -> None:
    done = await runner.shell("echo one; echo two >&2; echo three; exit 7", timeout_s=30)
    assert (done.exit_code, done.text, done.total_bytes, done.total_lines) == (7, "one\ntwo\nthree\n", 14, 3)
    assert (done.timed_out, done.cut_off, done.output, done.note) == (False, False, "", "")
    assert not (tmp_path / "outputs").exists()
    assert list((tmp_path / "running").iterdir()) == []


async def test_a_signal_is_128_and_its_number(runner: ProcessRunner) -> None:
    assert (await runner.shell("kill -9 $$", timeout_s=30)).exit_code == 137


async def test_there_is_no_stdin_and_no_terminal(runner: ProcessRunner) -> None:
    done = await runner.shell("cat; read x; echo $?; (exec </dev/tty) 2>/dev/null || echo no terminal", timeout_s=30)
    assert done.text == "1\nno terminal\n"


async def test_no_key_reaches_a_child(runner: ProcessRunner) -> None:
    done = await runner.shell("env; tr '\\0' '\\n' </proc/$$/environ", timeout_s=30)
    assert CANARY not in done.text
    assert "PATH=" in done.text


@pytest.mark.parametrize("environ", [{}, {"": "x", "PATH": "", "LANG": "\ud800", "HOME": "\0"}])
async def test_an_empty_or_garbled_environment_is_enough_for_a_shell(
    workspace: Path, tmp_path: Path, environ: dict[str, str]
) -> None:
    runner = make(workspace, tmp_path, environ=environ)
    assert (await runner.shell("ls / >/dev/null && echo ok", timeout_s=30)).text == "ok\n"


async def test_the_extra_variables_of_a_run_are_set(runner: ProcessRunner) -> None:
    done = await runner.run([sys.executable, "-c", "import os; print(os.environ['A'])"], timeout_s=30, env={"A": "b c"})
    assert done.text == "b c\n"


async def test_the_directory_persists_while_it_is_inside(runner: ProcessRunner, workspace: Path) -> None:
    assert (await runner.shell("mkdir -p 'a b/c' && cd 'a b/c'; false", timeout_s=30)).cwd == workspace / "a b" / "c"
    assert (await runner.shell("pwd", timeout_s=30)).text == f"{workspace}/a b/c\n"
    done = await runner.shell("cd /; pwd", timeout_s=30)
    assert (done.text, done.cwd) == ("/\n", workspace / "a b" / "c")
    assert "ended in /, outside the workspace" in done.note
    assert (await runner.shell("cd ../..", timeout_s=30)).cwd == workspace


async def test_an_exit_and_a_directory_named_with_a_newline_are_reported_too(
    runner: ProcessRunner, workspace: Path
) -> None:
    done = await runner.shell("mkdir $'x\\ny'; cd $'x\\ny'; exit 3", timeout_s=30)
    assert (done.exit_code, done.cwd) == (3, workspace / "x\ny")


async def test_a_link_that_leads_outside_is_no_way_out(runner: ProcessRunner, workspace: Path, tmp_path: Path) -> None:
    (workspace / "out").symlink_to(tmp_path)
    assert (await runner.shell("cd out", timeout_s=30)).cwd == workspace
    with pytest.raises(ToolError, match="outside the workspace"):
        await runner.shell("pwd", timeout_s=30, cwd=workspace / "out")
    for place in (Path("/"), workspace / ".."):
        with pytest.raises(ToolError, match="outside the workspace"):
            await runner.shell("pwd", timeout_s=30, cwd=place)


async def test_a_working_directory_that_is_gone_is_said_once(runner: ProcessRunner, workspace: Path) -> None:
    await runner.shell("mkdir gone; cd gone", timeout_s=30)
    (workspace / "gone").rmdir()
    with pytest.raises(ToolError, match="gone is gone"):
        await runner.shell("pwd", timeout_s=30)
    assert (await runner.shell("pwd", timeout_s=30)).text == f"{workspace}\n"


async def test_a_workspace_that_is_gone_is_an_error_each_time(workspace: Path, tmp_path: Path) -> None:
    runner = make(workspace, tmp_path)
    workspace.rmdir()
    for _ in range(2):
        with pytest.raises(ToolError, match="the workspace "):
            await runner.shell("pwd", timeout_s=30)


@pytest.mark.parametrize("name", ["bash", "sh"])
async def test_each_shell_reports_where_it_ended_whatever_ends_it(runner: ProcessRunner, name: str) -> None:
    for command, code in [("cd /", 0), ("cd / && exit 3", 3), ("cd /; set -e; false; echo no", 1)]:
        done = await runner.run(shell_argv(runner.which(name) or name, command, report=1), timeout_s=30)
        assert (done.exit_code, done.text) == (code, "/\n")


async def test_tracing_and_errexit_do_not_show_our_own_lines(runner: ProcessRunner) -> None:
    done = await runner.shell("set -ex; true; false", timeout_s=30)
    assert (done.exit_code, done.text) == (1, "+ true\n+ false\n")


async def test_the_shells_messages_count_the_commands_own_lines(runner: ProcessRunner) -> None:
    done = await runner.shell("true\nno-such-command-anywhere", timeout_s=30)
    assert "line 2" in done.text
    assert done.exit_code == 127


async def test_progress_is_collapsed_and_escapes_are_gone(runner: ProcessRunner) -> None:
    done = await runner.shell("printf '1%%\\r50%%\\r100%%\\n\\033[31mred\\033[0m \\377\\n'", timeout_s=30)
    assert done.text == "100%\nred \ufffd\n"


async def test_long_output_keeps_its_ends_and_the_whole_on_disk(runner: ProcessRunner, tmp_path: Path) -> None:
    done = await runner.shell("seq 1 100000", timeout_s=60)
    assert done.text.startswith("1\n2\n3\n")
    assert done.text.endswith("99999\n100000\n")
    assert (done.total_bytes, done.total_lines) == (588_895, 100_000)
    assert done.output in done.text
    assert len(done.text) < 28_200
    whole = (tmp_path / "outputs" / done.output.removeprefix("output:")).read_text()
    assert whole == "".join(f"{number}\n" for number in range(1, 100_001))


async def test_progress_that_collapses_to_little_leaves_no_file(runner: ProcessRunner, tmp_path: Path) -> None:
    done = await runner.shell(
        "for i in $(seq 20000); do printf 'step %s of many, please wait\\r' $i; done", timeout_s=60
    )
    assert (done.text, done.output) == ("step 20000 of many, please wait", "")
    assert list((tmp_path / "outputs").glob("*")) == []


async def test_output_that_cannot_be_spooled_does_not_stop_the_run(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("a file where the folder should be")
    runner = make(workspace, tmp_path)
    done = await runner.shell("seq 1 100000", timeout_s=60)
    assert (done.exit_code, done.output, done.total_lines) == (0, "", 100_000)
    assert "could not be kept: " in done.text


async def test_a_state_folder_that_cannot_be_written_does_not_stop_the_run(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "running").write_text("a file where the folder should be")
    runner = make(workspace, tmp_path)
    assert (await runner.shell("echo ok", timeout_s=30)).text == "ok\n"


async def test_a_timeout_keeps_what_was_printed(runner: ProcessRunner) -> None:
    done = await runner.shell("echo before; sleep 999", timeout_s=1)
    assert (done.exit_code, done.timed_out, done.cut_off, done.text) == (None, True, False, "before\n")


async def test_a_timeout_lets_the_program_clean_up(runner: ProcessRunner, workspace: Path) -> None:
    done = await runner.shell("trap 'echo cleaning; exit 0' TERM; echo up; while :; do sleep 0.05; done", timeout_s=1)
    assert done.timed_out
    assert done.text.startswith("up\n")
    assert done.text.endswith("cleaning\n")


async def test_a_background_child_that_holds_the_pipe_is_not_waited_for(runner: ProcessRunner, tmp_path: Path) -> None:
    async with asyncio.timeout(30):
        done = await runner.shell("(sleep 999 &); echo done", timeout_s=60)
    assert (done.exit_code, done.text) == (0, "done\n")
    assert "still running in the background" in done.note
    assert len(list((tmp_path / "running").iterdir())) == 1
    await runner.aclose()
    assert list((tmp_path / "running").iterdir()) == []


async def test_a_background_child_can_go_on_writing(runner: ProcessRunner, workspace: Path) -> None:
    os.mkfifo(workspace / "go")
    os.mkfifo(workspace / "wrote")
    # SIGPIPE would end the loop before it answers on the second fifo.
    script = "(read x <go; for i in 1 2 3; do echo $i; done; echo still here >wrote) & echo started"
    assert (await runner.shell(script, timeout_s=30)).text == "started\n"
    done = await runner.shell("echo x >go; cat wrote", timeout_s=30)
    assert done.text == "still here\n"


async def test_the_newest_line_is_reported_while_it_runs(runner: ProcessRunner) -> None:
    reported: list[str] = []
    await runner.shell("printf 'a\\n\\n'; printf ' 10%%\\r 20%%'; exit", timeout_s=30, on_output=reported.append)
    assert reported
    assert reported[0] in ("a", "20%")


async def test_lines_are_reported_at_most_ten_times_a_second(runner: ProcessRunner) -> None:
    reported: list[str] = []
    done = await runner.shell(
        "for i in $(seq 200); do echo $i; sleep 0.002; done", timeout_s=60, on_output=reported.append
    )
    assert 1 <= len(reported) <= done.duration_s * 10 + 1


async def test_a_missing_program_is_said_in_one_sentence(runner: ProcessRunner, tmp_path: Path) -> None:
    for name in ("no-such-program", "/no/such/program", "./no-such"):
        with pytest.raises(ToolError, match="there is no program") as caught:
            await runner.run([name], timeout_s=30)
        assert caught.value.code == "missing"
    assert list((tmp_path / "running").iterdir()) == []


async def test_what_cannot_be_started_is_a_tool_error(runner: ProcessRunner, workspace: Path) -> None:
    (workspace / "data").write_text("not a program")
    (workspace / "data").chmod(0o755)
    with pytest.raises(ToolError, match="could not be started"):
        await runner.run([str(workspace / "data")], timeout_s=30)
    with pytest.raises(ToolError, match="no directory"):
        await runner.run(["true"], timeout_s=30, cwd=workspace / "nowhere")
    for command, text in [("a\0b", "NUL"), ("\ud800", "surrogate"), ("x" * 3_000_000, "too long")]:
        with pytest.raises(ToolError, match=text) as caught:
            await runner.shell(command, timeout_s=30)
        assert caught.value.code == "bad_arguments"


async def test_programs_of_the_workspace_never_stand_in_for_ours(workspace: Path, tmp_path: Path) -> None:
    for name in ("bash", "rg", "true"):
        (workspace / name).write_text("#!/bin/sh\necho owned\n")
        (workspace / name).chmod(0o755)
    (tmp_path / "link").symlink_to(workspace)
    path = f".:{workspace}::{tmp_path}/link:{os.environ['PATH']}"
    runner = make(workspace, tmp_path, environ={"PATH": path})
    for name in ("bash", "true"):
        found = runner.which(name)
        assert found is not None
        assert not Path(found).resolve().is_relative_to(workspace)
    assert (await runner.shell("echo mine", timeout_s=30)).text == "mine\n"
    assert (await runner.run(["true"], timeout_s=30)).text == ""


async def test_a_sandbox_wraps_the_whole_command(workspace: Path, tmp_path: Path) -> None:
    env = "/usr/bin/env"
    runner = make_runner(workspace, tmp_path, wrap=lambda argv: [env, "WRAPPED=yes", *argv])
    assert (await runner.shell("echo $WRAPPED", timeout_s=30)).text == "yes\n"


async def test_raw_output_goes_to_a_sink_that_can_stop_it(runner: ProcessRunner) -> None:
    got = bytearray()

    def take(data: bytes) -> bool:
        got.extend(data)
        return len(got) < 1_000_000

    fed = await runner.feed(["yes"], take, timeout_s=60)
    assert (fed.exit_code, fed.stopped, fed.timed_out) == (None, True, False)
    assert bytes(got[:4]) == b"y\ny\n"
    bash = runner.which("bash") or ""
    got.clear()
    fed = await runner.feed([bash, "-c", "printf 'a\\033b'; echo oh >&2; exit 4"], take, timeout_s=60)
    assert (bytes(got), fed.exit_code, fed.errors) == (b"a\x1bb", 4, "oh\n")
    fed = await runner.feed(["sleep", "999"], take, timeout_s=0.2)
    assert (fed.exit_code, fed.timed_out) == (None, True)
