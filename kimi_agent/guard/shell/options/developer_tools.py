"""Table of the options of test runners, type checkers, linters, builders and interpreters.

A rule for one of them speaks for the repository's own code and settings, as the tool finds them in the working folder.
Left out are options that name other code or settings (`-p plugin`, `--config`), programs (`-toolexec`,
`--script-shell`), places to write (`--junitxml`, `-o`), or that change files where the name says check (`--fix`).
"""

from kimi_agent.guard.shell.options.spec import CommandSpec

_NO_ARGUMENT_FILE = {"PATH": r"(?!@).*"}
_PYTEST = CommandSpec(
    short="xvqslhVk:m:r:n:p:W:",
    long="exitfirst verbose quiet verbosity= maxfail= tb= durations= durations-min= no-header no-summary show-capture= "
    "showlocals no-showlocals full-trace capture= collect-only co last-failed lf failed-first ff new-first nf stepwise "
    "sw stepwise-skip sw-skip last-failed-no-failures= lfnf= cache-show=? cache-clear strict strict-markers "
    "strict-config color= code-highlight= disable-warnings disable-pytest-warnings fixtures funcargs fixtures-per-test "
    "markers setup-only setup-show setup-plan ignore= ignore-glob= deselect= runxfail continue-on-collection-errors "
    "doctest-modules doctest-continue-on-failure noconftest keep-duplicates import-mode= xfail-tb numprocesses= dist= "
    "timeout= timeout-method= reruns= reruns-delay= cov=? cov-report= cov-branch no-cov cov-fail-under= "
    "benchmark-disable benchmark-skip help version",
    values={
        **_NO_ARGUMENT_FILE,
        "p": r"no:\w+",
        "W": r"(?:error|ignore|always|default|module|once)(?:::\w+)?",  # a dotted category is imported
        "cov-report": r"|term|term-missing|term(?:-missing)?:skip-covered",
    },
    texts="k m deselect ignore-glob",
)
_MYPY_FLAGS = (
    "strict-optional implicit-optional namespace-packages explicit-package-bases implicit-reexport strict-equality "
    "incremental strict-bytes extra-checks local-partial-types allow-redefinition silence-site-packages "
    "site-packages warn-redundant-casts warn-unused-ignores warn-no-return warn-return-any warn-unreachable "
    "warn-unused-configs warn-incomplete-stub "
    "error-summary color-output pretty"
)
_MYPY = CommandSpec(
    short="vhVp:m:",
    long="strict verbose help version package= module= ignore-missing-imports follow-imports= follow-untyped-imports "
    "python-version= platform= always-true= always-false= enable-error-code= disable-error-code= exclude= "
    "exclude-gitignore check-untyped-defs disallow-untyped-defs disallow-untyped-calls disallow-incomplete-defs "
    "disallow-untyped-decorators disallow-any-generics disallow-any-explicit disallow-any-expr disallow-any-decorated "
    "disallow-any-unimported disallow-subclassing-any hide-error-codes show-error-codes show-error-end "
    "show-column-numbers show-error-context hide-error-context show-error-code-links show-absolute-path "
    "soft-error-limit= scripts-are-modules fast-module-lookup cache-fine-grained sqlite-cache raise-exceptions "
    + " ".join(f"{name} no-{name}" for name in _MYPY_FLAGS.split()),
    values=_NO_ARGUMENT_FILE,
    texts="exclude",
)
_RUFF_SHARED = (
    "diff quiet verbose silent no-cache isolated preview no-preview exclude= force-exclude no-force-exclude "
    "respect-gitignore no-respect-gitignore target-version= help "
)
_CARGO_SHARED = (
    "verbose quiet release profile= all workspace lib bins bin= examples example= tests test= benches bench= "
    "all-targets features= all-features no-default-features package= exclude= jobs= keep-going locked offline frozen "
    "message-format= color= target= ignore-rust-version help version "
)
_CARGO_VALUES = {"target": r"[\w.-]+(?<!\.json)", "TEXT": r"(?!@).*"}
_LIBTEST = CommandSpec(
    short="q",
    long="nocapture no-capture show-output test-threads= ignored include-ignored exact skip= list quiet color=",
    operands="TEXT...",
)
_LINT_LEVELS = CommandSpec(short="D:W:A:F:", long="deny= warn= allow= forbid=", operands="")
_CARGO = CommandSpec(short="vqrhp:j:F:", long=_CARGO_SHARED, operands="", values=_CARGO_VALUES)
_GO_SHARED = "v x n a race msan asan trimpath p= tags= mod= buildvcs= work json cover "
_GO_VALUES = {"mod": "readonly|vendor", "vet": "off"}
_NPM = CommandSpec(
    short="sw:",
    long="silent workspace= workspaces if-present",
    values={"PATH": r"(?!-).*"},
    rest=CommandSpec(),
)
_SCRIPT = CommandSpec(operands="SCRIPT PATH...")  # what follows the script's name goes to it, options too
_INTERPRETER = CommandSpec(short="vV", long="version help", stops=True)
_PYTHON = CommandSpec(short="uBbOEsSIqvVdh", long="version help", stops=True)

DEVELOPER_TOOLS = {
    **dict.fromkeys(("pytest", "py.test"), _PYTEST),
    "mypy": _MYPY,
    "tsc": CommandSpec(
        short="vhp:",
        long="noEmit strict pretty skipLibCheck noErrorTruncation listFiles listFilesOnly showConfig explainFiles "
        "diagnostics extendedDiagnostics noUnusedLocals noUnusedParameters noImplicitAny project= help version all",
        values=_NO_ARGUMENT_FILE,
    ),
    "make": CommandSpec(
        short="j::knsiqBwStl::",
        long="jobs=? keep-going just-print dry-run silent quiet ignore-errors question always-make print-directory "
        "no-print-directory trace load-average=? output-sync=? warn-undefined-variables touch version help",
        operands="TARGET...",
        values={"TARGET": r"[^=]*"},  # an assignment, SHELL among them, in whatever spelling
    ),
    "ruff": CommandSpec(short="Vh", long="version help", stops=True),
    "cargo": CommandSpec(short="Vhvq", long="version help verbose quiet list locked offline frozen", stops=True),
    "go": CommandSpec(operands="", stops=True),
    **dict.fromkeys(("npm", "pnpm", "yarn"), CommandSpec(short="vh", long="version help", stops=True)),
    "python": _PYTHON,
    **dict.fromkeys(("perl", "ruby", "node", "php", "lua"), _INTERPRETER),
    **dict.fromkeys(("deno", "bun"), CommandSpec()),
}

DEVELOPER_COMMANDS = {
    "ruff check": CommandSpec(
        short="qvseh",
        long="select= ignore= extend-select= extend-ignore= per-file-ignores= extend-per-file-ignores= extend-exclude= "
        "fixable= unfixable= extend-fixable= statistics show-fixes no-show-fixes no-fix output-format= line-length= "
        "show-files show-settings exit-zero exit-non-zero-on-fix dummy-variable-rgx= " + _RUFF_SHARED,
        values={**_NO_ARGUMENT_FILE, "output-format": r"[a-z-]+"},
        texts="exclude extend-exclude per-file-ignores extend-per-file-ignores dummy-variable-rgx",
    ),
    "ruff format": CommandSpec(
        short="qvsh",
        long="check line-length= range= exit-non-zero-on-format " + _RUFF_SHARED,
        values=_NO_ARGUMENT_FILE,
        texts="exclude",
    ),
    **dict.fromkeys(("cargo build", "cargo check", "cargo b", "cargo c"), _CARGO),
    **dict.fromkeys(
        ("cargo test", "cargo t", "cargo bench"),
        CommandSpec(
            short=_CARGO.short,
            long=_CARGO_SHARED + "doc no-run no-fail-fast",
            operands="TEXT",
            values=_CARGO_VALUES,
            rest=_LIBTEST,
        ),
    ),
    "cargo clippy": CommandSpec(
        short=_CARGO.short, long=_CARGO_SHARED + "no-deps", operands="", values=_CARGO_VALUES, rest=_LINT_LEVELS
    ),
    "cargo fmt": CommandSpec(
        short="vqp:h",
        long="check all package= message-format= verbose quiet",
        operands="",
        rest=CommandSpec(short="vql", long="check verbose quiet files-with-diff color=", operands=""),
    ),
    "cargo doc": CommandSpec(short=_CARGO.short, long=_CARGO_SHARED + "no-deps", operands="", values=_CARGO_VALUES),
    "cargo tree": CommandSpec(short="dip:e:", long=_CARGO_SHARED + "depth= edges= invert=? duplicates", operands=""),
    "go build": CommandSpec(long=_GO_SHARED, values=_GO_VALUES, single_dash=True),
    "go test": CommandSpec(
        long=_GO_SHARED + "run= skip= list= bench= benchmem benchtime= count= cpu= failfast fullpath parallel= short "
        "shuffle= timeout= covermode= coverpkg= vet=",
        values=_GO_VALUES,
        texts="run skip list bench coverpkg",
        single_dash=True,
    ),
    "go vet": CommandSpec(long="v x n json tags= mod= c=", values=_GO_VALUES, single_dash=True),
    "go fmt": CommandSpec(long="n x mod=", values=_GO_VALUES, single_dash=True),
    "go list": CommandSpec(
        long="json m deps test f= e u tags= mod= find", values=_GO_VALUES, texts="f", single_dash=True
    ),
    "go version": CommandSpec(operands=""),
    "npm test": _NPM,
    "npm run": _NPM,
    "npm ls": CommandSpec(short="al", long="all long depth= json parseable", operands="TEXT..."),
    **dict.fromkeys(
        ("npm install", "npm i", "npm ci"), CommandSpec(short="DES", long="save-dev save-exact no-save silent")
    ),
    **dict.fromkeys(("pnpm test", "yarn test"), CommandSpec(values={"PATH": r"(?!-).*"})),
    **dict.fromkeys(("pnpm run", "yarn run"), _SCRIPT),
}
