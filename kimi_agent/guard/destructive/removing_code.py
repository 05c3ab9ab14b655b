"""Removing code: statements and functions that delete, handed to interpreters and to database clients."""

import re
from collections.abc import Iterator, Sequence

from kimi_agent.guard.destructive.command_table import Loss
from kimi_agent.guard.destructive.target_files import WorkspacePaths
from kimi_agent.guard.shell.expansion import WordValue, escape_pattern
from kimi_agent.guard.shell.invocation import Invocation
from kimi_agent.guard.shell.syntax.words import ShellWords, word_text, words_text

_INTERPRETERS = re.compile(r"python[\d.]*|node|nodejs|perl[\d.]*|ruby[\d.]*|php[\d.]*|deno|bun|lua[\d.]*")
_REMOVING = re.compile(
    r"\b(rmtree|os\.(remove|unlink|rmdir|removedirs)|\.unlink\(|rmSync|rmdirSync|unlinkSync|rm_rf?|FileUtils\.rm|unlink"
    r"|remove_tree|rimraf|fs\.rm\b|fs\.promises\.rm\b|remove_dir_all)\b"
)
_HOME = re.compile(r"Path\.home\(\)|homedir\(\)|Dir\.home|expanduser\(|(environ|getenv|ENV|env)\W{1,3}HOME\b")
_STRING = re.compile(r"\"((?:[^\"\\]|\\.){0,400})\"|'((?:[^'\\]|\\.){0,400})'")
MAX_STRINGS = 40
_SQL = re.compile(
    r"\b(drop\s+(table|database|schema|view|index|column|user|role)|truncate\s+(table\s+)?\w|delete\s+from\s+[\w.\"`\[\]]+\s*(;|$|['\"])"
    r"|flushall\b|flushdb\b|dropdatabase\(|\.drop\(|deletemany\(\s*\{\s*\})",
    re.IGNORECASE,
)
_SQL_CLIENTS = frozenset(
    {"psql", "mysql", "mariadb", "sqlcmd", "sqlplus", "mongo", "mongosh", "redis-cli", "clickhouse-client", "duckdb"}
    | {"cockroach", "cqlsh", "usql", "pgcli", "mycli", "bq", "snowsql", "sqlite3", "litecli", "sqlite", "valkey-cli"}
)
_FILE_DATABASES = frozenset({"sqlite3", "sqlite", "litecli", "duckdb"})


def removes_files(made: Invocation) -> bool:
    """Whether a command is an interpreter with code that deletes files."""
    return bool(_INTERPRETERS.fullmatch(made.name)) and any(map(_REMOVING.search, map(word_text, _code(made))))


def find_paths_in_code(made: Invocation) -> Iterator[WordValue]:
    """The paths that stand in such code, as far as they are absolute or in the home."""
    if not removes_files(made):
        return
    for text in map(word_text, _code(made)):
        if _HOME.search(text):
            yield WordValue("~")
        for match in list(_STRING.finditer(text))[:MAX_STRINGS]:
            path = match[1] or match[2] or ""
            if path.startswith(("/", "~")):
                yield WordValue(path[:1] + escape_pattern(path[1:]))


def _code(made: Invocation) -> ShellWords:
    return (*made.args, *made.documents)


def find_database_losses(name: str, texts: Sequence[str], made: Invocation, paths: WorkspacePaths) -> Iterator[Loss]:
    """What the client `name` with the arguments `texts` is told to destroy: a file of the workspace can be kept."""
    if name not in _SQL_CLIENTS:
        return
    sent = [*texts, *map(word_text, made.documents)]
    for feeder in made.fed:
        sent += [words_text(feeder.args), *map(word_text, feeder.documents)]
    found = next((match for text in sent if (match := _SQL.search(text))), None)
    if found is None:
        return
    what = f"runs {' '.join(found[0].split())[:40]!r} on a database"
    files = [text for text in texts if not text.startswith("-") and not re.search(r"[\s;]", text)][:1]
    if name in _FILE_DATABASES and files and (path := paths.inside(files[0])) is not None:
        yield Loss(what, paths=(path,), exact=True)
    else:
        yield Loss(what, covered=False)
