"""Traceback files for our own bugs and broken tools, so that the screen needs only one sentence."""

import os
import platform
import secrets
import tempfile
import time
import traceback
from pathlib import Path

from kimi_agent import __version__


def write_traceback(state: Path, error: BaseException) -> str:
    """Write `error` with its traceback to a file of its own (0600) and return the file's path.

    Falls back to the temporary folder; where nothing can be written the traceback itself is returned.
    """
    text = f"kimi-agent {__version__}, Python {platform.python_version()}, {platform.platform()}\n\n"
    text += "".join(traceback.format_exception(error))
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}.txt"
    for folder in (state / "bugs", Path(tempfile.gettempdir())):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8", errors="replace") as file:
                file.write(text)
        except OSError:
            continue
        return str(folder / name)
    return text
