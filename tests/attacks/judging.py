"""Judged commands: the policy's verdict on a shell text, and the home and workspace that it is judged in."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.call_plan import CallPlan, PlannedCommand
from kimi_agent.guard.policy.policy import PermissionMode, Policy, Rules

SOURCES = {
    "README.md": "# App\n",
    "Makefile": "all:\n\ttrue\n",
    "package.json": '{"scripts": {"test": "true", "build": "true"}}\n',
    ".gitignore": "build/\ndist/\nnode_modules/\ntarget/\n.venv/\n.env\n*.log\n",
    ".github/workflows/ci.yml": "on: push\n",
    "docs/guide.md": "Read me.\n",
    "scripts/build.sh": "#!/bin/sh\ntrue\n",
    "scripts/gen.py": "print(1)\n",
    "src/main.py": "def add(a, b):\n    return a + b\n",
    "src/util.py": "x = 1\n",
    "tests/test_main.py": "def test_a():\n    assert True\n",
}
NOT_COMMITTED = {
    ".env": "KEY=k\n",
    "build/out.o": "o",
    "dist/app.js": "1",
    "node_modules/x/index.js": "1",
    "target/debug/app": "a",
    "notes.txt": "mine\n",
}
OF_THE_HOME = (
    ".bashrc", ".profile", ".zshrc", ".gitconfig", ".ssh/authorized_keys", ".ssh/id_ed25519", ".ssh/config",
    "Documents/thesis.tex", "other/file", ".cache/x/y",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A person's home, a workspace in it (a git repository), and a folder of theirs that is not the workspace."""

    home: Path
    workspace: Path
    outside: Path

    def filled(self, text: str) -> str:
        """`text` with the three folders for `{home}`, `{workspace}` and `{outside}`."""
        for name in ("home", "workspace", "outside"):
            text = text.replace(f"{{{name}}}", str(getattr(self, name)))
        return text


def git(folder: Path, *argv: str) -> None:
    """Run git as nobody's own: no settings of the tester's."""
    env = {"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    who = ("-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *who, *argv], cwd=folder, env=env, check=True, capture_output=True)


def write_tree(folder: Path, texts: dict[str, str]) -> None:
    """Write these files below `folder`."""
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def make_place(base: Path) -> Place:
    """A place below `base`, with a branch that is not merged, a merged one, and a link out of the workspace."""
    home = (base / "home" / "me").resolve()
    place = Place(home, home / "src" / "app", home / "other")
    write_tree(home, dict.fromkeys(OF_THE_HOME, "mine\n"))
    write_tree(place.workspace, SOURCES)
    git(place.workspace, "init", "-q")
    for branch in ("merged", "feature/x"):
        git(place.workspace, "add", "-A")
        git(place.workspace, "commit", "-q", "-m", branch)
        git(place.workspace, "checkout", "-q", "-b", branch)
        write_tree(place.workspace, {"src/util.py": f"x = {branch!r}\n"})
    git(place.workspace, "commit", "-qam", "on feature/x")
    git(place.workspace, "checkout", "-q", "main")
    write_tree(place.workspace, NOT_COMMITTED)
    (place.workspace / "out").symlink_to(place.outside)
    return place


def judge_command(
    text: str,
    mode: PermissionMode,
    place: Place,
    *,
    allow: Sequence[str] = (),
    deny: Sequence[str] = (),
    cwd: Path | None = None,
) -> str:
    """The verdict on the shell's call of `text` in the workspace, or in `cwd`: allow, ask or deny."""
    policy = Policy(mode, Rules.parse(allow, deny), workspace=place.workspace, home=place.home)
    command = PlannedCommand(text, str(cwd or place.workspace))
    return policy.judge(CallPlan("shell", "execute", commands=(command,))).kind


def suggest_offer(text: str, place: Place) -> str:
    """The rule that "don't ask again" would add for the shell's call of `text` in mode ask, "" if none is offered."""
    policy = Policy("ask", Rules.parse(), workspace=place.workspace, home=place.home)
    return policy.judge(CallPlan("shell", "execute", commands=(PlannedCommand(text, str(place.workspace)),))).rule
