# The two commands of the README, and what they are made of.
#   make demo     set up .venv and run the embedded model on the bundled benchmark
#   make test     set up .venv and pass the tests
#   TORCH_INDEX=URL   take PyTorch from another package index (a CPU-only or another CUDA build)
#   PYTHON=python3.12 another interpreter
PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
BIN := $(VENV)/bin
AXE_VERSION := 4.14.1
AXE := build/axe/package/axe.min.js
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-slow test-browser lint scenes readme rows comparison comparison-tables clean

demo: $(VENV)/.demo
	$(BIN)/rsbench run --subset demo

test: $(VENV)/.test
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not slow and not gpu and not browser"

test-slow: $(VENV)/.test
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "slow"

test-browser: $(VENV)/.test $(AXE)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "browser" tests/browser

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check rsbench srpo_train tests tools
	$(BIN)/mypy

scenes: $(VENV)/.test
	$(BIN)/python tools/scenes.py check tasks/rsbench/scenes

$(VENV)/.torch: constraints.txt
	@echo "Setting up $(VENV) (PyTorch and transformers: a few minutes the first time) …"
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rsbench needs Python 3.11 or newer")'
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	@touch $@

$(VENV)/.demo: pyproject.toml $(VENV)/.torch
	$(PIP) --editable '.[hf]'
	@touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.torch
	$(PIP) --editable '.[openai,anthropic,constrained,reward,train,dev]'
	@touch $@

# The accessibility checker that browser tests inject; nothing of it is shipped.
$(AXE):
	mkdir -p build/axe
	cd build/axe && npm pack --silent axe-core@$(AXE_VERSION) && tar xzmf axe-core-$(AXE_VERSION).tgz package/axe.min.js
	rm -f build/axe/axe-core-$(AXE_VERSION).tgz

# The leaderboard's own rows: the embedded model, measured with the offline judge.
rows: $(VENV)/.demo
	$(BIN)/python tools/rows.py leaderboard/rows

# Every training method on the embedded model: trainings, runs, rows, tables. Hours; goes on where it stopped.
comparison: $(VENV)/.test
	$(BIN)/python tools/comparison.py run
	$(BIN)/python tools/comparison.py tables

comparison-tables: $(VENV)/.test
	$(BIN)/python tools/comparison.py tables

readme: $(VENV)/.test comparison-tables
	$(BIN)/python tools/readme.py
	$(BIN)/python tools/picture.py

clean:
	rm -rf $(VENV) build dist
