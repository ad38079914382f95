# `make demo` and `make test` need Python 3.11 or later with venv, and a C compiler; the rest they
# install into .venv. `make PYTHON=python3.12 test` picks another Python.

PYTHON ?= python3
BIN := .venv/bin
SOURCES := $(wildcard pyx/*) setup.py pyproject.toml

.PHONY: build demo test lint corpus clean

build: .venv/built

.venv/tools: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip "setuptools>=77" "cython>=3.1"
	touch $@

.venv/built: .venv/tools $(SOURCES)
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable .
	touch $@

.venv/extra-%: .venv/built
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable ".[$*]"
	touch $@

demo: build
	$(BIN)/python -m llmhard train
	$(BIN)/python -m llmhard sample

test: .venv/extra-test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: .venv/extra-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint pyx

# Write data/*.txt again from the grammar.
corpus: build
	$(BIN)/python -m llmhard.grammar --out data

clean:
	rm -rf .venv build dist *.egg-info llmhard/*.so
