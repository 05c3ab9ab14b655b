"""One-shot runs: what comes out where, and with which exit code."""

import io
import json
import os
import pty
import signal
import socket
import subprocess
import sys
from typing import Any

import pytest

from kimi_agent.faces.headless.stdin import PipedInput, join_prompt
from tests.cli.conftest import PROGRAM, Place, wait_until

KEYS = {
    "version", "status", "exit_code", "answer", "error", "session_id", "model", "steps", "files_changed", "tests",
    "usage", "cost_usd", "denials", "duration_s", "commit", "notices", "saved",
}  # fmt: skip


WRITES = {"calls": [{"name": "write_file", "args": {"path": "a", "content": "x"}}]}
SLEEPS = {"calls": [{"name": "shell", "args": {"command": "sleep 300"}}]}


@pytest.mark.parametrize(
    ("code", "argv", "lines"),
    [
        (1, [], [{"expect": {"last_contains": "something else"}, "say": "never"}]),
        (2, ["-r", "nope"], [{"say": "never"}]),
        (4, ["-y", "--require-green"], [WRITES, {"say": "All tests pass."}]),
        (53, ["-y", "--max-steps", "1"], [WRITES, {"say": "never"}]),
        (54, ["--max-budget-usd", "1"], [{"say": "never"}]),
        (55, ["-y", "--timeout", "1s"], [{"if": {"note_contains": "time"}, "say": "In vain."}, SLEEPS]),
        (65, ["-p", ""], [{"say": "never"}]),
        (77, [], [WRITES, {"say": "I could not."}]),
        (78, ["--set", "modle=x"], [{"say": "never"}]),
    ],
)
def test_the_program_itself_ends_with_the_code_of_each_kind_of_exit(
    place: Place, code: int, argv: list[str], lines: list[dict[str, Any]]
) -> None:
    """Started by its command; every other row in this folder is a fork of what is imported already."""
    prompt = [] if code == 65 else ["go"]
    done = place.launch("-m", place.tape(*lines), *argv, *prompt)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr


def test_the_answer_is_on_stdout_and_progress_on_stderr(place: Place) -> None:
    (place.root / "a.txt").write_text("one\ntwo\n")
    model = place.tape(
        {"say": "Let me look.", "calls": [{"name": "read_file", "args": {"path": "a.txt"}}]},
        {"say": "It has {{result|(\\d+)\\tt}} lines."},
    )
    done = place.launch("-m", model, "-p", "how long is a.txt?")
    assert (done.returncode, done.stdout) == (0, "It has 2 lines.\n")
    assert "read_file a.txt" in done.stderr
    assert "Let me look." in done.stderr


def test_quiet_says_nothing_on_stderr(place: Place) -> None:
    done = place.run("-m", place.tape({"say": "Hi."}), "-q", "-p", "hello")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Hi.\n", "")


@pytest.mark.parametrize(
    ("argv", "stdin", "prompt"),
    [
        (["-p", "why?"], b"line 1\nline 2\n", "why?\n\n<stdin>\nline 1\nline 2\n</stdin>"),
        ([], b"Fix the bug.\n", "Fix the bug.\n"),
        (["-p"], b"Fix the bug.\n", "Fix the bug.\n"),
        (["-p", "-"], b"Fix the bug.\n", "Fix the bug.\n"),
        (["fix", "the", "bug"], b"", "fix the bug"),
        (["--", "sessions"], b"", "sessions"),
        (["-p", "go"], b"\xef\xbb\xbfwith BOM\r\n", "go\n\n<stdin>\nwith BOM\n</stdin>"),
        (["-p", "go"], "ไทย 日本".encode("utf-16"), "go\n\n<stdin>\nไทย 日本\n</stdin>"),
        (["-p", "go"], b"bad \xff byte", "go\n\n<stdin>\nbad \ufffd byte\n</stdin>"),
        (["-p", "--yolo --config=/x"], b"", "--yolo --config=/x"),
    ],
)
def test_what_is_typed_and_what_is_piped_become_one_prompt(
    place: Place, argv: list[str], stdin: bytes, prompt: str
) -> None:
    if argv == ["-p", "--yolo --config=/x"]:
        argv = ["-p", "--", "--yolo --config=/x"]
    done = place.run("-m", place.tape({"say": "ok"}), "--output-format", "json", *argv, stdin=stdin)
    assert json.loads(done.stdout)["status"] == "done", done.stderr
    events = [json.loads(line)["event"] for line in place.logs()[0].read_text("utf-8").split("\n") if line]
    assert next(each["message"]["parts"][0]["text"] for each in events if each["type"] == "Said") == prompt


@pytest.mark.parametrize(
    ("argv", "stdin", "exit_code", "words"),
    [
        ([], b"", 65, "The prompt is empty"),
        (["-p"], b" \n", 65, "The prompt is empty"),
        (["-p", "go"], b"\x00\x01\x02", 65, "binary"),
        (["-p", "go", "--output-format", "xml"], b"", 2, "--output-format is one of text, json, stream-json"),
        (["-p", "go", "--permission-mode", "wild"], b"", 2, "wild"),
        (["-p", "go", "--no-such-flag"], b"", 2, "no-such-flag"),
        (["-p", "go", "-c"], b"", 2, "session"),
        (["-p", "go", "-r", "nope"], b"", 2, "there is no session"),
        (["-p", "go", "-r"], b"", 2, "-r"),
        (["-p", "go", "--fork-session"], b"", 2, "--fork-session"),
        (["-p", "go", "-C", "/no/such/folder"], b"", 2, "There is no folder"),
        (["-p", "go", "--set", "modle=x"], b"", 78, "did you mean"),
        (["-p", "go", "--max-steps", "0"], b"", 2, "max-steps"),
    ],
)
def test_bad_input_is_one_sentence_and_its_exit_code(
    place: Place, argv: list[str], stdin: bytes, exit_code: int, words: str
) -> None:
    done = place.run("-m", place.tape({"say": "never"}), *argv, stdin=stdin)
    assert (done.returncode, done.stdout) == (exit_code, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert place.logs() == []


def test_no_key_is_said_kindly_with_three_ways_on(place: Place) -> None:
    done = place.run("-p", "go", "--output-format", "json")
    result = json.loads(done.stdout)
    assert (done.returncode, result["exit_code"], result["status"]) == (78, 78, "failed")
    for way in ("KIMI_API_KEY", "KIMI_BASE_URL", "kimi-agent demo"):
        assert way in result["error"]["message"]
    assert place.logs() == []


def test_the_json_result_holds_every_member(place: Place) -> None:
    model = place.tape(
        {"calls": [{"name": "write_file", "args": {"path": "new.txt", "content": "hello\n"}}]}, {"say": "Written."}
    )
    done = place.run("-m", model, "-y", "-p", "write it", "--output-format", "json")
    result = json.loads(done.stdout)
    assert set(result) == KEYS
    assert (result["status"], result["answer"], result["files_changed"]) == ("done", "Written.", ["new.txt"])
    assert (result["tests"]["verdict"], result["steps"], result["denials"]) == ("no_tests", 2, [])
    assert (place.root / "new.txt").read_text() == "hello\n"


def test_stream_json_is_every_event_and_the_result_last(place: Place) -> None:
    done = place.run("-m", place.tape({"reason": "Hm.", "say": "Hi."}), "-p", "hello", "--output-format", "stream-json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [line["type"] for line in lines]
    assert kinds[:2] == ["Opened", "Said"]
    assert lines[0]["session"] == lines[-1]["session_id"]
    assert {"ReasoningDelta", "TextDelta", "TurnEnded"} < set(kinds)
    assert (kinds[-1], lines[-1]["answer"]) == ("result", "Hi.")


def test_stream_json_input_takes_one_message_a_line(place: Place) -> None:
    model = place.tape({"say": "one"}, {"say": "two"})
    messages = [{"type": "user", "text": "a"}, {"type": "user", "message": {"role": "user", "content": "b"}}]
    done = place.run(
        "-m", model, "--input-format", "stream-json", "--output-format", "stream-json",
        stdin="\n".join(json.dumps(each) for each in messages).encode(),
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["status"] for line in lines if line["type"] == "TurnEnded"] == ["done", "done"]
    assert lines[-1]["answer"] == "two"


def test_without_a_terminal_an_edit_is_denied_and_the_exit_says_so(place: Place) -> None:
    model = place.tape(
        {"calls": [{"name": "write_file", "args": {"path": "a", "content": "x"}}]},
        {"expect": {"last_contains": "denied"}, "say": "I could not."},
    )
    done = place.run("-m", model, "-p", "write")
    assert done.returncode == 77
    assert "-y" in done.stderr
    assert not (place.root / "a").exists()
    done = place.run("-m", model, "-p", "write", "--output-format", "json")
    result = json.loads(done.stdout)
    assert (result["status"], [each["tool"] for each in result["denials"]]) == ("blocked", ["write_file"])


def test_with_a_terminal_behind_the_pipe_the_question_is_asked_there(place: Place) -> None:
    model = place.tape({"calls": [{"name": "write_file", "args": {"path": "a", "content": "x\n"}}]}, {"say": "Done."})
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(place.root)
        command = f"echo go | '{sys.executable}' -P -m kimi_agent -m '{model}' 2>/dev/null"
        os.execve("/bin/sh", ["sh", "-c", command], place.env)
    seen = b""
    while b"Allow?" not in seen:
        seen += os.read(fd, 4096)
    assert b"write_file" in seen or b"a" in seen
    os.write(fd, b"y\n")
    try:
        while chunk := os.read(fd, 4096):
            seen += chunk
    except OSError:
        pass  # Linux: the other side is closed
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (place.root / "a").read_text() == "x\n"
    os.close(fd)


@pytest.mark.parametrize(
    ("where", "number", "exit_code"),
    [
        ("stream", signal.SIGTERM, 143),
        ("tool", signal.SIGINT, 130),
        pytest.param("stream", signal.SIGINT, 130, marks=pytest.mark.long),
        pytest.param("tool", signal.SIGTERM, 143, marks=pytest.mark.long),
    ],
)
def test_a_signal_still_gives_the_result_and_leaves_no_process(
    place: Place, number: int, exit_code: int, where: str
) -> None:
    marker = place.root / "began"
    first: dict[str, Any]
    if where == "tool":
        first = {"calls": [{"name": "shell", "args": {"command": "echo x > began; sleep 1000"}}]}
    else:
        first = {"say": "word " * 1000, "pace": {"chunk": 5, "delay_s": 0.5}}
    child = place.start(["-m", place.tape(first), "-y", "-p", "go", "--output-format", "json"])
    wait_until(marker.exists if where == "tool" else place.has_asked)
    child.send_signal(number)
    out, err = child.communicate(timeout=20)
    result = json.loads(out)
    assert (child.returncode, result["exit_code"], result["status"]) == (exit_code, exit_code, "interrupted"), err
    assert b"Traceback" not in err
    left = subprocess.run(["pgrep", "-f", "sleep 1000"], capture_output=True, text=True, check=False).stdout.split()
    assert [pid for pid in left if str(place.root) in _cwd(pid)] == []


@pytest.mark.parametrize(("nohup", "exit_code"), [(True, 0), pytest.param(False, 129, marks=pytest.mark.long)])
def test_a_terminal_that_goes_away_ends_the_run_unless_that_was_forbidden(
    place: Place, nohup: bool, exit_code: int
) -> None:
    first = {"calls": [{"name": "shell", "args": {"command": "kill -HUP $PPID; sleep 0.5"}}]}
    tape = place.tape(first, {"say": "done"})
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL)
    try:
        child = place.start(["-m", tape, "-y", "-p", "go", "--output-format", "json"])
    finally:
        signal.signal(signal.SIGHUP, before)
    out, err = child.communicate(timeout=30)
    assert (child.returncode, json.loads(out)["exit_code"]) == (exit_code, exit_code), err


@pytest.mark.long
def test_sigterm_while_connecting_still_gives_the_result(place: Place) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    env = {**place.env, "KIMI_BASE_URL": f"http://127.0.0.1:{silent.getsockname()[1]}/v1"}
    child = place.start(["-p", "go", "--output-format", "json"], env=env)
    silent.settimeout(30)
    connection, _ = silent.accept()
    connection.recv(1)  # the request is under way, and never answered
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=20)
    connection.close()
    silent.close()
    assert (child.returncode, json.loads(out)["status"]) == (143, "interrupted"), err


@pytest.mark.parametrize("argv", [[], pytest.param(["--input-format", "stream-json"], marks=pytest.mark.long)])
def test_sigterm_while_reading_stdin_is_not_held_up_by_the_pipe(place: Place, argv: list[str]) -> None:
    child = place.start(["-m", place.tape({"say": "x"}), "--output-format", "json", *argv], stdin=subprocess.PIPE)
    assert child.stderr is not None
    if not argv:
        assert b"Reading standard input" in child.stderr.readline()
    else:
        wait_until(lambda: place.logs() != [])
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=10) == 143
    assert child.stdout is not None
    assert json.loads(child.stdout.read())["status"] == "interrupted"
    for stream in (child.stdin, child.stdout, child.stderr):
        assert stream is not None
        stream.close()


def test_sigterm_while_a_question_is_open_still_gives_the_result(place: Place) -> None:
    model = place.tape({"calls": [{"name": "write_file", "args": {"path": "a", "content": "x\n"}}]}, {"say": "Done."})
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(place.root)
        with open("result.json", "wb") as result, open(os.devnull, "rb") as nothing:
            os.dup2(result.fileno(), 1)
            os.dup2(nothing.fileno(), 0)
        argv = [*PROGRAM, "-m", model, "-p", "go", "--output-format", "json"]
        os.execve(argv[0], argv, place.env)
    seen = b""
    while b"Allow?" not in seen:
        seen += os.read(fd, 4096)
    os.kill(pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 143
    os.close(fd)
    assert json.loads((place.root / "result.json").read_text())["status"] == "interrupted"
    assert not (place.root / "a").exists()


def test_the_repositorys_instructions_are_read_but_not_through_a_link_that_leads_out(place: Place) -> None:
    (place.root / "AGENTS.md").write_text("Run the tests with tox.\n")
    (place.root / "sub").mkdir()
    (place.home / "secret.md").write_text("canary-7f3a\n")
    (place.root / "sub" / "AGENTS.md").symlink_to(place.home / "secret.md")
    model = place.tape({"expect": {"contains": "Run the tests with tox.", "not_contains": "canary-7f3a"}, "say": "ok"})
    (place.root / ".git").mkdir()
    done = place.run("-m", model, "-p", "go", cwd=place.root / "sub")
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def _cwd(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


def test_a_session_is_continued_resumed_and_forked(place: Place) -> None:
    model = place.tape({"say": "First."}, {"say": "Second."}, {"say": "Third."})
    first = json.loads(place.run("-m", model, "-p", "a", "--output-format", "json").stdout)
    second = json.loads(place.run("-m", model, "-c", "-p", "b", "--output-format", "json").stdout)
    third = json.loads(
        place.run("-m", model, "-r", first["session_id"], "--fork-session", "-p", "c", "--output-format", "json").stdout
    )
    assert (second["answer"], second["session_id"]) == ("Second.", first["session_id"])
    assert third["answer"] == "Third."
    assert third["session_id"] != first["session_id"]
    listed = [json.loads(line) for line in place.run("sessions", "list", "--json").stdout.splitlines()]
    assert {each["id"] for each in listed} == {first["session_id"], third["session_id"]}


@pytest.mark.long
def test_a_session_in_use_is_said_with_its_owner(place: Place) -> None:
    slow = place.tape({"say": "word " * 1000, "pace": {"chunk": 5, "delay_s": 0.5}})
    child = place.start(["-m", slow, "-p", "go"])
    wait_until(place.has_asked)
    other = place.run("-m", slow, "-c", "-p", "too")
    child.terminate()
    child.communicate(timeout=20)
    assert (other.returncode != 0, f"pid {child.pid}" in other.stderr, "since" in other.stderr) == (True, True, True)


def test_sessions_are_shown_exported_and_removed(place: Place) -> None:
    place.run("-m", place.tape({"say": "The answer."}), "-p", "the question")
    assert "the question" in place.run("sessions", "list").stdout
    shown = place.run("sessions", "show", "last").stdout
    assert "the question" in shown
    assert "The answer." in shown
    assert (
        json.loads(place.run("sessions", "export", "last", "--format", "json").stdout)[0]["event"]["type"] == "Opened"
    )
    assert place.run("sessions", "rm", "last").returncode == 0
    assert place.logs() == []


def test_config_is_shown_with_its_sources(place: Place) -> None:
    (place.home / "config.toml").write_text('mode = "plan"\n')
    done = place.run("config", "show")
    assert f'mode = "plan"  # {place.home}/config.toml' in done.stdout
    assert str(place.home / "config.toml") in place.run("config", "path").stdout


def test_a_projects_layer_counts_only_when_trusted(place: Place) -> None:
    folder = place.root / ".kimi-agent" / "tools"
    folder.mkdir(parents=True)
    (folder / "spy.py").write_text("import pathlib\npathlib.Path('ran').write_text('x')\n")
    model = place.tape({"say": "ok"})
    done = place.run("-m", model, "-p", "go")
    assert "not trusted" in done.stderr
    assert not (place.root / "ran").exists()
    assert place.run("-m", model, "-p", "go", "--trust").returncode == 0
    assert (place.root / "ran").exists()
    (place.root / "ran").unlink()
    assert "not trusted" not in place.run("-m", model, "-p", "go").stderr
    assert (place.root / "ran").exists()
    (place.root / "ran").unlink()
    (folder / "spy.py").write_text("import pathlib\npathlib.Path('ran').write_text('changed')\n")
    assert "not trusted" in place.run("-m", model, "-p", "go").stderr
    assert not (place.root / "ran").exists()


def test_a_broken_user_tool_is_said_and_not_fatal(place: Place) -> None:
    (place.home / "tools").mkdir()
    (place.home / "tools" / "bad.py").write_text("raise RuntimeError('no')\n")
    done = place.run("-m", place.tape({"say": "ok"}), "-p", "go")
    assert (done.returncode, done.stdout) == (0, "ok\n")
    assert "bad.py: RuntimeError: no" in done.stderr


def test_the_repositorys_own_modules_are_never_imported(place: Place) -> None:
    for name in ("openai", "rich", "sitecustomize", "json", "kimi_agent"):
        (place.root / f"{name}.py").write_text("open('hijacked', 'w').write('x')\n")
    env = {key: value for key, value in place.env.items() if key != "PYTHONPATH"}
    done = place.launch("-m", place.tape({"say": "ok"}), "-p", "go", env=env)
    assert (done.returncode, (place.root / "hijacked").exists()) == (0, False)


TOOL = """
import asyncio
import sys
from kimi_agent.tool import Context, tool

@tool(effect="read")
async def {name}(ctx: Context) -> str:
    'Misbehave.'
    {body}
"""


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("sys.exit(3)", "SystemExit: 3"),
        ("raise asyncio.CancelledError", "CancelledError"),
        ("return 7", "a tool returns str or Result, not int"),
        ("raise ValueError('x' * 3_000_000)", "xxx"),
        ("print('not JSON'); return 'printed'", "printed"),
    ],
)
def test_a_users_tool_that_misbehaves_is_a_result_and_leaves_stdout_alone(place: Place, body: str, words: str) -> None:
    (place.home / "tools").mkdir()
    (place.home / "tools" / "odd.py").write_text(TOOL.format(name="odd_one", body=body))
    model = place.tape(
        {"calls": [{"name": "odd_one", "args": {}}]}, {"expect": {"last_contains": words}, "say": "Noted."}
    )
    done = place.run("-m", model, "-p", "go", "--output-format", "json")
    assert json.loads(done.stdout)["answer"] == "Noted.", done.stderr
    assert place.logs()[0].stat().st_size < 20_000


def test_a_denial_that_the_model_worked_around_is_no_failure(place: Place) -> None:
    (place.root / "a.txt").write_text("one\n")
    model = place.tape(
        {"calls": [{"name": "shell", "args": {"command": "wc -l a.txt"}}]},
        {"calls": [{"name": "read_file", "args": {"path": "a.txt"}}]},
        {"say": "One line."},
    )
    done = place.run("-m", model, "-p", "how long?", "--output-format", "json")
    result = json.loads(done.stdout)
    assert (done.returncode, result["status"], len(result["denials"])) == (0, "done", 1)


def test_stdin_that_pauses_is_cut_with_a_word_for_the_model(place: Place) -> None:
    piped = PipedInput(io.BytesIO(b"half a log\n"), 11, cut=False, open=True)
    assert "still open" in join_prompt("why?", piped)


def test_a_closed_stdout_is_said(place: Place) -> None:
    child = subprocess.run(
        ["/bin/bash", "-c", '"$0" -P -m kimi_agent -m "$1" -p go >&-', sys.executable, place.tape({"say": "x"})],
        env=place.env, cwd=place.root, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    assert (child.returncode, "standard output is closed" in child.stderr) == (2, True)


def test_wrong_settings_name_their_file(place: Place) -> None:
    (place.home / "config.toml").write_text('mode = "frob"\n')
    for argv in (["-p", "hi"], ["config", "show"]):
        done = place.run(*argv)
        assert (done.returncode, "config.toml" in done.stderr, "frob" in done.stderr) == (78, True, True)


def test_a_tape_that_does_not_fit_fails_loudly(place: Place) -> None:
    model = place.tape({"expect": {"last_contains": "something else"}, "say": "never"})
    done = place.run("-m", model, "-p", "go")
    assert done.returncode == 1
    assert "tape.jsonl, line 1" in done.stderr


def test_the_last_message_goes_to_a_file_too(place: Place) -> None:
    done = place.run("-m", place.tape({"say": "Hi."}), "-p", "go", "-o", "answer.txt")
    assert (done.returncode, (place.root / "answer.txt").read_text()) == (0, "Hi.\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_every_flag_and_command(place: Place, shell: str) -> None:
    script = place.run("completion", shell).stdout
    for word in ("sessions", "demo", "export", "permission-mode", "fork-session"):
        assert word in script


def test_help_is_plain_and_names_the_commands(place: Place) -> None:
    done = place.run("--help")
    assert done.returncode == 0
    for word in ("--permission-mode", "sessions", "demo", "--resume"):
        assert word in done.stdout


@pytest.mark.parametrize("argv", [["--version"], ["-V"], ["-y", "--version"]])
def test_version(place: Place, argv: list[str]) -> None:
    assert place.run(*argv).stdout.startswith("kimi-agent 0.")
