"""Target files of destructive commands: inside the workspace or not, temporary, build output, there or not.

They are found from the command's words and from what is on the disk.
"""

import glob
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from itertools import islice, pairwise
from pathlib import Path

from kimi_agent.guard.destructive.arguments import find_option_value
from kimi_agent.guard.shell.expansion import ShellState, has_pattern, unescape_pattern

MAX_PATH_MATCHES, MAX_WALKED = 1_000, 50_000
PathExists = Callable[[str], bool]
COPY_COMMANDS = frozenset({"cp", "mv", "install", "ln", "tee", "dd", "curl", "wget", "sort"})
_OUTPUT_OPTIONS = {"curl": ("-o", "--output"), "wget": ("-O", "--output-document"), "sort": ("-o", "--output")}
_FORCED = re.compile(r"-[a-z]*f|--force")


def find_copy_targets(
    name: str, words: Sequence[str], texts: Sequence[str], is_folder: Callable[[str], bool]
) -> list[str]:
    """The files that a command puts something into, whatever is there."""
    if name in _OUTPUT_OPTIONS:
        return [find_option_value(texts, *_OUTPUT_OPTIONS[name])]
    if name == "dd":
        return [text[3:] for text in texts if text.startswith("of=")]
    if name == "tee":
        return [] if any(re.match(r"-[a-z]*a|--append", text) for text in texts) else list(words)
    unforced_link = name == "ln" and not any(map(_FORCED.match, texts))
    if unforced_link or {"-n", "--no-clobber", "-d", "--directory"} & set(texts):
        return []
    into = next((after for text, after in pairwise(texts) if text in ("-t", "--target-directory")), "")
    sources, target = ([each for each in words if each != into], into) if into else (words[:-1], (words or [""])[-1])
    if not sources:
        return []
    return [os.path.join(target, os.path.basename(each)) for each in sources if each] if is_folder(target) else [target]


def walk_find_matches(roots: Sequence[str], patterns: Sequence[str]) -> tuple[list[str], bool]:
    """Paths below `roots` that `find` may match and that are no build output, and whether the list is complete."""
    if patterns and all(map(is_build_output, patterns)):
        return [], True
    found: list[str] = []
    looked_at = 0
    for root in roots:
        for folder, folders, files in os.walk(root):
            folders[:] = [each for each in folders if each != ".git" and not is_build_output(each)]
            looked_at += len(files) + len(folders)
            names = [each for each in (*files, *folders) if not patterns or any(fnmatch(each, one) for one in patterns)]
            found += [os.path.join(folder, each) for each in names if not is_build_output(each)]
            if looked_at > MAX_WALKED or len(found) > MAX_PATH_MATCHES:
                return found[:MAX_PATH_MATCHES], False
    return found, True


def is_scratch_path(text: str) -> bool:
    """Whether a path lies below a folder for temporary files."""
    return bool(re.match(r"/(tmp|var/tmp|dev/shm|private/tmp)/.", os.path.normpath(text) if text else ""))


def is_build_output(path: str) -> bool:
    """Whether a build or an installation makes this path again, so that it need not be kept where git ignores it."""
    return any(_GENERATED.fullmatch(part) for part in path.split("/"))


_GENERATED = re.compile(
    r"node_modules|__pycache__|\.(pytest|mypy|ruff)_cache|\.hypothesis|\.tox|\.nox|\.?venv|env|build|dist|target|out|bin|obj"
    r"|\.next|\.nuxt|\.cache|\.parcel-cache|\.turbo|\.gradle|coverage|htmlcov|\.coverage.*|\.eggs|.*\.egg-info|.*\.py[co]"
    r"|.*\.(o|a|so|log|tmp|class)|tmp|temp|logs?|\.DS_Store|vendor|Pods|DerivedData|_build|deps"
)


@dataclass(frozen=True)
class WorkspacePaths:
    """Resolves the paths that a command is given in a state of the shell; `is_there` tells of an absolute path."""

    state: ShellState
    is_there: PathExists

    def absolute(self, text: str) -> str:
        """`text` from the first folder that the shell may be in."""
        if text == "~" or text.startswith("~/"):
            text = str(self.state.home) + text[1:]
        cwd = next((each for each in self.state.cwds if each is not None), None)
        parts = () if cwd is None else (re.sub(r"\[(.)\]", r"\1", part) for part in cwd)
        folder = self.state.workspace if cwd is None else Path("/", *parts)
        return os.path.normpath(os.path.join(folder, text))

    def inside(self, text: str) -> str | None:
        """`text` as a path of the workspace ("" for one that is not known), None where it lies outside."""
        if not text:
            return ""
        root = os.path.realpath(self.state.workspace)
        whole = self.absolute(text)
        for each in (whole, os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole))):
            if each == root or each.startswith(root.rstrip("/") + "/"):
                return each[len(root) :].lstrip("/")
        return None

    def exists(self, text: str) -> bool:
        """Whether there is something at `text`."""
        return self.is_there(self.absolute(text))

    def is_outside(self, text: str) -> bool:
        """Whether `text` leads to something that is there, and not in the workspace."""
        return self.inside(text) is None and self.exists(text)

    def is_folder(self, text: str) -> bool:
        """Whether there is a folder at `text`."""
        return bool(text) and self.is_there(self.absolute(text) + "/.")

    def is_scratch(self, text: str) -> bool:
        """Whether a path is nobody's work, wherever the shell may be: below a temporary folder, but not in the home."""
        if None in self.state.cwds and not text.startswith("/"):
            return False
        places = [replace(self, state=replace(self.state, cwds=(cwd,))) for cwd in self.state.cwds]
        return all(place.inside(text) is None and place._is_temporary(text) for place in places)

    def _is_temporary(self, text: str) -> bool:
        path = self.absolute(text)
        return is_scratch_path(path) and not f"{path}/".startswith(f"{str(self.state.home).rstrip('/')}/")

    def matching(self, pattern: str) -> tuple[list[str], bool]:
        """What a word of the shell stands for, and whether that is all; a pattern stands for what it matches now."""
        text = unescape_pattern(pattern)
        if pattern.startswith("~/") and has_pattern(pattern):
            pattern = f"{glob.escape(str(self.state.home))}/{pattern[2:]}"
        if not has_pattern(pattern) or pattern.startswith("~"):
            return [text], True
        whole = pattern if pattern.startswith("/") else f"{glob.escape(self.absolute('.'))}/{pattern}"
        found = list(islice(glob.iglob(whole), MAX_PATH_MATCHES + 1))  # noqa: PTH207 - a shell's * passes over dotfiles too
        return found[:MAX_PATH_MATCHES], len(found) <= MAX_PATH_MATCHES
