"""Syntax check of a change: finds a file that parsed before it and does not after. Parses only; runs nothing.

What is not known (another kind of file, one too big or nested too deep) is never called broken.
"""

import ast
import importlib
import json
import re
import sys
import threading
import tomllib
import warnings
from collections.abc import Callable, Mapping

MAX_CHECKED_BYTES = 1_000_000
MAX_YAML = 200_000  # a second of PyYAML with libyaml; without it, it is ten times slower
MAX_MESSAGE_CHARS = 200  # of a parser's message
MAX_DOTS = 100  # in one line of TOML: tomllib takes minutes for a key of thousands of parts
MAX_YAML_DEPTH = 400  # of brackets in YAML: PyYAML looks at each open one for every token
COMMENT = ("//", "/*")
TEMPLATE = ("{{", "{%")

# Python's filters of warnings belong to the whole process; two threads that set them aside must not cross.
_FILTERS = threading.Lock()

SyntaxCheck = Callable[[bytes], str | None]


def find_new_syntax_error(path: str, before: bytes | None, after: bytes, *, old_path: str = "") -> str:
    """ "no longer parses: line 41: unexpected indent", "does not parse: ..." for a new file, or ""."""
    check = _check(path)
    wrong = _run_check(check, after)
    if not wrong:
        return ""
    if before is None or _check(old_path or path) is not check:
        return "" if _is_template(path, after) else f"does not parse: {wrong}"
    return f"no longer parses: {wrong}" if _run_check(check, before) == "" else ""


def _check(path: str) -> SyntaxCheck | None:
    name = path.rpartition("/")[2].lower()
    return _CHECKS.get(name[name.rfind(".") :]) if "." in name else None


def _run_check(check: SyntaxCheck | None, data: bytes) -> str | None:
    """What is wrong, "" if nothing is, None where that is not known."""
    if check is None or len(data) > MAX_CHECKED_BYTES:
        return None
    try:
        return check(data)
    except (RecursionError, MemoryError, ValueError, OverflowError):
        return None


def _is_template(path: str, data: bytes) -> bool:
    """Whether a new file is meant to be read by something laxer: comments in JSON, a template, nothing yet."""
    text = data.decode("utf-8", "replace")
    if _check(path) is _json and any(line.lstrip().startswith(COMMENT) for line in text.split("\n")):
        return True
    return not text.strip() or (_check(path) is not _python and any(mark in text for mark in TEMPLATE))


def _python(data: bytes) -> str | None:
    try:
        with _FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(data)
    except SyntaxError as error:
        by = f" (as Python {sys.version_info.major}.{sys.version_info.minor} reads it)"
        return _format_error(error.lineno, error.msg, by)
    return ""


def _json(data: bytes) -> str | None:
    try:
        json.loads(data, parse_int=len, parse_float=len)  # how big a number is, is no question of syntax
    except json.JSONDecodeError as error:
        return _format_error(error.lineno, error.msg)
    return ""


def _toml(data: bytes) -> str | None:
    text = data.decode()
    if any(line.count(".") > MAX_DOTS for line in text.split("\n")):
        return None
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.fullmatch(r"(.*?) \(at (?:line (\d+), column \d+|end of document)\)", str(error), re.DOTALL)
        if found is None:
            return _format_error(None, str(error))
        return _format_error(int(found[2] or text.count("\n") + 1), found[1])
    return ""


def _yaml(data: bytes) -> str | None:
    try:
        yaml = importlib.import_module("yaml")
    except ImportError:
        return None
    fast = hasattr(yaml, "CSafeLoader")
    if len(data) > (MAX_YAML if fast else MAX_YAML // 10) or _depth(data) > MAX_YAML_DEPTH:
        return None
    try:
        # Events only: no tag is looked up, no object is made.
        for _ in yaml.parse(data, Loader=yaml.CSafeLoader if fast else yaml.SafeLoader):
            pass
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        return _format_error(mark.line + 1 if mark else None, getattr(error, "problem", None) or str(error))
    return ""


def _depth(data: bytes) -> int:
    """How deep brackets nest, at most (those in strings count too)."""
    depth = most = 0
    for byte in data:
        if byte in b"[{":
            depth += 1
            most = max(most, depth)
        elif byte in b"]}" and depth:
            depth -= 1
    return most


def _format_error(line: int | None, message: str, by: str = "") -> str:
    shown = "".join(char if char.isprintable() else " " for char in message)
    shown = shown if len(shown) <= MAX_MESSAGE_CHARS else shown[: MAX_MESSAGE_CHARS - 1] + "…"
    return (f"line {line}: " if line else "") + shown + by


_CHECKS: Mapping[str, SyntaxCheck] = {
    ".py": _python,
    ".pyi": _python,
    ".json": _json,
    ".ipynb": _json,
    ".toml": _toml,
    ".yaml": _yaml,
    ".yml": _yaml,
}
