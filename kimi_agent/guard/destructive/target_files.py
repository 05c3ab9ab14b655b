"""Target files of destructive commands (`cp`, `find -delete`, ...); which are temporary or build output.

The targets are found from the command's words and from what is on the disk.
"""

import os
import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from itertools import pairwise

MAX_PATH_MATCHES, MAX_WALKED = 1_000, 50_000
COPY_COMMANDS = frozenset({"cp", "mv", "install", "ln", "tee", "dd"})
_FORCED = re.compile(r"-[a-z]*f|--force")


def find_copy_targets(
    name: str, words: Sequence[str], texts: Sequence[str], is_folder: Callable[[str], bool]
) -> list[str]:
    """The files that a command puts something into, whatever is there."""
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


def is_scratch(text: str) -> bool:
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
