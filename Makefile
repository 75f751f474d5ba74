# make demo: the whole way on a made cohort.  make test: every test.  Both set up .venv/ first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test env check clean

demo: env
	$(BIN)/python -m polyscan.demo demo

test: env check
	$(BIN)/pytest -n 2 $(PYTEST_ARGS)

check: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

env: .venv/ready

.venv/ready: pyproject.toml requirements/constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint requirements/constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf .venv demo
