# `make demo` and `make test` are all that a new machine needs: Python 3.11 or later with pip, make and git.
PYTHON := $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
LOCK := .ci/requirements.lock
# Other versions of Python take the newest releases: those of the lock file may not be there for them.
PINNED := $(shell $(PYTHON) -c 'import sys; print("--constraint $(LOCK)" if sys.version_info[:2] == (3, 11) else "")')
# A process more than there are cores, for tests wait a fifth of their time: for children, disks and the stand-in for
# Apple's tools. Whole files stay in one process for as long as all have work, so what their tests share is made once.
WORKERS := $(shell $(PYTHON) -c 'import os; print(min(4, os.cpu_count() + 1))')
PYTEST := $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal

.PHONY: demo test quick test-slow coverage lint docs lock clean

demo: .venv/installed
	$(BIN)/mvd demo

# Beside each other, for the linters want one core only.
test: .venv/installed-dev
	$(MAKE) --no-print-directory --jobs=2 lint quick

quick: .venv/installed-dev
	$(PYTEST) -m 'not slow'

# What takes minutes: every model on every target, every command of the README, a hundred random kills and more damaged
# files. ONLY=lightvit takes those with that in their names; the jobs of .github/workflows/ci.yml take all, one by one.
test-slow: .venv/installed-frameworks
	$(PYTEST) -m slow -k '$(ONLY)'

coverage: .venv/installed-dev
	$(PYTEST) -m 'not slow' --cov --cov-fail-under=90

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# The site, into site/: a link or an anchor that leads nowhere fails. `.venv/bin/python -m mkdocs serve` shows it.
docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

lock:
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock && .venv-lock/bin/python -m pip install --quiet '.[dev,docs,frameworks,browser,object-store]'
	sed -n '/^#/p' $(LOCK) > .venv-lock/lock
	.venv-lock/bin/python -m pip freeze --exclude mobilevit-deploy | tr 'A-Z_' 'a-z-' \
		| sed -E ':again; s/^([^=.]*)\.([^=]*==)/\1-\2/; t again; s/\+.*//' | sort >> .venv-lock/lock
	mv .venv-lock/lock $(LOCK) && rm -rf .venv-lock

clean:
	rm -rf .venv artifacts mvd-demo site .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml $(LOCK)
	$(BIN)/python -m pip install --quiet $(PINNED) --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet $(PINNED) --editable '.[dev]'
	touch $@

.venv/installed-frameworks: .venv/installed-dev
	$(BIN)/python -m pip install --quiet $(PINNED) --editable '.[dev,frameworks,browser,object-store]'
	touch $@

.venv/installed-docs: .venv/installed
	$(BIN)/python -m pip install --quiet $(PINNED) --editable '.[docs]'
	touch $@
