"""Argument vector, looked at before a parser is loaded: which word is a command, which output format was asked for.

A first word that is a command must not be taken for a prompt (or the other way round), and a run that ends before
its flags are parsed still owes its result.
"""

from collections.abc import Iterator

COMMAND_NAMES = (
    *("sessions", "config", "mock", "demo", "completion"),
    *("diff", "rewind", "blame", "evidence", "worktrees", "stats"),
)
# Flags of a run that take a value, so that the first word can be told from a flag's value.
FLAGS_WITH_VALUE = (
    *("-C", "--cd", "-m", "--model", "--permission-mode", "--max-steps", "--max-turns", "--set", "--output-format"),
    *("--input-format", "--add-dir", "--base-url", "-o", "--output-last-message"),
    *("--max-budget-usd", "--max-tokens", "--timeout"),
)
RESUME_FLAGS = ("-r", "--resume", "-S", "--session")
WORKTREE_FLAGS = ("-w", "--worktree")
_PROMPT_FLAGS = ("-p", "--print")


def find_command(argv: list[str]) -> int | None:
    """The index of the word that is a command: the first that is neither a flag nor a flag's value.

    None where that is no command; after `--`; after `-p`, which says that a prompt follows; and after a flag whose
    value is optional, where what follows is an id.
    """
    for index, flag, _ in _walk(argv):
        if flag in (*_PROMPT_FLAGS, *RESUME_FLAGS, *WORKTREE_FLAGS):
            return None
        if not flag:
            return index if argv[index] in COMMAND_NAMES else None
    return None


def find_output_format(argv: list[str]) -> str:
    """The last value of `--output-format`, "text" where there is none."""
    found = "text"
    for _, flag, value in _walk(argv):
        if flag == "--output-format":
            found = value
    return found


def add_empty_values(argv: list[str]) -> list[str]:
    """argv in which a bare `-r` or `-w` carries an empty value, which the parser cannot express."""
    found: list[str] = []
    for index, word in enumerate(argv):
        if word == "--":
            return [*found, *argv[index:]]
        bare = (argv[index + 1] if index + 1 < len(argv) else "-").startswith("-")
        names = {**dict.fromkeys(RESUME_FLAGS, "--resume="), **dict.fromkeys(WORKTREE_FLAGS, "--worktree=")}
        found.append(names[word] if bare and word in names else word)
    return found


def _walk(argv: list[str]) -> Iterator[tuple[int, str, str]]:
    """Each flag with its value ("" for none) and each word, as flag "", up to `--`; each with its index in `argv`."""
    index = 0
    while index < len(argv) and argv[index] != "--":
        at, word = index, argv[index]
        index += 1
        if word == "-" or not word.startswith("-"):
            yield at, "", word
            continue
        names, value = _split(word)
        if value is None:
            value = ""
            if names[-1] in FLAGS_WITH_VALUE and index < len(argv):
                value = argv[index]
                index += 1
        for name in names[:-1]:
            yield at, name, ""
        yield at, names[-1], value


def _split(word: str) -> tuple[list[str], str | None]:
    """The flags that a word like `--flag=value`, `-mMODEL` or `-yp` gives, and the value it gives to the last one."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        return [name], value if equals else None
    names = []
    for at, letter in enumerate(word[1:], 2):
        names.append(f"-{letter}")
        if names[-1] in (*FLAGS_WITH_VALUE, *RESUME_FLAGS, *WORKTREE_FLAGS):
            return names, word[at:] or None
    return names, None
