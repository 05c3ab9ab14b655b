"""What is said of a file whose syntax broke, and that nothing is said of what is not known."""

import importlib.util
import sys
import warnings
from typing import NamedTuple

import pytest

from kimi_agent.edit.planning.syntax_check import find_new_syntax_error
from tests.edit.file_trees import Tree
from tests.edit.table_rows import Row, judged, renamed, update, v4a

AS_PYTHON = f"(as Python {sys.version_info.major}.{sys.version_info.minor} reads it)"
needs_yaml = pytest.mark.skipif(importlib.util.find_spec("yaml") is None, reason="PyYAML is not installed")


class Case(NamedTuple):
    says: str
    path: str
    before: str | bytes | None
    after: str | bytes
    told: str


CASES = [
    Case("Python that broke", "a.py", "x = 1\n", "x = 1\n  y = 2\n",
        f"no longer parses: line 2: unexpected indent {AS_PYTHON}"),
    Case("Python that stays whole", "a.py", "x = 1\n", "x = 2\n", ""),
    Case("Python that was broken before", "a.py", "x = (\n", "x = [\n", ""),
    Case("Python that was mended", "a.py", "x = (\n", "x = 1\n", ""),
    Case("a stub", "a.pyi", "x: int\n", "x: \n", "no longer parses: line 1: "),
    Case("in capitals", "A.PY", "x\n", "(\n", "no longer parses: line 1: "),
    Case("a new Python file", "a.py", None, "def f(:\n", "does not parse: line 1: "),
    Case("a new file without anything", "a.json", None, "", ""),
    Case("Python in its own encoding", "a.py", "# coding: latin-1\nx = 1\n", b"# coding: latin-1\nx = '\xe4'\n", ""),
    Case("Python in a wrong encoding", "a.py", "x = 1\n", b"x = '\xe4'\n", "no longer parses: "),
    Case("Python with a mark", "a.py", "\ufeffx = 1\n", "\ufeffx = (\n", "no longer parses: line 1: "),
    Case("too many brackets", "a.py", "x\n", "(" * 300, "no longer parses: line 1: too many nested parentheses"),
    Case("a warning is no error", "a.py", "x = 1\n", "x = '\\d' is 1\n", ""),
    Case("JSON that broke", "a.json", '{"a": 1}\n', '{"a": 1,}\n', "no longer parses: line 1: "),
    Case("JSON with comments, as before", "tsconfig.json", '{\n// x\n"a": 1}\n', '{\n// y\n"a": 1}\n', ""),
    Case("new JSON with comments", "tsconfig.json", None, '{\n  // x\n  "a": 1}\n', ""),
    Case("new JSON without sense", "a.json", None, "{a}\n", "does not parse: line 1: "),
    Case("JSON with a very long number", "a.json", "1", "9" * 5_000, ""),
    Case("a notebook", "a.ipynb", "{}", "{", "no longer parses: line 1: "),
    Case("TOML that broke", "a.toml", "a = 1\n", "a = 1\nb = \n", "no longer parses: line 2: Invalid value"),
    Case("TOML that ends too soon", "a.toml", "a = 1\n", "a = [\n", "no longer parses: line 2: "),
    Case("a new template", "a.toml", None, "a = {{ b }}\n", ""),
    Case("a file of another kind", "a.js", "x", "(", ""),
    Case("a file without a kind", "Makefile", "x", "(", ""),
    Case("a file that is only a kind", ".py", "x", "(", "no longer parses: "),
    Case("a kind in a folder's name", "a.py/b", "x", "(", ""),
    Case("a file too big", "a.json", "1", "[" + "1," * 600_000, ""),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.says for case in CASES])
def test_what_is_said(case: Case) -> None:
    before, after = (text.encode() if isinstance(text, str) else text for text in (case.before, case.after))
    assert after is not None
    told = find_new_syntax_error(case.path, before, after)
    assert told.startswith(case.told)
    assert bool(told) == bool(case.told)


HOSTILE = {
    "brackets": ("a.json", "[" * 100_000 + "]" * 100_000),
    "objects": ("a.json", '{"a":' * 100_000),
    "TOML brackets": ("a.toml", "a=" + "[" * 100_000),
    "a key of many parts": ("a.toml", "a" + ".a" * 100_000 + "=1"),
    "minus signs": ("a.py", "-" * 100_000 + "1"),
    "attributes": ("a.py", "a" + ".a" * 100_000),
    "conditions": ("a.py", "if 1:\n  pass\n" + "elif 1:\n  pass\n" * 30_000),
    "lambdas": ("a.py", "lambda:" * 100_000 + "1"),
    "an endless number": ("a.toml", "a=" + "9" * 100_000),
}


@pytest.mark.parametrize(("path", "text"), HOSTILE.values(), ids=HOSTILE.keys())
def test_what_nests_too_deep_to_be_read_is_not_called_broken(path: str, text: str) -> None:
    assert find_new_syntax_error(path, b"", text.encode()) == ""


def test_no_warning_of_the_file_is_heard() -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        assert find_new_syntax_error("a.py", b"x\n", b"y = '\\d'\nassert (1, 2)\nx is 1\n") == ""
        before = list(warnings.filters)
    assert heard == []
    assert before[0][0] == "always"


def test_nothing_of_the_file_is_run(capfd: pytest.CaptureFixture[str]) -> None:
    assert find_new_syntax_error("a.py", None, b"print('run')\nraise SystemExit\n") == ""
    assert capfd.readouterr().out == ""


def test_a_message_is_one_short_line() -> None:
    told = find_new_syntax_error("a.py", b"x\n", ("x = '" + "\u202e\x07" * 400 + "\nbreak'\n(").encode())
    assert told.isprintable()
    assert len(told) < 300


@needs_yaml
def test_yaml_is_read_where_it_can_be() -> None:
    assert find_new_syntax_error("a.yml", b"a: 1\n", b"a: [1\nb: 2\n").startswith("no longer parses: line ")
    assert find_new_syntax_error("a.yaml", b"a: 1\n", b"a: !Ref x\n---\nb: &x [*y]\n") == ""
    assert find_new_syntax_error("a.yaml", None, b"a: {{ .Values.x }}\n") == ""
    assert find_new_syntax_error("a.yaml", b"a: 1\n", b"[" * 50_000) == ""


ROWS = [
    Row("a patch that breaks a file says so, and stands", {"src/a.py": "def f():\n    return 1\n"},
        update("@@", "-    return 1", "+    return (1", path="src/a.py"), {"src/a.py": "def f():\n    return (1\n"},
        f"Note: src/a.py no longer parses: line 2: '(' was never closed {AS_PYTHON}"),
    Row("a new file that does not parse", {}, v4a("*** Add File: a.json", "+{"), {"a.json": "{\n"},
        "Note: a.json does not parse: line 2: "),
    Row("a renamed file is still the same", {"a.py": "x = 1\n"},
        renamed("a.py", "b.py", "@@ -1 +1 @@", "-x = 1", "+x = ("),
        {"b.py": "x = (\n"}, "Note: b.py no longer parses"),
    Row("a file that becomes Python is a new one", {"a.txt": "no code\n"}, update("*** Move to: a.py", path="a.txt"),
        {"a.py": "no code\n"}, "Note: a.py does not parse"),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[row.says for row in ROWS])
def test_it_stands_in_the_result(row: Row) -> None:
    judged(row, Tree(row.before))


def test_it_stands_in_the_result_of_a_replacement() -> None:
    data, text = Tree({"a.toml": "a = 1\n"}).edit("1", "")
    assert data == b"a = \n"
    assert "Note: a.toml no longer parses: line 1: Invalid value" in text
