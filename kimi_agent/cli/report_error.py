"""The last word when something went wrong: one sentence for the person, a traceback only where it was asked for."""

import os
import sys
import traceback

from kimi_agent.errors import ModelError, UserError
from kimi_agent.faces.sanitize import clean


def say(error: Exception, *, debug: bool) -> int:
    """Tell `error` on stderr in one sentence and return its exit code."""
    if isinstance(error, UserError | ModelError):
        tell(str(error))
        return error.exit_code
    if debug:
        traceback.print_exception(error)
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        tell(f"The system refused: {error.strerror or error}{where}.")
        return 1
    from kimi_agent.layers import places
    from kimi_agent.log.store.tracebacks import keep_traceback

    kept = keep_traceback(places(os.environ).state, error)
    tell(f"This is a bug in kimi-agent: {type(error).__name__}: {error}. The session is kept; details: {kept}")
    return 70


def tell(text: str) -> None:
    """One sentence on stderr, if there is one to write to."""
    try:
        sys.stderr.write(f"kimi-agent: {clean(text)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return  # nobody can hear it; the exit code still says it
