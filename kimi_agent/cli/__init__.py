"""Command line: the program's entry point, which looks at argv and loads only what that run needs.

argv is looked at before typer is imported: `--version` and a bare start do not pay for it.
"""

import gc
import os
import sys

from kimi_agent.cli.argv import find_command


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
    command = find_command(argv)
    return _run(argv) if command is None else _run_command([*argv[command:], *argv[:command]], argv)


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


def _run(argv: list[str]) -> int:
    """A run of the agent. Its signals are ours before anything is imported that takes time."""
    from kimi_agent.cli.signals import SignalWatchdog

    signals, out, trouble = SignalWatchdog(), sys.stdout, ""
    try:
        signals.start()
        from kimi_agent.cli.run.start import start

        return start(argv, signals)
    except KeyboardInterrupt:
        code = signals.exit_code
    except Exception as error:
        from kimi_agent.cli.report_error import print_to_stderr, report_error

        def say(text: str) -> None:
            nonlocal trouble
            trouble = text
            print_to_stderr(text)

        code = report_error(error, debug="--debug" in argv, say=say)
    signals.stop_raising()
    from kimi_agent.cli.run.result import write_early_result

    return write_early_result(argv, out, code, trouble=trouble)


def _run_command(argv: list[str], given: list[str]) -> int:
    """A command beside a run, such as `sessions`."""
    try:
        from kimi_agent.cli.commands.main import run_command

        return run_command(argv)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        from kimi_agent.cli.report_error import drop_stdout, print_to_stderr

        drop_stdout()
        print_to_stderr("standard output was closed before everything was written.")
        return 0
    except Exception as error:
        from kimi_agent.cli.report_error import report_error

        return report_error(error, debug="--debug" in given)
