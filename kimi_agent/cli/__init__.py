"""Command line: the program's entry point, which looks at argv and loads only what that run needs.

argv is looked at before typer is imported: `--version` and a bare start do not pay for it, and a first word that is
a command must not be taken for a prompt (or the other way round).
"""

import gc
import os
import sys

COMMAND_NAMES = (
    *("sessions", "config", "mock", "demo", "completion"),
    *("diff", "rewind", "blame", "evidence", "worktrees", "stats"),
)
# Flags of a run that take a value, so that the first word can be told from a flag's value.
FLAGS_WITH_VALUE = (
    *("-C", "--cd", "-m", "--model", "--permission-mode", "--max-steps", "--max-turns", "--set", "--output-format"),
    *("--input-format", "--add-dir", "--base-url", "-o", "--output-last-message"),
    *("--max-budget-usd", "--max-tokens", "--timeout"),
)
RESUME_FLAGS = ("-r", "--resume", "-S", "--session")
WORKTREE_FLAGS = ("-w", "--worktree")


def main() -> int:
    """Run what argv says and return the exit code. The only index, besides the tool border, that catches everything."""
    # Start-up makes half a million objects that stay: collecting every 700 of them costs a tenth of it.
    gc.set_threshold(50_000, 20, 20)
    argv = sys.argv[1:]
    if "stdout" in _replace_closed_streams():
        sys.stderr.write("kimi-agent: standard output is closed, so there is nowhere to answer.\n")
        return 2
    if argv in (["--version"], ["-V"]):
        from kimi_agent import __version__

        sys.stdout.write(f"kimi-agent {__version__}\n")
        return 0
    if sys.platform == "win32":
        sys.stderr.write("kimi-agent needs Linux or macOS; on Windows run it inside WSL.\n")
        return 78
    try:
        return _dispatch(argv)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        from kimi_agent.cli.report_error import drop_stdout, print_to_stderr

        drop_stdout()
        print_to_stderr("standard output was closed before everything was written.")
        return 0
    except Exception as error:
        from kimi_agent.cli.report_error import report_error

        return report_error(error, debug="--debug" in argv)


def console_main() -> None:
    """The console script. Everything that must be closed was closed by then, so that Python's own tear-down of some
    1,500 modules (a fifth of the CPU of a one-shot run) is left out."""
    code = main()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue  # its reader is gone
    os._exit(code)


def _replace_closed_streams() -> list[str]:
    """Put /dev/null where a standard stream was closed: else the next file that is opened would become it."""
    closed = [name for name in ("stdin", "stdout", "stderr") if getattr(sys, name) is None]
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if name in closed:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for the life of the process
    return closed


def _dispatch(argv: list[str]) -> int:
    word = find_first_word(argv)
    if word is not None and argv[word] in COMMAND_NAMES:
        from kimi_agent.cli.commands.main import run_command

        return run_command([*argv[word:], *argv[:word]])
    if not argv and sys.stdin.isatty() and sys.stdout.isatty():
        from kimi_agent.cli.run.interactive import run_interactive
        from kimi_agent.cli.run.options import RunOptions

        return run_interactive(RunOptions())
    from kimi_agent.cli.run.flags import parse_and_run

    return parse_and_run(add_empty_values(argv))


def find_first_word(argv: list[str]) -> int | None:
    """The index of the first word that is neither a flag nor a flag's value; None after `--` or where there is none."""
    index = 0
    while index < len(argv):
        word = argv[index]
        if word == "--":
            return None
        if word in (*RESUME_FLAGS, *WORKTREE_FLAGS):  # its value is optional: what follows is an id, never a command
            return None
        if not word.startswith("-") or word == "-":
            return index
        index += 2 if word in FLAGS_WITH_VALUE else 1
    return None


def add_empty_values(argv: list[str]) -> list[str]:
    """argv in which a bare `-r` or `-w` carries an empty value, which the parser cannot express."""
    found: list[str] = []
    for index, word in enumerate(argv):
        if word == "--":
            return [*found, *argv[index:]]
        bare = (argv[index + 1] if index + 1 < len(argv) else "-").startswith("-")
        names = {**dict.fromkeys(RESUME_FLAGS, "--resume="), **dict.fromkeys(WORKTREE_FLAGS, "--worktree=")}
        found.append(names[word] if bare and word in names else word)
    return found
