PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup demo test check docs wheel
.DEFAULT_GOAL := help

help:  ## show the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/'

setup: .venv/stamp  ## make .venv with everything the other targets need

.venv/stamp: pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v >= (3, 11) or sys.exit("mlim needs Python 3.11 or later, found %d.%d; name another one: make PYTHON=..." % v)'
	@echo "setting up .venv (torch is large: this takes some minutes) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[all,test,dev]"
	@touch $@

demo: setup  ## the sample catalog through every stage, to a report
	@$(BIN)/mlim run recipes/quickstart.yaml
	@echo "open reports/quickstart/report.html in a browser"

# one thread each: threads of two processes on two cores wait for one another with all their strength
test: setup  ## run the tests, in two processes
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal

wheel: setup  ## a wheel and an sdist, in dist/
	@$(BIN)/python -m build --quiet && ls dist

check: setup  ## lint, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --strict workbench

docs: setup  ## the documentation as a site, build/docs/index.html
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
