"""Whether tests plainly use a file: their imports, over the languages, and what is compiled as one package."""

from collections.abc import Mapping

import pytest

from kimi_agent.verify.import_reach import MAX_FILES_READ, ImportReach, is_document


def reaches(files: Mapping[str, str], tests: str | list[str], path: str) -> bool:
    return ImportReach(files.get).reaches([tests] if isinstance(tests, str) else tests, path)


@pytest.mark.parametrize(
    ("test", "text", "path", "others", "expected"),
    [
        # Python
        ("tests/test_a.py", "import a", "a.py", {}, True),
        ("tests/test_a.py", "import a", "src/a.py", {}, True),
        ("tests/test_a.py", "from pkg import a, b as c", "src/pkg/b.py", {}, True),
        ("tests/test_a.py", "from pkg import (\n    a,\n    b,\n)", "pkg/b.py", {}, True),
        ("tests/test_a.py", "from pkg.a import f", "pkg/__init__.py", {}, True),
        ("pkg/tests/test_a.py", "from ..a import f", "pkg/a.py", {}, True),
        ("pkg/tests/test_a.py", "from .. import a", "pkg/a.py", {}, True),
        ("pkg/tests/test_a.py", "from . import helpers", "pkg/tests/helpers.py", {}, True),
        ("tests/test_a.py", "def test():\n    from pkg import a", "pkg/a.py", {}, True),
        ("tests/test_a.py", "from pkg import a", "pkg/z.py", {"pkg/a.py": "from pkg.z import g"}, True),
        ("tests/test_a.py", "from pkg import f", "pkg/z.py", {"pkg/__init__.py": "from .z import f"}, True),
        ("tests/test_a.py", "x = 1", "pkg/a.py", {"tests/conftest.py": "from pkg import a"}, True),
        ("tests/test_a.py", "x = 1", "conftest.py", {}, False),
        ("test_a.py", "import b", "a.py", {}, False),  # the same folder says nothing
        ("tests/test_a.py", "# import a\nx = 'import a'", "a.py", {}, False),
        ("tests/test_a.py", "import ab", "a.py", {}, False),
        ("tests/test_a.py", "import os, sys", "setup.py", {}, False),
        # JavaScript and TypeScript
        ("test/a.test.js", "const a = require('../src/a')", "src/a.js", {}, True),
        ("src/a.test.ts", 'import { f } from "./a"', "src/a.ts", {}, True),
        ("src/a.test.ts", 'import { f } from "./a.js"', "src/a.ts", {}, True),
        ("src/a.test.tsx", "import A from '.'", "src/index.tsx", {}, True),
        ("src/a.test.js", "const a = await import('./deep/')", "src/deep/index.mjs", {}, True),
        ("src/a.test.js", "export * from './b'", "src/c.js", {"src/b.js": "import './c'"}, True),
        ("src/a.test.js", "import './data.json'", "src/data.json", {}, True),
        ("src/a.test.js", "import a from 'a'", "src/a.js", {}, False),
        ("src/a.test.js", "import './b'", "src/a.js", {}, False),
        ("a.test.js", "import '../../../etc/a'", "etc/a.js", {}, False),
        # Go
        ("pkg/a_test.go", "Add(1)", "pkg/b.go", {"pkg/b.go": "func Add(a int) int {"}, True),
        ("pkg/a_test.go", "Sub(1)", "pkg/b.go", {"pkg/b.go": "func Add(a int) int {"}, False),
        ("pkg/a_test.go", "S{}.Add(1)", "pkg/b.go", {"pkg/b.go": "func (s S) Add(a int) int {"}, True),
        ("pkg/a_test.go", 'import "ex.com/m/util"', "util/u.go", {"go.mod": "module ex.com/m\n"}, True),
        (
            "pkg/a_test.go",
            'import (\n\t"fmt"\n\tu "ex.com/m/util"\n)',
            "util/u.go",
            {"go.mod": "module ex.com/m"},
            True,
        ),
        ("srv/pkg/a_test.go", 'import "ex.com/m"', "srv/a.go", {"srv/go.mod": "module ex.com/m\n"}, True),
        ("pkg/a_test.go", 'import "ex.com/m/util"', "other/util/u.go", {"go.mod": "module ex.com/m\n"}, False),
        ("pkg/a_test.go", 'import "ex.com/m/util"', "util/deep/u.go", {"go.mod": "module ex.com/m\n"}, False),
        ("pkg/a_test.go", 'import "fmt"', "fmt/a.go", {"go.mod": "module ex.com/m\n"}, False),
        # Rust
        ("tests/it.rs", "use m::add;", "src/deep/a.rs", {"Cargo.toml": "", "src/deep/a.rs": "pub fn add()"}, True),
        ("tests/it.rs", "use m::sub;", "src/deep/a.rs", {"Cargo.toml": "", "src/deep/a.rs": "pub fn add()"}, False),
        ("a/tests/it.rs", "", "b/src/lib.rs", {"a/Cargo.toml": "", "b/Cargo.toml": ""}, False),
        # Ruby
        ("spec/a_spec.rb", "require_relative '../lib/a'", "lib/a.rb", {}, True),
        ("spec/a_spec.rb", 'require "m/a"', "lib/m/a.rb", {}, True),
        ("spec/a_spec.rb", "", "lib/a.rb", {"spec/spec_helper.rb": "require 'a'"}, True),
        ("spec/a_spec.rb", 'require "m/b"', "lib/m/a.rb", {}, False),
        # Java and Kotlin
        (
            "src/test/java/org/ATest.java",
            "A.f()",
            "src/main/java/org/A.java",
            {"src/main/java/org/A.java": "class A {"},
            True,
        ),
        (
            "src/test/java/org/ATest.java",
            "B.f()",
            "src/main/java/org/A.java",
            {"src/main/java/org/A.java": "class A {"},
            False,
        ),
        (
            "src/test/java/org/ATest.java",
            "A()",
            "src/main/kotlin/org/A.kt",
            {"src/main/kotlin/org/A.kt": "class A"},
            True,
        ),
        ("src/test/java/org/ATest.java", "import org.util.B;", "src/main/java/org/util/B.java", {}, True),
        ("src/test/java/org/ATest.java", "import static org.util.B.f;", "src/main/java/org/util/B.java", {}, True),
        ("src/test/java/org/ATest.java", "import org.util.*;", "src/main/java/org/util/B.java", {}, True),
        ("src/test/java/org/ATest.java", "import org.util.C;", "src/main/java/org/util/B.java", {}, False),
        ("one/src/test/java/org/ATest.java", "", "two/src/main/java/org/A.java", {}, False),
        # PHP
        ("tests/ATest.php", "use App\\Util\\A;", "src/Util/A.php", {}, True),
        ("tests/ATest.php", "require_once __DIR__ . '/../src/a.php';", "src/a.php", {}, True),
        ("tests/ATest.php", "use App\\Util\\B;", "src/Util/A.php", {}, False),
        # C and C++
        ("tests/a_test.cc", '#include "sum/a.h"', "src/a.cc", {}, True),
        ("tests/a_test.cc", "#include <a.hpp>", "include/a.hpp", {}, True),
        ("tests/a_test.cc", '#include "b.h"', "src/a.cc", {}, False),
        # Languages whose imports are not read: what stands in one folder
        ("lib/a_test.exs", "A.f", "lib/a.exs", {"lib/a.exs": "defmodule A do"}, True),
        ("test/a_test.exs", "", "lib/a.ex", {}, False),
    ],
)
def test_what_the_imports_of_a_test_lead_to(
    test: str, text: str, path: str, others: Mapping[str, str], expected: bool
) -> None:
    assert reaches({test: text, path: "", **others}, test, path) is expected


def test_a_test_reaches_itself_and_needs_no_text_for_it() -> None:
    assert reaches({}, "tests/test_a.py", "tests/test_a.py")
    assert not reaches({}, [], "a.py")
    assert not reaches({}, "tests/test_a.py", "a.py")


def test_imports_are_followed_for_three_steps_and_not_for_four() -> None:
    files = {"test_a.py": "import a1", "a1.py": "import a2", "a2.py": "import a3", "a3.py": "import a4"}
    assert reaches(files, "test_a.py", "a3.py")
    assert not reaches(files, "test_a.py", "a4.py")


def test_files_that_import_each_other_end() -> None:
    files = {"test_a.py": "import a", "a.py": "import b\nimport test_a", "b.py": "import a"}
    assert not reaches(files, "test_a.py", "c.py")


def test_few_files_are_read() -> None:
    names = [f"m{at}" for at in range(3_000)]
    files = {f"{name}.py": "\n".join(f"import {other}" for other in names[:50]) for name in names}
    asked: list[str] = []

    def text(path: str) -> str | None:
        asked.append(path)
        return files.get(path)

    reach = ImportReach(text)
    tests = [f"{name}.py" for name in names]
    assert not reach.reaches(tests, "none.py")
    assert sum(path in files for path in asked) <= MAX_FILES_READ + len(tests)
    before = len(asked)
    assert not reach.reaches(tests, "none.py")  # what was read is kept
    assert len(asked) == before


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("README", True),
        ("docs/a.md", True),
        ("LICENSE.txt", True),
        ("CHANGELOG.rst", True),
        ("requirements.txt", False),
        ("a.py", False),
        ("license.py", False),
    ],
)
def test_documents(path: str, expected: bool) -> None:
    assert is_document(path) is expected
