# The front door. `make demo` and `make test` do all their own set-up; everything else is listed by `make help`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SDK_V2 := .venv-sdk-v2
unexport AWS_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all check format bench lock docs clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1|/' | column -t -s '|'

setup: $(READY) ## a .venv with everything but the CDK, at pinned versions
demo: $(READY) ## the lending life cycle on this machine, with no AWS and no Docker
	$(BIN)/mlops-sm demo

test: $(READY) ## the test suite
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-all: $(READY) $(SDK_V2)/.ready ## the suite with its slow matrix
	$(BIN)/python -m pytest -n 2

check: $(READY) ## format, lint, types, import contracts, generated documents
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m docs.generate --check

format: $(READY) ## let the formatter and the fixer write
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## measure against baselines in the same run
	$(BIN)/python -m benchmarks.run

docs: $(READY) ## write the generated documents anew
	$(BIN)/python -m docs.generate

lock: $(READY) ## resolve the pins anew (needs the package registry)
	$(BIN)/uv pip compile pyproject.toml --extra sdk --extra local --extra tuning --extra xgboost --extra dev --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --no-emit-index-url -q --upgrade -o constraints/all.txt
	$(BIN)/uv pip compile constraints/sdk-v2.in --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --no-emit-index-url -q --upgrade -o constraints/sdk-v2.txt

clean: ## remove the environment and all local state
	rm -rf $(VENV) $(SDK_V2) .mlops_sm .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Installed from hashes only; the project itself is added without resolving or downloading anything more.
$(READY): constraints/uv.txt constraints/all.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else f"mlops-sm needs Python 3.11 or newer, {sys.executable} is {sys.version.split()[0]}: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints/uv.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r constraints/all.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $(READY)

# Version 2 of the SDK cannot be installed beside version 3.
$(SDK_V2)/.ready: constraints/sdk-v2.txt $(READY)
	test -x $(SDK_V2)/bin/python || $(PYTHON) -m venv $(SDK_V2)
	VIRTUAL_ENV=$(SDK_V2) $(BIN)/uv pip install --quiet --require-hashes -r constraints/sdk-v2.txt
	@touch $(SDK_V2)/.ready
