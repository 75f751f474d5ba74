# make demo: the whole way on a made cohort.  make test: every test.  Both set up what they need first.
# make test-quick: under two minutes, without MONAI Label.  make docs: the documentation as a site, in site/
# make label-serve STUDIES=FOLDER: MONAI Label for a folder of studies.
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
LABEL := .venv-label/bin

.PHONY: demo test test-quick coverage docs env check label-env label-serve clean

demo: env
	$(BIN)/polyscan demo demo

# A file's tests run one after the other, and all that ask one label server (tests/conftest.py). Files come by their
# names; xdist's own order, by how many tests a file has, leaves those of a few long tests for the end, where one core
# waits.
TWO := -n 2 --dist loadgroup --no-loadscope-reorder
test: env check label-env
	$(BIN)/pytest $(TWO) $(PYTEST_ARGS)

# What trains nothing, registers nothing and starts no server: reading scans, and tensors.
QUICK := dicom discovery ensemble evaluation files formats fusion inference study
test-quick: env
	$(BIN)/pytest $(TWO) $(QUICK:%=tests/%) $(PYTEST_ARGS)

# What no test runs, line by line and branch by branch.
coverage: env label-env
	$(BIN)/pytest $(TWO) --cov --cov-report=term-missing:skip-covered $(PYTEST_ARGS)

# Warnings are errors. Where npm is not there, a reader's browser gets what draws diagrams from the network.
docs: env
	@[ -e .venv/mermaid.min.js ] || $(MAKE) --silent .venv/mermaid.min.js || true
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

.venv/mermaid.min.js:
	cd .venv && npm pack --silent mermaid@11.12.0 && tar -xzf mermaid-*.tgz --strip-components=2 package/dist/mermaid.min.js

check: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

env: .venv/ready

.venv/ready: pyproject.toml requirements/constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint requirements/constraints.txt --editable ".[dev]"
	touch $@

label-serve: label-env
	PATH="$(abspath $(LABEL)):$$PATH" monailabel start_server --app src/polyscan/label_app \
		--studies "$(STUDIES)" --host 127.0.0.1 --port $(PORT)

label-env: .venv-label/ready

# MONAI Label needs numpy 1 and pydicom 2; === takes the build of torch that torchvision has a partner for.
.venv-label/ready: pyproject.toml
	$(PYTHON) -m venv .venv-label
	$(LABEL)/pip install --quiet "torch===2.13.0" "torchvision==0.28.0" --editable ".[label]"
	touch $@

clean:
	rm -rf .venv .venv-label demo site
