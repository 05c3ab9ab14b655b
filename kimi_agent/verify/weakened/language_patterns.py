"""Language patterns: regular expressions for tests, assertions and skips. A new language is a new entry."""

from dataclasses import dataclass
from pathlib import PurePosixPath

_STRINGS = r'"(?:\\.|[^"\\\n])*+"?|' + r"'(?:\\.|[^'\\\n])*+'?"
_SLASHES = rf"(?P<kept>{_STRINGS}|`(?:\\.|[^`\\])*+`?)|//[^\n]*|/\*.*?(?:\*/|\Z)"
_BOTH = rf"(?P<kept>{_STRINGS})|//[^\n]*|\#(?!\[)[^\n]*|/\*.*?(?:\*/|\Z)"
_HASHES = rf"(?P<kept>{_STRINGS})|\#[^\n]*"
_NEVER = r"(?!)"


@dataclass(frozen=True)
class LanguagePatterns:
    """The patterns of one language. `start` holds `name` (or `name2`), and `group` for what only holds tests.

    A line that `head` matches (an attribute, a decorator) belongs to what follows. With `marked`, a start is a test
    only where its heads, or its own line, hold such a mark. `other` begins what is neither test nor group. The patterns
    are compiled where a file is read, not before.
    """

    comments: str
    start: str
    checks: str
    skips: str
    trivial: str = _NEVER
    head: str = _NEVER
    marked: str = ""
    other: str = _NEVER


PYTHON_PATTERNS = LanguagePatterns(
    _HASHES,
    r"^\s*(?:async\s+)?def\s+(?P<name>test\w*)",
    r"\bassert\b | \bassert\w+\s*\( | \bpytest\.(?:raises|warns|fail)\b | \bself\.fail\(",
    r"\b(?:skip\w*|xfail|expectedFailure|SkipTest)\b",
    r"\bassert\s+(?:True|1)\s*(?:$|,) | \bassertTrue\(True\)",
    head=r"^\s*@",
    other=r"^\s*(?:async\s+)?(?:def|class)\s",
)
_JS = LanguagePatterns(
    _SLASHES,
    r"""(?<![\w.$]) (?: (?P<group>[xf]?(?:describe|context|suite)) | [xf]?(?:it|test) | specify | Deno\.test )
        (?:\.\w+)* (?: \([^()]*\) | `[^`]*` )? \s* \( \s* (?: (?P<name>'[^']*'?) | (?P<name2>"[^"]*"?|`[^`]*`?) )""",
    r"""(?<![\w$.]) expect(?:TypeOf)? (?:\.soft|\.poll)? \s*\( | (?<![\w$]) assert\w* (?:\.\w+)* \s*\( | \.should\b
        | \bshould\.\w
        | \bt\.(?:is|not|deepEqual|true|false|truthy|falsy|throws\w*|regex|snapshot|like|fail|equal|same|ok)\(""",
    r"""(?<![\w.$]) (?: [xf](?:it|test|describe|context|suite) \s*\(
        | (?:it|(?:Deno\.)?test|describe|context|suite|specify)
          \.(?:ignore|skip\w*|todo|failing|fails|fixme|runIf|only)\b )
        | \b(?:this|t|ctx|context)\.skip\( | \b(?:skip|todo)\s*:\s*(?:true|['"`]) | (?<![\w.$])pending\(""",
    r"""\bexpect\(\s*(?:true|1|!0)\s*\)\.(?:toBe\((?:true|1)\)|toBeTruthy\(\)|toEqual\((?:true|1)\)|to\.be\.true)
        | \bexpect\(\s*(?:false|0)\s*\)\.(?:toBe\(false\)|toBeFalsy\(\)) | \bassert(?:\.ok)?\(\s*true\s*[,)]
        | \bassert\.(?:strict)?[eE]qual\(\s*(\w+)\s*,\s*\1\s*[,)] | \bt\.(?:true|truthy|ok)\(\s*true\s*[,)]""",
)
_GO = LanguagePatterns(
    _SLASHES,
    r"^func\s+(?:\([^)]*\)\s*)?(?P<name>(?:Test|Fuzz|Example)\w*)\s*\(",
    r"""\b(?:t|tb|b|f|c)\.(?:Errorf?|Fatalf?|Fail|FailNow|Assert|Check)\(
        | \b(?:require|assert|is|qt|check)\.\w+\( | \bs\.(?:Require\(\)\.|Assert\(\)\.)?[A-Z]\w*\( | \bExpect\(""",
    r"\b(?:t|tb|b|f|s\.T\(\))\.Skip(?:f|Now)?\(",
    r"""\b(?:assert|require)\.True\(t,\s*true\s*[,)] | \b(?:assert|require)\.False\(t,\s*false\s*[,)]
        | \b(?:assert|require)\.Equal\(t,\s*(\w+),\s*\1\s*[,)]""",
    other=r"^func\s",
)
_RUST = LanguagePatterns(
    _SLASHES,
    r"(?:^|[\s\]])fn\s+(?P<name>\w+)",
    r"\b(?:debug_|prop_)?assert\w*!\s*[(\[{] | \bpanic!\s*\(",
    r"\#\[\s*ignore\b | \#\[cfg_attr\([^\n]*\bignore\b",
    r"\bassert!\(\s*true\s*[,)] | \bassert_eq!\(\s*(\w+)\s*,\s*\1\s*[,)]",
    head=r"^\s*\#\[",
    marked=r"\#\[\s*(?:\w+::)*(?:\w*test\w*|rstest|case|quickcheck)\b",
)
_RUBY = LanguagePatterns(
    _HASHES,
    r"""^\s*(?: def\s+(?P<name>test_\w+[?!]?)
        | (?: (?P<group>[xf]?(?:describe|context|feature)) | [xf]?(?:it|specify|test|scenario|example|should) )
          (?:\s+|\(\s*) (?P<name2>'[^']*'?|"[^"]*"?) )""",
    r"""\bexpect\b\s*[({] | \b(?:assert|refute)\w*\b | \.should(?:_not)?\b | \.(?:must|wont)_\w+ | \bis_expected\b
        | \bflunk\b""",
    r"""^\s*(?:skip|pending|omit|xit|xspecify|xtest|xdescribe|xcontext|xscenario|xexample)\b
        | \bskip\s+(?:['"]|if|unless) | [,(]\s*(?::skip|:pending|skip:|pending:)""",
    r"""\bassert\s*\(?\s*true\b | \bexpect\(\s*true\s*\)\.to\s+(?:be|eq\(?\s*true|be_truthy)
        | \bassert_equal\s*\(?\s*(\w+),\s*\1\b""",
    other=r"^\s*def\s",
)
_JVM = LanguagePatterns(
    _SLASHES,
    r"""\b(?P<group>class|interface|object)\s+(?P<name>\w+) | \b(?:void|fun|def|Unit|Object|Promise)\s+
        (?:<[^>]*>\s*)? (?: (?P<name2>\w+|`[^`]+`|"[^"]+") )\s*\(""",
    r"""\b(?:assert|verify|expect|should)\w*\s*[({<] | \bassert\s | \bfail\s*\( | \bthrown\s*\(
        | \s(?:shouldBe|shouldNotBe|should|mustBe)\s""",
    r"""@(?:Disabled|Ignore|Enabled|PendingFeature|Requires|IgnoreIf)\w* | \benabled\s*=\s*false\b
        | \b(?:assume\w*|Assumptions\.\w+|Assume\.\w+)\s*\(""",
    r"""\bassertTrue\(\s*true\s*[,)] | \bassertFalse\(\s*false\s*[,)] | \bassertEquals\(\s*(\w+)\s*,\s*\1\s*[,)]
        | \bassertThat\(\s*true\s*\)\.isTrue\(\)""",
    head=r"^\s*@\w",
    marked=r"@(?:\w*Test\w*|Property|Theory)\b | \b(?:void|fun)\s+test | \bdef\s+(?:\"|test)",
    other=r"^\s*(?:public|protected|private|internal|static|final|override|suspend)\b[^=;{]*\(",
)
_CSHARP = LanguagePatterns(
    _SLASHES,
    r"\b(?P<group>class|record)\s+(?P<name>\w+) | \b(?:void|Task(?:<[^>]*>)?|ValueTask|unit)\s+(?P<name2>\w+)\s*\(",
    r"""\b(?:Assert|CollectionAssert|StringAssert|FileAssert|Verifier)\.(?!Ignore|Inconclusive|Pass)\w+
        | \.(?:Should|Verify)\w*\( | \bExpect\w*\( | \bAssert\w*\(""",
    r"\[\s*(?:Ignore|Explicit)\b | \bSkip\s*= | \bAssert\.(?:Ignore|Inconclusive)\( | \bSkip\.If\w*\(",
    r"\bAssert\.(?:True|IsTrue)\(\s*true\s*[,)] | \bAssert\.(?:Equal|AreEqual)\(\s*(\w+)\s*,\s*\1\s*[,)]",
    head=r"^\s*\[(?!\s*assembly)",
    marked=r"\[\s*(?:\w*Fact|\w*Theory|\w*Test\w*)\b",
    other=r"^\s*(?:public|protected|private|internal|static|override|async)\b[^=;{]*\(",
)
_PHP = LanguagePatterns(
    _BOTH,
    r"""\bfunction\s+(?P<name>\w+)\s*\( | (?<![\w>:$])(?: (?P<group>describe) | it | test )\s*\(\s*
        (?P<name2>'[^']*'?|"[^"]*"?)""",
    r"(?:\$this->|self::|static::)(?:assert\w+|expectException\w*|expectOutput\w*|fail)\s*\( | \bexpect\s*\(",
    r"\bmarkTest(?:Skipped|Incomplete)\b | ->(?:skip\w*|todo|only)\( | \#\[\s*Requires",
    r"assertTrue\(\s*true\s*[,)] | assert(?:Equals|Same)\(\s*(\w+)\s*,\s*\1\s*[,)] | expect\(true\)->toBeTrue\(\)",
    head=r"^\s*\#\[",
    marked=r"\#\[\s*(?:\w+\\)*(?:Test|DataProvider|TestWith)\b | \bfunction\s+test | \b(?:it|test|describe)\s*\(",
)
_ELIXIR = LanguagePatterns(
    _HASHES,
    r"^\s*(?:(?P<group>describe)|test|property)\s*\(?\s*(?P<name>\"[^\"]*\"?)",
    r"\b(?:assert|refute)\w*\b | \bflunk\b",
    r"@(?:module|describe)?tag\s+(?::skip|skip:)",
    r"\bassert\s*\(?\s*true\b",
    head=r"^\s*@\w*tag\b",
    other=r"^\s*(?:defp?|setup\w*)\s",
)
_C = LanguagePatterns(
    _SLASHES,
    r"""^\s*(?: TEST(?:_F|_P)? \s*\(\s*(?P<name>\w+\s*,\s*\w+)
        | (?:TEST_CASE|SCENARIO|TEST)\s*\(\s*(?P<name2>"[^"]*"?|\w+)
        | (?:static\s+)?(?:void|int)\s+(?P<name3>test\w*)\s*\( )""",
    r"\b(?:EXPECT|ASSERT|CHECK|REQUIRE|FAIL|TEST_ASSERT|ck_assert)\w*\s*\( | \bassert\w*\s*\(",
    r"\bDISABLED_ | \b(?:GTEST_SKIP|SKIP)\s*\( | \"\s*\[[.!]",
    r"\b(?:EXPECT|ASSERT)_TRUE\(\s*(?:true|1)\s*\) | \b(?:CHECK|REQUIRE|assert)\(\s*(?:true|1)\s*\)",
)
_SWIFT = LanguagePatterns(
    _SLASHES,
    r"\bfunc\s+(?P<name>\w+)\s*\(",
    r"\bXCT(?:Assert|Fail|Unwrap)\w*\s*\( | \#(?:expect|require)\s*\(",
    r"\bXCTSkip\w* | \.disabled\b",
    r"\bXCTAssert(?:True)?\(\s*true\s*[,)] | \#expect\(\s*true\s*\)",
    head=r"^\s*@\w+[^{]*$",
    marked=r"@Test\b | \bfunc\s+test",
)
_DART = LanguagePatterns(
    _SLASHES,
    r"(?<![\w.$])(?:(?P<group>group)|test|testWidgets)\s*\(\s*(?P<name>'[^']*'?|\"[^\"]*\"?)",
    r"(?<![\w.$])(?:expect\w*|fail|verify)\s*\(",
    r"\bskip\s*:\s*(?!false)",
    r"\bexpect\(\s*true\s*,\s*(?:true|isTrue)\s*\)",
)
_ZIG = LanguagePatterns(
    _SLASHES,
    r"^\s*test\s+(?P<name>\"[^\"]*\"?|\w+)\s*\{",
    r"\bexpect\w*\s*\( | \bassert\s*\(",
    r"\bSkipZigTest\b",
    r"\bexpect\(\s*true\s*\)",
    other=r"^\s*(?:pub\s+)?fn\s",
)
_LUA = LanguagePatterns(
    rf"(?P<kept>{_STRINGS})|--\[\[.*?(?:\]\]|\Z)|--[^\n]*",
    r"""(?<![\w.:])(?:(?P<group>describe|context|insulate|expose)|it|test|spec)\s*\(\s*
        (?P<name>'[^']*'?|\"[^\"]*\"?)""",
    r"(?<![\w.:])(?:assert|error)\b",
    r"(?<![\w.:])pending\s*\(",
    r"\bassert(?:\.is_true|\.truthy)?\s*\(\s*true\s*[,)]",
)
_BATS = LanguagePatterns(
    _HASHES,
    r"^\s*@test\s+(?P<name>'[^']*'?|\"[^\"]*\"?)",
    r"^\s*(?:\[\[?\s|!\s|run\b|test\s|assert\w*\b|refute\w*\b|false\b)",
    r"^\s*skip\b",
    other=r"^\s*\w+\s*\(\)",
)
_R = LanguagePatterns(
    _HASHES,
    r"(?<![\w.])(?:(?P<group>describe)|test_that|it)\s*\(\s*(?P<name>'[^']*'?|\"[^\"]*\"?)",
    r"\bexpect_\w+\s*\(",
    r"\bskip\w*\s*\(",
    r"\bexpect_true\(\s*TRUE\s*[,)]",
)
_ERLANG = LanguagePatterns(
    rf"(?P<kept>{_STRINGS})|%[^\n]*",
    r"^(?P<name>\w+_test_?)\s*\(",
    r"\?_?assert\w*\s*\(",
    _NEVER,
    r"\?_?assert\(\s*true\s*\)",
    other=r"^[a-z]\w*\s*\(",
)
_NIM = LanguagePatterns(
    _HASHES,
    r"^\s*(?:(?P<group>suite)|test)\s+(?P<name>\"[^\"]*\"?)",
    r"\b(?:check|require|expect|doAssert\w*|assert)\b",
    r"\bskip\s*\(",
    r"\b(?:check|require|doAssert)\s*\(?\s*true\b",
    other=r"^\s*(?:proc|func|template|macro)\s",
)
_LANGUAGES = {
    "py": PYTHON_PATTERNS,
    **dict.fromkeys(("js", "jsx", "ts", "tsx", "mjs", "cjs", "mts", "cts"), _JS),
    "go": _GO,
    "rs": _RUST,
    **dict.fromkeys(("rb", "cr"), _RUBY),  # Crystal's specs are written as RSpec's
    **dict.fromkeys(("java", "kt", "kts", "scala", "groovy"), _JVM),
    "cs": _CSHARP,
    "php": _PHP,
    "exs": _ELIXIR,
    **dict.fromkeys(("c", "cc", "cpp", "cxx"), _C),
    "swift": _SWIFT,
    "dart": _DART,
    "zig": _ZIG,
    "lua": _LUA,
    "bats": _BATS,
    "r": _R,
    "erl": _ERLANG,
    "nim": _NIM,
}
INLINE_TEST_SUFFIXES = frozenset({"rs", "zig"})
"""Languages whose tests stand among the code that they test."""


def find_language(path: str) -> LanguagePatterns | None:
    """How tests are written in the file at `path`."""
    return _LANGUAGES.get(PurePosixPath(path).suffix[1:].lower())
