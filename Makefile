# Everything that people do with this checkout. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# `make demo TORCH=cpu` takes PyTorch's CPU build from PyTorch's own index, instead of PyPI's with 5 GB of CUDA.
TORCH ?=
TORCH_FIRST = $(if $(TORCH),$(PIP) install --constraint constraints.txt \
	--extra-index-url https://download.pytorch.org/whl/$(TORCH) torch torchvision)

.DEFAULT_GOAL := help
# Where a processor without AVX-512 could compute otherwise, or not at all.
NARROW_TESTS := tests/model/test_precision.py tests/model/test_features.py tests/model/stylegan2/inference \
	tests/model/training/test_precision.py tests/model/training/test_trainer.py \
	tests/model/training/encoder/test_trainer.py tests/worker/test_model_cache.py

# Test processes. Many tests wait for servers that they start, so three share two cores well; 0 tests in one process.
PROCESSES ?= 3

.PHONY: help demo serve test test-avx2 check format docs documents constraints clean

help: ## List these targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):[^#]*## /  make \1\t/' | expand -t 22

demo: $(VENV)/.ready ## Convert the sample photo through the REST API of the embedded service
	$(BIN)/nigaoe demo samples/astronaut.jpg --output out/demo

serve: $(VENV)/.ready ## Start the service with the upload page at http://127.0.0.1:8000
	$(BIN)/nigaoe serve

test: $(VENV)/.ready-dev ## Run every test, the fast ones first
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile

test-avx2: $(VENV)/.ready-dev ## Run fast tests of the networks as on a processor without AVX-512
	ONEDNN_MAX_CPU_ISA=AVX2 $(BIN)/python -m pytest -m "not slow" $(NARROW_TESTS)

check: $(VENV)/.ready-dev ## What CI runs: ruff, mypy, import-linter, documentation, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory docs
	$(MAKE) --no-print-directory test-avx2
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile

format: $(VENV)/.ready-dev ## Sort imports and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.ready-dev ## Build the documentation into out/site; a dead link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

documents: $(VENV)/.ready-dev ## Write the parts of the documentation that come from the code
	$(BIN)/python -m nigaoe.documents

constraints: $(VENV)/.ready-dev ## Write down the versions that are installed and tested now
	$(BIN)/python .ci/write_constraints.py

clean: ## Remove the virtual environment, caches and outputs (never runs/)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache out build dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Setting up (a few minutes: PyTorch is large) ..."
	$(TORCH_FIRST)
	$(PIP) install --constraint constraints.txt --editable '.[embedded]'
	@touch $@

$(VENV)/.ready-dev: $(VENV)/bin/python pyproject.toml constraints.txt constraints-dev.txt
	@echo "Setting up (a few minutes: PyTorch is large) ..."
	$(TORCH_FIRST)
	$(PIP) install --constraint constraints-dev.txt --editable '.[dev]'
	@touch $@ $(VENV)/.ready
