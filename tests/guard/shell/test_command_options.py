"""Words of a command that its allow list does not name, by tables and for commands made at random."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.guard.policy.offers import OFFERED_PREFIXES
from kimi_agent.guard.shell.command_options import find_uncovered_words

# A command, and the words that a rule for its first words does not speak for.
UNCOVERED = {
    # Runs code of somebody else's choice.
    "npm test --script-shell=./evil.sh": ["--script-shell=./evil.sh"],
    "npm test --prefix sub": ["--prefix"],
    "npm test -- --config evil.js": ["--config"],
    "pnpm test -C sub": ["-C"],
    "yarn test --cwd sub": ["--cwd"],
    "make 'SHELL = ./evil'": ["SHELL = ./evil"],
    "make ' SHELL=./evil'": [" SHELL=./evil"],
    "make -j2 'SHELL  := ./evil'": ["SHELL  := ./evil"],
    "make '.SHELLFLAGS=-c \"touch MARK\" x'": ['.SHELLFLAGS=-c "touch MARK" x'],
    "make 'x!=touch MARK' test": ["x!=touch MARK"],
    "make -- SHELL=./evil": ["SHELL=./evil"],
    "make --eval=x": ["--eval=x"],
    "make -kf evil.mk": ["-kf"],
    "make -C sub": ["-C"],
    "pytest -p evil": ["evil"],
    "pytest -pevil": ["-pevil"],
    "pytest -qp evil": ["evil"],
    "pytest -W error::evil.Thing": ["error::evil.Thing"],
    "pytest --pyargs evil": ["--pyargs"],
    "pytest -o addopts=-pevil": ["-o"],
    "pytest --override-ini=a=b": ["--override-ini=a=b"],
    "pytest @args.txt": ["@args.txt"],
    "mypy @args.txt": ["@args.txt"],
    "ruff check @args.txt": ["@args.txt"],
    "tsc @args.txt": ["@args.txt"],
    "mypy --python-executable ./evil a.py": ["--python-executable"],
    "mypy --python-exec ./evil a.py": ["--python-exec"],
    "go test -exec ./evil ./...": ["-exec"],
    "go test -run=x --exec=./evil": ["--exec=./evil"],
    "go build -toolexec=./evil": ["-toolexec=./evil"],
    "go vet -vettool=./evil": ["-vettool=./evil"],
    "go test -mod=mod ./...": ["-mod=mod"],
    "cargo build --target evil.json": ["evil.json"],
    "cargo test --config evil.toml": ["--config"],
    "cargo clippy -- -C linker=./evil": ["-C", "linker=./evil"],
    "cargo test -- --logfile x": ["--logfile"],
    "cargo build @args": ["@args"],
    "git log --format=%G?": ["--format=%G?"],
    "git log --pretty=tformat:%GS": ["--pretty=tformat:%GS"],
    "git show --show-signature": ["--show-signature"],
    "git diff --ext-diff": ["--ext-diff"],
    "git log --ext": ["--ext"],
    "git grep -nO./evil x": ["-nO./evil"],
    "git fetch --upload-pack=./evil": ["--upload-pack=./evil"],
    "git fetch 'ext::touch MARK'": ["ext::touch MARK"],
    "git clone 'ext::touch MARK' x": ["ext::touch MARK"],
    "git clone -c core.fsmonitor=./evil x": ["-c"],
    "find . -exec touch x +": ["-exec"],
    "rg --pre=./evil x": ["--pre=./evil"],
    "rg -nz x": ["-nz"],
    "rg --hostname-bin ./evil x": ["--hostname-bin"],
    "sort --compress-program=./evil f": ["--compress-program=./evil"],
    "diff -l a b": ["-l"],
    "tar -I ./evil -tf a.tar": ["-I"],
    "tar tIf ./evil a.tar": ["tIf"],
    "tar -tf host:a.tar": ["host:a.tar"],
    "rsync -e ./evil a b": ["-e"],
    "awk 'BEGIN{system(\"x\")}'": ['BEGIN{system("x")}'],
    "gawk '@include \"x\"' f": ['@include "x"'],
    "sed '1e touch p' f": ["1e touch p"],
    "sed -n -e p -e 'w out' f": ["w out"],
    "less '+!touch p' f": ["+!touch p"],
    "vim +x f": ["+x"],
    "vim -c x f": ["-c"],
    "python -c x": ["-c"],
    "python -m pytest -p evil": ["-m", "evil"],
    "node -r ./evil x.js": ["-r"],
    "uv run pytest -x": ["pytest"],
    "timeout 5 curl x": ["curl"],
    "sh -c ls": ["-c", "ls"],
    "bash x.sh": ["x.sh"],
    "env A=1 ls": ["A=1", "ls"],
    # Writes.
    "pytest --junitxml=j.xml": ["--junitxml=j.xml"],
    "pytest --junit-xml=j.xml": ["--junit-xml=j.xml"],
    "pytest --log-file=l": ["--log-file=l"],
    "pytest --debug=d": ["--debug=d"],
    "pytest --basetemp=d": ["--basetemp=d"],
    "pytest --cov-report=html:d": ["--cov-report=html:d"],
    "uniq a written": ["written"],
    "uniq -c a written": ["written"],
    "xxd a written": ["written"],
    "xxd -r a": ["-r"],
    "ruff check -o x": ["-o"],
    "ruff check --output-file=x": ["--output-file=x"],
    "ruff check --fix": ["--fix"],
    "ruff check --unsafe-fixes": ["--unsafe-fixes"],
    "ruff check --add-noqa": ["--add-noqa"],
    "ruff format --config x": ["--config"],
    "tsc --outDir d": ["--outDir"],
    "tsc --OUTDIR d": ["--OUTDIR"],
    "mypy --html-report d": ["--html-report"],
    "mypy --any-exprs-report d": ["--any-exprs-report"],
    "mypy --install-types": ["--install-types"],
    "go test -coverprofile=x": ["-coverprofile=x"],
    "go test -trace x": ["-trace"],
    "go test -c -outputdir d": ["-c", "-outputdir"],
    "go build -o x": ["-o"],
    "cargo clippy --fix": ["--fix"],
    "cargo build --target-dir d": ["--target-dir", "d"],
    "cargo build --artifact-dir d": ["--artifact-dir", "d"],
    "git log --output=p": ["--output=p"],
    "git log -p --output-directory p": ["--output-directory"],
    "git branch -D x": ["-D"],
    "git push --force": ["--force"],
    "git push origin +main": ["+main"],
    "git push origin :main": [":main"],
    "git commit -n -m x": ["-n"],
    "git add -f .": ["-f"],
    "find src -delete": ["-delete"],
    "find . -fprintf p x": ["-fprintf"],
    "sort -uo p f": ["-uo"],
    "tree -o p": ["-o"],
    "base64 -o p f": ["-o", "f"],
    "curl -o p http://h": ["-o"],
    "date 01010101": ["01010101"],
    # Reads what no path names, or follows links.
    "git blame --contents f a.txt": ["--contents"],
    "git add --pathspec-from-file=f": ["--pathspec-from-file=f"],
    "git diff --no-index a b": ["--no-index"],
    "git -C sub log": ["-C", "sub"],
    "grep -R x .": ["-R"],
    "rg -L x": ["-L"],
    "find -L .": ["-L"],
    "curl -H @f http://h": ["@f"],
    "jq 'import \"x\" as x; .' f": ['import "x" as x; .'],
    "awk 'BEGIN{ARGV[1]=\"/f\"; ARGC=2}'": ['BEGIN{ARGV[1]="/f"; ARGC=2}'],
    # Without a list of its own.
    "terraform plan -out=x": ["-out=x"],
    "terraform plan --var-file x": ["--var-file"],
    "eslint --config=x src": ["--config=x"],
    "eslint --rulesdir x src": ["--rulesdir"],
    "jest --outputFile=x": ["--outputFile=x"],
    "just SHELL=x test": ["SHELL=x"],
    "javac @args": ["@args"],
    "git bisect run ./x": ["bisect", "run"],
    "docker --host=x ps": ["--host=x"],
}

# Everyday commands: nothing is left to a person.
COVERED = [
    "npm test",
    "npm test --silent -w pkg",
    "pytest",
    "pytest -xvvs tests/test_a.py::test_b[1] -k 'a or b' -m 'not slow' --tb=short --maxfail 2",
    "pytest -n auto -ra --lf --durations=5 -p no:cacheprovider -W error --cov=src --cov-report=term-missing",
    "ls -la src",
    "ls --color=never -1 --sort=time",
    "tree -L 2 -I node_modules",
    "find . -name '*.py' -not -path './.venv/*' -type f -size +1k -print0",
    "find src '(' -name a -o -name b ')' -mtime -1",
    "mypy --strict --ignore-missing-imports src tests",
    "tsc --noEmit -p tsconfig.json",
    "ruff check --select=E,F --diff src",
    "ruff format --check .",
    "git status -sb --porcelain=v2 -uno",
    "git log --oneline -20 --graph --stat --since='2 weeks ago' -- src",
    "git log -p -3 -S'a/b' --format='%h %s' -L10,20:f.py HEAD~3..HEAD",
    "git diff --cached --stat -U0 -w HEAD~1 -- a b",
    "git show --name-only HEAD:src/a.py",
    "git blame -L 1,20 -w src/a.py",
    "git add -A",
    "git add -N src/new.py",
    "git ls-files -o --exclude-standard",
    "git rev-parse --abbrev-ref HEAD",
    "git rev-parse --show-toplevel --short=8",
    "git commit -am 'Fix it' --no-edit",
    "git push -u origin main",
    "git branch -vv --contains HEAD",
    "git stash list",
    "cargo test -p x --release name -- --nocapture --test-threads=1",
    "cargo clippy --all-targets --all-features -- -D warnings",
    "cargo fmt --all -- --check",
    "cargo build --release -j 4 --target x86_64-unknown-linux-gnu",
    "go test ./... -run 'TestA/b' -count=1 -v -race",
    "go test -short -timeout 30s ./pkg/...",
    "go build ./...",
    "go vet ./...",
    "grep -rnE 'a|b' --include='*.py' -A2 src",
    "grep -e x -f words.txt a b",
    "rg -n 'x y' -g '*.py' -tpy --hidden src",
    "rg --files -g '!x'",
    "sed -n 1,20p f",
    "sed -E -e 's/a/b/g' -e 2p f",
    "awk -F: '{print $1, $3}' f",
    "sort -k 2,2n -t, -u f",
    "uniq -c f",
    "cut -d: -f1,3 f",
    "tr -d 'a-z'",
    "head -n -5 f",
    "head -20 f",
    "tail -n +5 f",
    "diff -ru a b",
    "jq -r '.a[].b | length' f",
    "xxd -l 64 f",
    "du -sh --max-depth=1 .",
    "wc -l f g",
    "date -u +%F",
    "curl -sSfL -H 'Accept: x' http://h",
    "make -j4 test",
    "make -kn -j 4 all",
    "python -u x.py -c -e --config x",
    "tar czf a.tgz src",
    "mkdir -p a/b",
    "rm -rf build",
    "eslint src --quiet --max-warnings=0",
    "docker compose ps",
    "./gradlew test --info",
    "terraform plan -no-color",
]


@pytest.mark.parametrize(("command", "uncovered"), UNCOVERED.items())
def test_an_unlisted_word_is_left_to_a_person(command: str, uncovered: list[str]) -> None:
    assert find_uncovered_words(tuple(shlex.split(command))) == uncovered


@pytest.mark.parametrize("command", COVERED)
def test_everyday_options_are_listed(command: str) -> None:
    words = tuple(shlex.split(command))
    sub_command = {words[1]} if words[:2] == ("git", "stash") else set()
    assert set(find_uncovered_words(words)) <= sub_command


PREFIXES = sorted(OFFERED_PREFIXES)
OPERANDS = st.lists(st.text("abcXYZ09./_", min_size=1, max_size=8), max_size=3)


@given(st.sampled_from(PREFIXES), OPERANDS, st.text("abcdefghijklmnopqrstuvwxyz", min_size=2, max_size=9), OPERANDS)
def test_an_option_that_no_list_names_is_never_covered(
    prefix: tuple[str, ...], before: list[str], name: str, after: list[str]
) -> None:
    words = (*prefix, *before, f"--zz-{name}", *after)
    assert f"--zz-{name}" in find_uncovered_words(words)
    assert f"--zz-{name}=x" in find_uncovered_words((*prefix, *before, f"--zz-{name}=x", *after))


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=8))
def test_any_words_are_read_and_only_they_are_found(words: list[str]) -> None:
    assert set(find_uncovered_words(tuple(words))) <= set(words[1:])
