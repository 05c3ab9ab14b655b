"""Error report at the top of the program: one sentence on stderr and an exit code.

A traceback is printed only where it was asked for (`--debug`); that of a bug is kept in the log folder.
"""

import os
import sys
import traceback
from collections.abc import Callable

from kimi_agent.errors import ModelError, UserError
from kimi_agent.faces.sanitize import sanitize


def print_to_stderr(text: str) -> None:
    """One sentence on stderr, if there is one to write to."""
    try:
        sys.stderr.write(f"kimi-agent: {sanitize(text)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return  # nobody can read it; the exit code still says it


def report_error(error: Exception, *, debug: bool, say: Callable[[str], None] = print_to_stderr) -> int:
    """Report `error` in one sentence, by `say`, and return its exit code."""
    if isinstance(error, UserError | ModelError):
        say(str(error))
        return error.exit_code
    if debug:
        traceback.print_exception(error)
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        say(f"The system refused: {error.strerror or error}{where}.")
        return 1
    from kimi_agent.layers import find_user_folders
    from kimi_agent.log.store.tracebacks import write_traceback

    kept = write_traceback(find_user_folders(os.environ).state, error)
    say(f"This is a bug in kimi-agent: {type(error).__name__}: {error}. The session is kept; details: {kept}")
    return 70


def drop_stdout() -> None:
    """Point stdout at nothing: what is still buffered would fail again when Python shuts down."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
