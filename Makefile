# make demo and make test do all set-up: a machine needs Python 3.11 or later with venv, and make.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= auto
BENCH ?=

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test test-all lint docs docs-assets bench golden lock clean

demo: $(INSTALLED)
	$(BIN)/bnlab demo

test: $(INSTALLED)
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 --dist worksteal -m "not slow"

test-all: $(INSTALLED)
	XLA_FLAGS= $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 --dist worksteal

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-docs
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

# The pictures and emitted pieces that README.md and docs/ show.
docs-assets: $(INSTALLED)
	$(BIN)/bnlab draw models/gmm.py --set components=2 --out docs/_static/gmm.svg
	$(BIN)/bnlab draw models/hmm.py --set states=2 --out docs/_static/hmm.svg

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks.gmm $(BENCH)
	$(BIN)/python -m benchmarks.hmm $(BENCH)
	$(BIN)/python -m benchmarks.discrete $(BENCH)
	$(BIN)/python -m benchmarks.plda $(BENCH)
	$(BIN)/python -m benchmarks.lds $(BENCH)
	$(BIN)/python -m benchmarks.fa $(BENCH)
	$(BIN)/python -m benchmarks.density $(BENCH)
	$(BIN)/python -m benchmarks.nuts
	$(BIN)/python -m benchmarks.cold

golden: $(INSTALLED)
	$(BIN)/python -m pytest tests/test_golden.py tests/test_readme.py --update-golden

# One set of versions for every Python from 3.11 on, without host names. Needs uv.
lock:
	uv export --no-hashes --no-emit-project --all-extras --no-annotate --no-header --upgrade \
		--output-file requirements.lock

clean:
	rm -rf $(VENV) out docs/_build

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "bnlab needs Python 3.11 or later; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml requirements.lock | $(BIN)/python
	$(PIP) install --constraint requirements.lock --editable '.[test]'
	@touch $@

$(VENV)/.installed-%: pyproject.toml requirements.lock $(INSTALLED) | $(BIN)/python
	$(PIP) install --constraint requirements.lock --editable '.[$*]'
	@touch $@
