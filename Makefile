# Each target is one thing a person does; `make` alone lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where there is an NVIDIA driver, local models can run: install what they need, too.
EXTRAS := $(if $(wildcard /proc/driver/nvidia/version /dev/dxg),[local])

# Servers that start again and again are compiled once, even where the environment keeps Python from writing that down.
CACHED := PYTHONDONTWRITEBYTECODE=

.DEFAULT_GOAL := help
.PHONY: help install run weights test test-page browser lint chaos fuzz bench clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.base  ## make the environment in .venv/

run: $(VENV)/.base  ## install what is missing and start the server
	$(BIN)/python run_api.py

weights: $(VENV)/.base  ## fetch a model's weights; MODEL=svd-xt, several names, or ARGS=--list
	$(BIN)/python scripts/download_weights.py $(MODEL) $(ARGS)

test: $(VENV)/.dev browser  ## run the tests; WORKERS=3
	$(CACHED) $(BIN)/python -m pytest -n $(or $(WORKERS),3) --dist loadfile --no-loadscope-reorder $(ARGS)

test-page: $(VENV)/.dev browser  ## run the studio page's tests, in Chromium
	$(CACHED) $(BIN)/python -m pytest tests/page $(ARGS)

browser:  ## install Chromium for the page's tests, where it is missing
	@command -v chromium >/dev/null || scripts/install_chromium.sh

lint: $(VENV)/.dev  ## check the style
	$(BIN)/ruff check .

chaos: $(VENV)/.dev  ## kill the server and its child, cancel jobs; CYCLES=200 CANCELS=1000
	$(BIN)/python -m tests.chaos --cycles $(or $(CYCLES),200) --cancels $(or $(CANCELS),1000) $(ARGS)

fuzz: $(VENV)/.dev  ## hostile requests and images; CASES=2000 FILES=20000
	$(BIN)/python -m tests.fuzz.contract --cases $(or $(CASES),2000)
	$(BIN)/python -m tests.fuzz.images --files $(or $(FILES),20000)

bench: $(VENV)/.dev browser  ## measure, and print the table of BENCHMARKS.md
	$(CACHED) $(BIN)/python scripts/bench.py $(ARGS)

clean:  ## remove the environment and caches; the workspace stays
	rm -rf $(VENV) *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "vidgen needs Python 3.11 or newer; name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "this Python cannot make environments; on Debian: apt install python3-venv" >&2; exit 1; }

$(VENV)/.base: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.$(EXTRAS)'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-compile -e '.[dev,local]'  # what is used will be
	@touch $@ $(VENV)/.base
