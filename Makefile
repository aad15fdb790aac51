# make demo [LANG=de]   the whole way once: distil, export, predict, evaluate, benchmark (runs/demo, runs/demo-de)
# make test             build the wheel, install it, test it from outside this folder   [ARGS='-k predict']
# make lint             ruff and mypy
# make docs             is the command reference in docs/ what the program says?        [WRITE=1 rewrites it]
# make dev              the environment of `make test`, with this folder installed editable
# make clean            everything that the above made, but not runs/

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
ARGS ?=
WORKERS ?= 2

# LANG is also the locale that every shell sets: only one given to make itself names a language.
DEMO_LANG := $(if $(filter command override,$(firstword $(origin LANG))),$(LANG),pt)

export PYTHONUTF8 := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export TOKENIZERS_PARALLELISM := false

PY := .venv/bin/python
BARE := .venv-bare/bin/python
SOURCES := $(shell find ftx_edge cli exporters benchmarks -name __pycache__ -prune -o -print) README.md LICENSE

.PHONY: help demo test lint docs dev clean
help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

# An installation that was cut short leaves no stamp, and starts over in an empty environment.
.venv/.dependencies: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: Python 3.11 or later is needed: make PYTHON=python3.11 ..." >&2; exit 1; }
	@echo "Installing into .venv: a few minutes, once"
	@test -e $@ || $(PYTHON) -m venv --clear .venv
	@$(PY) -m pip install -qq -c constraints.txt pip setuptools
	@rm -rf build/lib build/bdist*
	@$(PY) -m pip install -qq -c constraints.txt '.[all,dev]'
	@rm -f .venv/.wheel
	@touch $@

# The wheel, and not this folder, is what is tested and what the demo runs.
.venv/.wheel: .venv/.dependencies $(SOURCES)
	@rm -rf build/lib build/bdist* dist
	@$(PY) -m pip wheel -qq --no-deps --no-build-isolation -w dist .
	@$(PY) -m pip install -qq --no-deps --force-reinstall dist/*.whl
	@touch $@

# What a device has: the core dependencies and nothing else.
.venv-bare/.wheel: .venv/.wheel
	@test -e $@ || $(PYTHON) -m venv --clear .venv-bare
	@$(BARE) -m pip install -qq -c constraints.txt pip
	@$(BARE) -m pip install -qq -c constraints.txt dist/*.whl
	@$(BARE) -m pip install -qq --no-deps --force-reinstall dist/*.whl
	@touch $@

# -P: the folder ftx_edge of this directory must not hide the installed package.
demo: .venv/.wheel
	@env -u LANG $(PY) -P -m ftx_edge.benchmarks.demo --lang $(DEMO_LANG) \
	  --out runs/demo$(patsubst %,-%,$(filter-out pt,$(DEMO_LANG)))

test: .venv/.wheel .venv-bare/.wheel
	@outside=$$(mktemp -d) && trap 'rm -rf "$$outside"' EXIT && cd "$$outside" && \
	  FTX_WHEEL=1 FTX_BARE_PYTHON='$(CURDIR)/$(BARE)' OMP_NUM_THREADS=1 \
	  '$(CURDIR)/$(PY)' -m pytest -c '$(CURDIR)/pyproject.toml' --rootdir '$(CURDIR)' -p no:cacheprovider \
	  -n $(WORKERS) --dist loadfile '$(CURDIR)/tests' $(ARGS)

lint: .venv/.dependencies
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@PYTHON=$(PY) tools/typecheck

docs: .venv/.wheel
	@$(PY) tools/command_reference.py $(if $(WRITE),--write)
	@$(PY) tools/readme_results.py $(if $(WRITE),--write)

dev: .venv/.dependencies
	@$(PY) -m pip install -qq --no-deps --no-build-isolation -e .
	@rm -f .venv/.wheel

clean:
	@rm -rf .venv .venv-bare build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
