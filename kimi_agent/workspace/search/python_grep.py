"""Slow substitute for ripgrep, run as a script where that is missing: the few flags we use, the same output.

It takes Python's regular expressions instead of Rust's, and knows no ignore files and no file types. It is a process
of its own so that a pattern that never ends can be killed.
"""

import argparse
import os
import re
import stat
import sys
from collections.abc import Iterator
from typing import BinaryIO

_MAX_BYTES = 50_000_000


class SearchFailure(Exception):
    """A failure that ripgrep would print, and exit with 2."""


def run_search(argv: list[str], out: BinaryIO) -> int:
    """Search or list; 0 for hits, 1 for none, 2 for what could not be read or understood."""
    options = _options(argv)
    errors = hits = searched = 0
    try:
        globs = [(glob.startswith("!"), _glob(glob.removeprefix("!"))) for glob in options.glob]
        regex = None if options.files else _regex(options)
        if options.type:
            raise SearchFailure(f"unrecognized file type: {options.type} (file types need ripgrep)")
        for path in _walk(options.path, globs):
            if regex is None:
                out.write(os.fsencode(path) + b"\0")
                continue
            try:
                data = _read(path)
            except OSError as error:
                errors += 1
                _print_error(f"{path}: {error.strerror}")
                continue
            searched += 1
            if b"\0" not in data:
                hits += _search(path, data, regex, options, out)
    except SearchFailure as error:
        _print_error(str(error))
        return 2
    if regex is not None:
        out.write(b"\n%d matched lines\n%d files searched\n" % (hits, searched))
    return 2 if errors else 0 if hits else 1


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="rg", allow_abbrev=False)
    for flag in ("files", "count", "fixed-strings", "ignore-case", "case-sensitive", "multiline", "multiline-dotall"):
        parser.add_argument(f"--{flag}", action="store_true")
    # Accepted and not looked at: this substitute always does so, or never could.
    for flag in (
        *("no-config", "hidden", "null", "with-filename", "no-heading", "no-context-separator", "stats", "smart-case"),
        *("max-columns-preview", "line-number", "no-ignore", "no-require-git", "no-ignore-parent"),
    ):
        parser.add_argument(f"--{flag}", action="store_true")
    parser.add_argument("--color")
    parser.add_argument("--engine")
    parser.add_argument("--type", default="")
    parser.add_argument("--max-columns", type=int, default=500)
    parser.add_argument("--glob", action="append", default=[])
    parser.add_argument("-B", dest="before", type=int, default=0)
    parser.add_argument("-A", dest="after", type=int, default=0)
    parser.add_argument("--regexp", dest="pattern", default="")
    parser.add_argument("path")
    return parser.parse_args(argv)


def _regex(options: argparse.Namespace) -> re.Pattern[bytes]:
    pattern = re.escape(options.pattern) if options.fixed_strings else options.pattern
    smart = not options.case_sensitive and options.pattern == options.pattern.lower()
    flags = re.IGNORECASE if options.ignore_case or smart else re.RegexFlag(0)
    flags |= re.DOTALL if options.multiline_dotall else flags
    try:
        # Bytes, as the files are; letters beyond ASCII match as they are written.
        return re.compile(pattern.encode("utf-8", "surrogateescape"), flags | re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        raise SearchFailure(f"regex parse error: {error}") from error


def _search(path: str, data: bytes, regex: re.Pattern[bytes], options: argparse.Namespace, out: BinaryIO) -> int:
    """Print the hits of one file; gives how many lines match."""
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    if options.multiline:
        hits = _spanned(regex, data, len(lines))
    else:
        hits = [number for number, line in enumerate(lines) if regex.search(line)]
    name = os.fsencode(path)
    if hits and options.count:
        out.write(name + b"\0%d\n" % len(hits))
    elif hits:
        matching = set(hits)
        near = {n for hit in hits for n in range(hit - options.before, hit + options.after + 1)}
        for number in sorted(n for n in near if 0 <= n < len(lines)):
            line = lines[number]
            if len(line) > options.max_columns:
                line = line[: options.max_columns] + b" [... omitted end of long line]"
            out.write(name + b"\0%d%s%s\n" % (number + 1, b":" if number in matching else b"-", line))
    return len(hits)


def _spanned(regex: re.Pattern[bytes], data: bytes, count: int) -> list[int]:
    """The numbers (from 0) of all lines that a match touches."""
    touched: set[int] = set()
    line = at = 0
    for match in regex.finditer(data):
        line, at = line + data.count(b"\n", at, match.start()), match.start()
        touched.update(range(line, line + data.count(b"\n", at, max(at, match.end() - 1)) + 1))
    return sorted(number for number in touched if number < count)


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "not a regular file")
        if found.st_size > _MAX_BYTES:
            raise OSError(0, f"over {_MAX_BYTES // 1_000_000} MB, too big to search without ripgrep")
        return file.read()


def _walk(path: str, globs: "list[tuple[bool, re.Pattern[str]]]") -> Iterator[str]:
    """Regular files at or below `path`, links not followed."""
    if not stat.S_ISDIR(os.stat(path).st_mode):
        yield path
        return
    try:
        with os.scandir(path) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        _print_error(f"{path}: {error.strerror}")
        return
    for entry in entries:
        inner = os.path.join(path, entry.name)
        relative = inner.removeprefix("./")
        if any(negated and glob.fullmatch(relative) for negated, glob in globs):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(inner, globs)
        elif entry.is_file(follow_symlinks=False):
            wanted = [glob for negated, glob in globs if not negated]
            if not wanted or any(glob.fullmatch(relative) for glob in wanted):
                yield inner


def _glob(glob: str) -> re.Pattern[str]:
    """Compile a glob as gitignore reads it: without a slash inside it matches at any depth."""
    parts = [] if "/" in glob.rstrip("/") else ["(?:.*/)?"]
    for token in re.findall(r"\*\*/|/\*\*$|\*\*|\*|\?|\[[^\]]+\]|\{|\}|,|\\.|.", glob.strip("/"), re.DOTALL):
        match token:
            case "**/":
                parts.append("(?:.*/)?")
            case "/**":
                parts.append("/.*")
            case "*" | "**":
                parts.append("[^/]*")
            case "?":
                parts.append("[^/]")
            case "{":
                parts.append("(?:")
            case "}":
                parts.append(")")
            case ",":
                parts.append("|" if parts.count("(?:") > parts.count(")") else ",")
            case _ if token.startswith("[") and len(token) > 1:
                parts.append("[" + token[1:-1].replace("\\", "\\\\").replace("!", "^", token[1] == "!") + "]")
            case _:
                parts.append(re.escape(token.removeprefix("\\") or "\\"))
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error as error:
        raise SearchFailure(f"error parsing glob '{glob}': {error}") from error


def _print_error(text: str) -> None:
    sys.stderr.buffer.write(f"rg: {text}\n".encode("utf-8", "surrogateescape"))


if __name__ == "__main__":
    sys.exit(run_search(sys.argv[1:], sys.stdout.buffer))
