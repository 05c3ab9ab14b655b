"""A person's own repository, made and read with plain git in a home of its own."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OwnRepository:
    """`root` is the work tree; `environ` what a program that the person starts would see."""

    root: Path
    home: Path
    environ: Mapping[str, str]

    def git(self, *args: str, at: Path | None = None, ok: bool = True) -> str:
        """What plain git prints, with the person's configuration."""
        done = subprocess.run(["git", *args], cwd=at or self.root, env=dict(self.environ), capture_output=True)
        assert done.returncode == 0 or not ok, done.stderr.decode()
        return done.stdout.decode("utf-8", "surrogateescape").removesuffix("\n")

    def write(self, path: str, content: str | bytes) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def commit(self, files: Mapping[str, str | bytes], message: str = "start") -> str:
        """Commit these files as the person would; gives the id."""
        for path, content in files.items():
            self.write(path, content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")


def own_repository(folder: Path, *, init: bool = True) -> OwnRepository:
    """An empty repository in `folder`, which has a blank in its name."""
    root, home = folder / "own repository", folder / "home"
    root.mkdir()
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Ada\n\temail = ada@example.com\n[init]\n\tdefaultBranch = main\n"
    )
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C"}
    made = OwnRepository(root.resolve(), home, environ)
    if init:
        made.git("init", "--quiet")
    return made
