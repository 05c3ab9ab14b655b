# Everything below works as the first command in a fresh clone: it makes .venv by itself.
# Needs Python 3.11 or newer with pip, git and make; nothing else of the system.

SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$p; break; fi; done)
PY := .venv/bin/python
READY := .venv/.ready
ARGS ?=

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

# A bare Debian has no ensurepip, so the environment is made without pip and filled by the pip that is there.
$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or newer is needed (Debian: apt-get install python3)"; exit 1; }
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || { echo "make: pip is needed (Debian: apt-get install python3-pip)"; exit 1; }
	@$(PYTHON) -m venv --clear --without-pip .venv
	@echo "installing into .venv ..."
	@$(PYTHON) -m pip --python $(PY) --disable-pip-version-check install --quiet --root-user-action=ignore --editable '.[dev]'
# Python reads .pth files in the locale's encoding: under LC_ALL=C a path with other letters would stop it at start.
	@printf '../../../..\n' > "$$(ls .venv/lib/python3*/site-packages/_*kimi_agent*.pth)"
	@touch $(READY)

.PHONY: setup
setup: $(READY) ## make .venv with everything in it

.PHONY: demo
demo: $(READY) ## watch a bug in a small repository being fixed (no key needed)
	@$(PY) -P -m kimi_agent demo $(ARGS)

.PHONY: run
run: $(READY) ## start kimi-agent here; ARGS='...' are passed on
	@$(PY) -P -m kimi_agent $(ARGS)

.PHONY: fmt
fmt: $(READY) ## format the code
	@$(PY) -m ruff check --quiet --fix-only . ; $(PY) -m ruff format .

.PHONY: lint
lint: $(READY) ## check style
	@$(PY) -m ruff check . && $(PY) -m ruff format --check .

.PHONY: type
type: $(READY) ## check types
	@$(PY) -m mypy

# Three workers also on two cores: many tests wait for a process, a terminal or a deadline.
.PHONY: test
test: $(READY) ## run the tests (ARGS='tests/log -k torn')
	@$(PY) -m pytest -n 3 --dist worksteal -m 'not real and not long and not attacks' $(ARGS)

.PHONY: long
long: $(READY) ## run the longer suites too, and mutants of the evidence code (minutes)
	@$(PY) -m pytest -n 2 -m long $(ARGS)

.PHONY: attacks
attacks: $(READY) ## attack the rules, in four modes (minutes)
	@$(PY) -m pytest -n 3 --dist worksteal -m attacks $(ARGS)

.PHONY: real
real: $(READY) ## a real bug, 60 kills, real test runners in 16 traps (needs the package indexes)
	@$(PY) -m pytest -s -m real $(ARGS)

.PHONY: check
check: lint type test wheel ## all that CI runs

.PHONY: bench
bench: $(READY) ## measure, each figure beside its floor
	@$(PY) -P tests/bench/bench.py $(ARGS)

.PHONY: wheel
wheel: $(READY) ## build dist/*.whl
	@rm -rf dist && $(PY) -m build --no-isolation --wheel --outdir dist . >/dev/null && ls dist/*.whl

.PHONY: golden
golden: $(READY) ## write the golden files anew (read the diff before you commit it)
	@$(PY) -m pytest -n 2 -m golden --golden

.PHONY: clean
clean: ## remove .venv and everything built
	@rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
