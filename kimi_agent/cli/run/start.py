"""Start of a run: argv becomes options, and a person at both ends gets the REPL, anyone else one run."""

import sys

from kimi_agent.cli.argv import add_empty_values
from kimi_agent.cli.run.options import RunOptions
from kimi_agent.cli.signals import SignalWatchdog
from kimi_agent.errors import UserError


def start(argv: list[str], signals: SignalWatchdog) -> int:
    """Run what argv asks for and return the exit code. What it raises, it raises before the run began."""
    here = sys.stdin.isatty() and sys.stdout.isatty()
    options = RunOptions()
    if argv or not here:  # a bare start does not wait for the parser
        from kimi_agent.cli.run.flags import parse_flags

        parsed = parse_flags(add_empty_values(argv))
        if signals.number:  # the parser takes an interrupt for an end of its own
            raise KeyboardInterrupt
        if isinstance(parsed, int):
            return parsed
        options = parsed
    if options.fork and options.resume is None:
        raise UserError("--fork-session goes with -c or -r.")
    if options.resume == "" and not (here and not options.one_shot):
        raise UserError("Bare -r chooses from a list and needs a terminal; name a session: -r ID, or -c.")
    if here and not options.one_shot:
        from kimi_agent.cli.run.interactive import run_interactive

        return run_interactive(options, signals)
    from kimi_agent.cli.run.headless import run_once

    return run_once(options, signals)
