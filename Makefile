# One virtual environment for everything; `make demo` and `make test` need nothing but Python 3.11+.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo docs test fuzz reproduce bench lint format clean

demo: $(READY)
	$(BIN)/ohmgrad demo

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile --max-worker-restart 0

# with other cases each time
MINUTES ?= 60
fuzz: $(READY)
	$(BIN)/python -m tests.fuzz.long --minutes $(MINUTES)

# the documentation site; PICTURES=0 draws no pictures, which takes a third of the time
PICTURES ?= 1
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -q -W --keep-going -j auto -D pictures=$(PICTURES) docs docs/_build/html
	@echo "the site: docs/_build/html/index.html"

reproduce: $(READY)
	$(BIN)/ohmgrad reproduce all --quick

bench: $(READY)
	for script in memory_per_cell first_call update_per_cell update_against_digital step_against_torch compiled trajectories; do \
		$(BIN)/python benchmarks/$$script.py && echo || exit 1; \
	done

lint: $(READY)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright --pythonpath $(BIN)/python

format: $(READY)
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

$(VENV)/.docs: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $(VENV)/.docs

clean:
	rm -rf $(VENV) docs/_build docs/generated build dist .pytest_cache .ruff_cache
