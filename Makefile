# One virtual environment, into which each target installs what it needs and no more: Python 3.11+ is enough.
# uv installs where it is there, else pip.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CONSTRAINTS ?= constraints.txt
ifneq ($(shell command -v uv),)
MAKE_VENV = uv venv --quiet --seed --allow-existing --python $(PYTHON) $(VENV)
INSTALL = uv pip install --python $(BIN)/python --compile-bytecode
else
MAKE_VENV = $(PYTHON) -m venv $(VENV)
INSTALL = $(BIN)/python -m pip install
endif

.PHONY: demo docs notebooks test test-slow test-oldest fuzz reproduce bench lint format clean

demo: $(VENV)/.ready
	$(BIN)/ohmgrad demo

test: $(VENV)/.ready-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile --max-worker-restart 0 $(TESTS)

# what meets most of the dependencies, with the oldest of them that pyproject.toml allows
OLDEST := build/oldest
test-oldest:
	mkdir -p $(OLDEST)
	$(PYTHON) tests/oldest.py > $(OLDEST)/constraints.txt
	$(MAKE) test VENV=$(OLDEST) CONSTRAINTS=$(OLDEST)/constraints.txt \
		TESTS="src/ohmgrad/tests tests/cli tests/report tests/devices tests/studies"

# longer runs of what a shorter one shows, too
test-slow: $(VENV)/.ready-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow --numprocesses auto --dist loadfile

# with other cases each time
MINUTES ?= 60
fuzz: $(VENV)/.ready-test
	$(BIN)/python -m tests.fuzz.long --minutes $(MINUTES)

# the documentation site; PICTURES=0 draws no pictures, which takes a third of the time
PICTURES ?= 1
docs: $(VENV)/.ready-docs
	$(BIN)/python -m sphinx -q -W --keep-going -j auto -D pictures=$(PICTURES) docs docs/_build/html
	@echo "the site: docs/_build/html/index.html"

# the examples as notebooks that have run, in notebooks/
notebooks: $(VENV)/.ready-docs
	$(BIN)/python docs/_ext/notebooks.py notebooks

reproduce: $(VENV)/.ready
	$(BIN)/ohmgrad reproduce all --quick

bench: $(VENV)/.ready
	for script in memory_per_cell first_call update_per_cell update_against_digital step_against_torch compiled trajectories; do \
		$(BIN)/python benchmarks/$$script.py && echo || exit 1; \
	done

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/.ready-dev
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

# .ready: what runs; .ready-EXTRA: with an extra of pyproject.toml
$(VENV)/.ready: pyproject.toml $(CONSTRAINTS)
	$(MAKE_VENV)
	$(INSTALL) --constraint $(CONSTRAINTS) --editable .
	touch $@

$(VENV)/.ready-%: pyproject.toml $(CONSTRAINTS)
	$(MAKE_VENV)
	$(INSTALL) --constraint $(CONSTRAINTS) --editable '.[$*]'
	touch $@

clean:
	rm -rf $(VENV) docs/_build docs/generated build dist .pytest_cache .ruff_cache
