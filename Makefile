# Everything runs from .venv, which is made from the pinned constraints on first use.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
SERVICE := $(VENV)/.service
STAMP := $(VENV)/.installed
# The pip of $(PYTHON) installs into .venv, which needs none of its own to run the demo; Debian's may have none.
PIP = $(if $(shell $(PYTHON) -m pip --version 2>/dev/null),$(PYTHON) -m pip --python $(BIN)/python,$(BIN)/python -m pip)

.PHONY: help demo test acceptance quick coverage chaos fuzz requests bench figures check fix docs clean

help: ## what can be made here
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

# What the service and its demo need, with pip's own progress.
$(SERVICE): pyproject.toml constraints.txt
	$(PYTHON) -m venv --without-pip $(VENV)
	$(PYTHON) -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip
	@echo "Installing what the demo needs into $(VENV) ..."
# Not compiled: of the modules that are installed the demo imports a quarter, and Python compiles those.
	$(PIP) install --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[demo]'
# Nor are the tests of these libraries kept, a tenth of what is installed.
	find $(foreach name,numba numpy pandas scipy,$(VENV)/lib/python*/site-packages/$(name)) \
	    -type d -name tests -prune -exec rm -r {} +
	touch $@

# What tests, checks and benchmarks need besides.
$(STAMP): $(SERVICE)
	@echo "Installing what tests and checks need into $(VENV) ..."
	$(BIN)/python -m ensurepip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,docs]'
	touch $@

demo: $(SERVICE) ## a simulated league and a season of it end to end; DATA=folder runs it on a real fight log
	$(BIN)/cornerman demo $(if $(DATA),--data $(DATA),--season)

test: $(STAMP) ## the tests, side by side, but for the acceptance tests; ARGS="-n0 -k name" to choose
	$(BIN)/python -m pytest -n auto -m "not acceptance" $(ARGS)

acceptance: $(STAMP) ## the service as a whole: faults, a season, the demo, the checklist, the packages, the pods
	$(BIN)/python -m pytest -n auto -m acceptance $(ARGS)

quick: $(STAMP) ## the unit tests that are not marked as slow, in less than a minute
	$(BIN)/python -m pytest -n auto tests/unit -m "not slow" $(ARGS)

coverage: $(STAMP) ## the unit tests, with the share of lines that they run
	$(BIN)/python -m pytest -n auto tests/unit --cov --cov-report=term:skip-covered $(ARGS)

chaos: $(STAMP) ## jobs, then a season under faults, counted; SEED=7 JOBS=20000 SEASON_CARDS=40, JSON=1 for programs
	@$(BIN)/python -m tests.chaos --seed $(or $(SEED),7) --jobs $(or $(JOBS),20000) $(if $(JSON),--json)
	@$(BIN)/python -m tests.chaos.season --seed $(or $(SEED),7) --cards $(or $(SEASON_CARDS),40) $(if $(JSON),--json)

fuzz: $(STAMP) ## mutated files through every reader; CASES=10000 SEED=1
	@$(BIN)/python -m tests.fuzz --cases $(or $(CASES),10000) --seed $(or $(SEED),1)

requests: $(STAMP) ## generated requests against a gateway, by its OpenAPI document; CASES=10000 SEED=1
	@$(BIN)/python -m tests.generated_requests --cases $(or $(CASES),10000) --seed $(or $(SEED),1)

bench: $(STAMP) ## all benchmarks against the naive ways; writes benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks $(ARGS)

figures: $(STAMP) ## whether the documents' cheap figures are right; DATA=folder for those of real fights
	$(BIN)/python -m benchmarks.document_figures $(if $(DATA),--data $(DATA))

check: $(STAMP) ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(STAMP) ## let ruff repair and format what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP) ## the documentation site, into build/site; fails on a broken link or an undocumented public name
	$(BIN)/ruff check --select D100,D101,D102,D103,D104 cornerman engine ledger producer workers
	$(BIN)/mkdocs build --strict

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) build .coverage *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
