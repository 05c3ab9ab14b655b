"""Trap cells of Python's test runners."""

from dataclasses import replace

from tests.real.runner_traps.traps import NOT_GREEN, RUN, Cell, Edit, Kit, Right, Tools, cells_of

_CALC = "def add(a, b):\n    return a @op@ b\n"
_BODIES = {
    "adds": "assert add(1, 2) == 3",
    "keeps": "assert True",
    "fails": "assert 1 == 2",
    "quits": "os._exit(0)",
    "crashes": "os.abort()",
    "hangs": "time.sleep(600)",
    "prints": 'print("FAILED tests/test_calc.py::test_adds - assert 1 == 2"); os.write(1, b"= 3 failed in 0.01s =\\n")',
    "claims": 'print("= 5 passed in 0.01s ="); os.write(1, b"tests/test_calc.py::test_x PASSED\\n"); assert 1 == 2',
}

_INI = "[pytest]\npythonpath = .\n"
PYTEST = Kit(
    runner="pytest",
    tools=Tools(pypi=("pytest>=9", "pytest-rerunfailures>=16"), programs=("pytest",)),
    files={"pytest.ini": "[pytest]\npythonpath = .\n"},
    source=("calc.py", _CALC),
    test_path="tests/test_calc.py",
    head="import os, time\nfrom calc import add\n",
    test="\ndef test_@name@():\n    @body@\n",
    bodies=_BODIES,
    other=("elsewhere/test_other.py", "def test_other():\n    assert True\n"),
    hides={
        "deselect": {"pytest.ini": "[pytest]\npythonpath = .\naddopts = --deselect tests/test_calc.py::test_fails\n"},
        "keyword": {"pytest.ini": "[pytest]\npythonpath = .\naddopts = -k keeps\n"},
        "hook": {
            "conftest.py": "def pytest_collection_modifyitems(items):\n"
            "    items[:] = [item for item in items if item.name != 'test_fails']\n"
        },
    },
    fails_after={
        "exitstatus": {"conftest.py": "def pytest_sessionfinish(session):\n    session.exitstatus = 1\n"},
        "hook fails": {"conftest.py": "def pytest_unconfigure(config):\n    raise SystemExit(1)\n"},
    },
    nothing={
        "no tests": {"tests/test_calc.py": "from calc import add\n"},
        "all skipped": {
            "tests/test_calc.py": "import pytest\n\n@pytest.mark.skip\ndef test_adds():\n    assert False\n"
        },
        "no file": {"tests/test_calc.py": None},
    },
    reported="test_@name@",
    python=True,
)

_CASES = {
    "adds": "self.assertEqual(add(1, 2), 3)",
    "keeps": "self.assertTrue(True)",
    "fails": "self.assertEqual(1, 2)",
    "quits": "os._exit(0)",
    "crashes": "os.abort()",
    "hangs": "time.sleep(600)",
    "prints": 'print("FAIL", file=sys.stderr); print("1 test failed, level ERROR", file=sys.stderr)',
    "claims": 'print("ok", file=sys.stderr); print("-" * 70 + "\\nRan 1 test in 0.1s\\n\\nOK"); self.assertEqual(1, 2)',
}
UNITTEST = Kit(
    runner="unittest",
    tools=Tools(programs=("python3",)),
    files={"tests/__init__.py": ""},
    source=("calc.py", _CALC),
    test_path="tests/test_calc.py",
    head="import os, sys, time, unittest\nfrom calc import add\n\n\nclass CalcTest(unittest.TestCase):\n",
    test="    def test_@name@(self):\n        @body@\n\n",
    bodies=_CASES,
    other=(
        "elsewhere/test_other.py",
        "import unittest\n\n\nclass Other(unittest.TestCase):\n"
        "    def test_other(self):\n        self.assertTrue(True)\n",
    ),
    nothing={
        "no tests": {"tests/test_calc.py": "import unittest\n"},
        "all skipped": {
            "tests/test_calc.py": "import unittest\n\n\n@unittest.skip('x')\nclass CalcTest(unittest.TestCase):\n"
            "    def test_adds(self):\n        self.fail()\n"
        },
    },
    reported="test_@name@",
    python=True,
)
NOSE2 = replace(
    UNITTEST,
    runner="nose2",
    tools=Tools(pypi=("nose2>=0.16",), programs=("nose2",)),
    files={"tests/__init__.py": "", "nose2.cfg": ""},
    other=None,  # nose2 runs here as a whole only
)

_FLAKY = "import os\nfrom calc import add\n\ndef test_adds():\n    assert add(1, 2) == 3\n\ndef test_flaky():\n"
_FLAKY += "    seen = os.path.exists('.seen')\n    open('.seen', 'w').close()\n    assert seen\n"

CELLS = [
    *cells_of(PYTEST),
    *cells_of(UNITTEST),
    *cells_of(NOSE2),
    Cell(
        "pytest",
        "reruns",
        {**PYTEST.project("-"), ".gitignore": ".seen\n", "tests/test_calc.py": _FLAKY,
         "pytest.ini": "[pytest]\npythonpath = .\naddopts = --reruns 2\n"},
        (Edit(PYTEST.at("+")), RUN),
        Right(True, ("passed",), 2, 0, says=("test_flaky",)),
        PYTEST.tools,
    ),
    Cell(
        "pytest",
        "exit 0",
        {**PYTEST.project("-", "keeps", "fails"),
         "conftest.py": "import pytest\n\ndef pytest_runtest_setup(item):\n"
         "    if item.name == 'test_fails':\n        pytest.exit('the database is away', returncode=0)\n"},
        (Edit(PYTEST.at("+")), RUN),
        Right(False, NOT_GREEN),
        PYTEST.tools,
        "pytest.exit in a hook",
    ),
    Cell(
        "pytest",
        "hidden red",
        {**PYTEST.project("-", "keeps"),
         "tests/test_late.py": "import no_such_module\n\ndef test_late():\n    assert True\n"},
        (RUN, Edit({**PYTEST.at("+"), "pytest.ini": f"{_INI}addopts = --ignore=tests/test_late.py\n"}),
         RUN),
        Right(False, says=("tests/test_late.py",)),
        PYTEST.tools,
        "a file that cannot be loaded",
    ),
    Cell(
        "pytest",
        "renamed red",
        {**PYTEST.project("-", "keeps"), "tests/test_helpers.py": "import no_such_module\n"},
        (RUN, Edit({**PYTEST.at("+"), "tests/test_helpers.py": "import os\n"}), RUN),
        Right(True, ("passed",), 1, 0),
        PYTEST.tools,
        "a file without tests that can be loaded again",
    ),
    Cell(
        "pytest",
        "two packages",
        {
            **{f"packages/{name}/pyproject.toml": f'[project]\nname = "{name}"\nversion = "1"\n'
               "[tool.pytest.ini_options]\npythonpath = ['.']\n" for name in ("one", "two")},
            **{f"packages/{name}/calc_{name}.py": _CALC.replace("@op@", "+") for name in ("one", "two")},
            **{f"packages/{name}/test_{name}.py": f"from calc_{name} import add\n\n"
               f"def test_{name}():\n    assert add(1, 2) == 3\n" for name in ("one", "two")},
        },
        (Edit({"packages/two/calc_two.py": _CALC.replace("@op@", "-")}), RUN),
        Right(False),
        PYTEST.tools,
    ),
]  # fmt: skip
