"""Input history of the prompt: one JSON string a line, per project and shared between sessions.

The file is the person's own, in the state folder.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from prompt_toolkit.history import History

from kimi_agent.log.store.durable_io import open_regular, open_to_read

_MAX_BYTES = 400_000
_MAX_ENTRIES = 2_000


class InputHistory(History):
    """A history that other sessions append to as well. A file that cannot be used costs the history, not the prompt."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def load_history_strings(self) -> Iterable[str]:
        """The newest entries, newest first; records that a crash tore are passed over."""
        try:
            with open_to_read(self._path) as fd, os.fdopen(fd, "rb", closefd=False) as file:
                start = max(0, os.fstat(file.fileno()).st_size - _MAX_BYTES)
                file.seek(start)
                lines = file.read(_MAX_BYTES).split(b"\n")
        except OSError:
            return []
        entries = [text for line in lines[1 if start else 0 :] if (text := _entry(line))]
        return reversed(entries[-_MAX_ENTRIES:])

    def store_string(self, string: str) -> None:
        """Append one entry, in one write."""
        data = json.dumps(string).encode("ascii") + b"\n"
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = open_regular(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            try:
                os.write(fd, data)
            finally:
                os.close(fd)
        except OSError:
            return


def _entry(line: bytes) -> str:
    try:
        text = json.loads(line)
    except ValueError:
        return ""
    return text if isinstance(text, str) else ""
