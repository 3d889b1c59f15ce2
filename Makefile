# Everything from a fresh clone: `make demo`, `make test`. Packages go into .venv, from requirements/, held against their
# hashes; `make help` lists the rest.
# A torch that is there already, in .venv or in $(PYTHON), is kept if it is 2.6 or newer.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# One more than there are cores: a third of the time tests wait for browsers and other processes.
WORKERS = $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

.PHONY: demo test lint notebooks install extras help clean
.DEFAULT_GOAL := help

demo: $(VENV)/installed-core  ## draw pictures, train on them, measure, predict, report; DEMO='--epochs 6': sooner
	$(BIN)/alexnet demo $(DEMO)

test: export PYTHONDONTWRITEBYTECODE :=  # compiled once, for all the processes that the tests start
test: $(VENV)/installed-test  ## the test suite, a file at a time in each of up to four processes
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/installed-test  ## style, types and import directions; the page's JavaScript
	ruff check .
	ruff format --check .
	basedpyright
	lint-imports
	$(BIN)/python tools/check_page.py

notebooks: $(VENV)/installed-test  ## run the notebooks, on built-in pictures
	$(BIN)/python tools/notebooks.py

install: $(VENV)/installed-core  ## the environment in .venv, without running anything

extras: $(VENV)/installed-extras  ## the same with all that is optional: the explorer, scikit-learn, faiss, ONNX, the Hub

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1\t/' | expand -t 15
	@echo "make PYTHON=python3.12 …   chooses the interpreter (3.11 or newer) on the first run"

clean:  ## remove the environment and what the tools left (the demo's folder, runs and stores stay)
	rm -rf $(VENV) build dist tools/page/node_modules .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/installed-%: pyproject.toml constraints.txt $(wildcard requirements/*.txt) | $(VENV)/bin/python
	$(PYTHON) tools/environment.py $(VENV) $*
	touch $@ $(VENV)/installed-core

# Looked at again where PYTHON= is given: an environment made with another interpreter is not used silently.
$(VENV)/bin/python: $(if $(filter command,$(origin PYTHON)),asked)
	$(PYTHON) tools/environment.py $(VENV)

.PHONY: asked
asked:
