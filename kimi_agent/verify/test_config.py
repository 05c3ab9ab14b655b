"""Test configuration files: those that decide which tests run, what counts as passed, and what a command does."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from kimi_agent.log.views import TestReport

_TEST_CONFIG = re.compile(
    r"conftest\.py|pytest\.ini|\.pytest\.ini|pytest\.toml|tox\.(?:ini|toml)|setup\.cfg|noxfile\.py|\.?nose2?\.cfg|behave\.ini"
    r"|(?:jest|vitest|vite|playwright|karma|cypress|wdio|ava|nightwatch)\.(?:config|conf)\.\w+|\.mocharc\.\w+|\.taprc"
    r"|\.rspec|phpunit\.xml(?:\.dist)?|CTestTestfile\.cmake|bunfig\.toml|nextest\.toml|dart_test\.yaml|\.busted|\.proverc"
)

_CHECK = re.compile(r"(?:^|[._-])(?:run)?(?:tests?|specs?|checks?|verify|ci)(?:$|[._-])", re.IGNORECASE)
# The files that say what these programs run: `make test` runs what the Makefile says.
_TASK_FILES: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("make", "gmake"), ("Makefile", "makefile", "GNUmakefile")),
    **dict.fromkeys(("npm", "pnpm", "yarn", "bun"), ("package.json",)),
    "just": ("justfile", "Justfile", ".justfile"),
    "task": ("Taskfile.yml", "Taskfile.yaml"),
    "rake": ("Rakefile",),
    "composer": ("composer.json",),
}


def is_test_config(path: str) -> bool:
    """Whether the file at `path` decides which tests run or what counts as passed."""
    return bool(_TEST_CONFIG.fullmatch(path.rpartition("/")[2]))


def find_steering_files(report: TestReport, files: Iterable[str]) -> Iterator[str]:
    """Those of `files` that say what the command of a run does, or are the script that it starts."""
    words = {word.strip("'\"`;").rpartition("/")[2] for word in f"{report.evidence} {report.command}".split()}
    words |= {name for word, names in _TASK_FILES.items() if word in words for name in names}
    yield from (path for path in files if path.rpartition("/")[2] in words)


def is_check_script(path: str) -> bool:
    """Whether a file is named like a script that checks something."""
    return bool(_CHECK.search(PurePosixPath(path).stem))


def scripts_of(manifest: str | None) -> object:
    """The scripts of a package.json or composer.json; None where it holds none."""
    try:
        found = json.loads(manifest or "")
    except (ValueError, RecursionError):
        return None
    return found.get("scripts") if isinstance(found, dict) else None
