"""Outputs too big to show: kept whole beside the session, named `output:ID`, paged by read_file."""

import os
import re
import secrets
from pathlib import Path

from kimi_agent.errors import ToolError

OUTPUT_PREFIX = "output:"
_ID = re.compile(r"[a-z0-9-]{1,40}")


class Outputs:
    """A folder of outputs of one session (made at first use, 0700; its files 0600)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def new(self, id: str = "") -> tuple[str, int]:
        """Make an output: (`output:ID`, descriptor open for reading and writing); `id` gives it a fixed name."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = id or secrets.token_hex(4)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        return OUTPUT_PREFIX + name, os.open(self._folder / name, flags, 0o600)

    def keep(self, text: str, id: str = "") -> str:
        """Keep `text` whole and return its `output:ID`."""
        name, fd = self.new(id)
        with os.fdopen(fd, "wb") as file:
            file.write(text.encode("utf-8", "replace"))
        return name

    def path(self, name: str) -> Path:
        """The path of `output:ID`. Raises ToolError for a name that is not one of ours."""
        id = name.removeprefix(OUTPUT_PREFIX)
        path = self._folder / id
        if not _ID.fullmatch(id) or not path.is_file():
            raise ToolError("missing", f"there is no {name!r} in this session", "use the name that a result gave you")
        return path
