"""Test configuration files: those that decide which tests run and what counts as passed."""

import re

_TEST_CONFIG = re.compile(
    r"conftest\.py|pytest\.ini|\.pytest\.ini|pytest\.toml|tox\.(?:ini|toml)|setup\.cfg|noxfile\.py|\.?nose2?\.cfg|behave\.ini"
    r"|(?:jest|vitest|vite|playwright|karma|cypress|wdio|ava|nightwatch)\.(?:config|conf)\.\w+|\.mocharc\.\w+|\.taprc"
    r"|\.rspec|phpunit\.xml(?:\.dist)?|CTestTestfile\.cmake|bunfig\.toml|nextest\.toml|dart_test\.yaml|\.busted|\.proverc"
)


def is_test_config(path: str) -> bool:
    """Whether the file at `path` decides which tests run or what counts as passed."""
    return bool(_TEST_CONFIG.fullmatch(path.rpartition("/")[2]))
