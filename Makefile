# Two commands for people: make demo, make test. `make` alone lists the rest.
# Another Python:       make demo PYTHON=python3.12
# Other pip options:    make demo PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu"
# Some of the tests:    make test PYTEST_FLAGS="-k tiles"
# More at a time:       make test WORKERS=4      (0: in one process, as a debugger wants it)

PYTHON ?= python3
PIP_FLAGS ?=
PYTEST_FLAGS ?=
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt

# A stamp stands for an installed environment; it is remade when one of these files changes.
NEEDS := requirements.txt constraints.txt pyproject.toml
DEMO_STAMP := $(VENV)/installed-demo
TEST_STAMP := $(VENV)/installed-test

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint format lowest benchmarks results chromium clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

demo: $(DEMO_STAMP) ## Install what the demo needs and open it on the bundled models
	@$(BIN)/python app.py

# Files by name, not by number of tests: the longest one has one test, and would come last.
test: $(TEST_STAMP) chromium lint ## Install what the tests need and run all of them
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_FLAGS)

lint: $(TEST_STAMP) ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --strict hf_unet

format: $(TEST_STAMP) ## Rewrite the code in the house's format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lowest: $(TEST_STAMP) ## Test the lowest versions that pyproject.toml names (a part of make test)
	@$(BIN)/python -m pytest tests/test_lowest_versions.py

benchmarks: $(TEST_STAMP) ## Measure every speed, one after another
	@set -e; for script in loading weight_map training demo; do echo "== $$script"; $(BIN)/python benchmarks/$$script.py; done

results: $(TEST_STAMP) ## Write benchmarks/RESULTS.md from the figures of models and recorded runs
	@$(BIN)/python benchmarks/results.py

clean: ## Remove the environment, caches and built packages (never runs/)
	rm -rf $(VENV) dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis .gradio
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "There is no $(PYTHON) here: install Python 3.10 to 3.13, or name one (make PYTHON=python3.12)."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "hf-unet needs Python 3.10 to 3.13, and this is $$($(PYTHON) --version): name another (make PYTHON=python3.12)."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) has no venv module: install it (on Debian and Ubuntu: apt-get install python3-venv)."; exit 1; }
	@echo "Making the environment $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(DEMO_STAMP): $(NEEDS) | $(BIN)/python
	@echo "Installing what the demo needs (some minutes the first time)"
	@$(PIP_INSTALL) -r requirements.txt -e .
	@touch $@

$(TEST_STAMP): $(NEEDS) | $(BIN)/python
	@echo "Installing what the tests need (some minutes the first time)"
	@$(PIP_INSTALL) -e ".[demo,train,test]"
	@touch $@

# The demo's test drives Debian's own Chromium; elsewhere any Chromium on the PATH will do.
chromium:
	@if command -v chromium >/dev/null; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then \
	  echo "There is no chromium on the PATH: the tests marked browser need one, please install it."; \
	elif [ "$$(id -u)" = 0 ]; then \
	  echo "Installing Debian's chromium, for the demo's test"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null; \
	elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then \
	  echo "Installing Debian's chromium with sudo, for the demo's test"; \
	  sudo apt-get update -qq && sudo DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null; \
	else \
	  echo "There is no chromium here, and only root can install it: the tests marked browser need it (sudo apt-get install chromium)."; \
	fi
