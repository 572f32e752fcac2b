# One virtual environment for everything; `make demo` and `make test` need nothing but Python 3.11+.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test reproduce bench lint format clean

demo: $(READY)
	$(BIN)/ohmgrad demo

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile --max-worker-restart 0

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

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache
