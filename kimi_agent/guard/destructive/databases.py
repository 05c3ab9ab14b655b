"""Databases: the statements that a command sends to a database client and that destroy data."""

import re
from collections.abc import Iterator, Sequence

from kimi_agent.guard.destructive.command_table import Loss
from kimi_agent.guard.destructive.target_files import WorkspacePaths
from kimi_agent.guard.shell.invocation import Invocation
from kimi_agent.guard.shell.syntax.words import word_text, words_text

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
