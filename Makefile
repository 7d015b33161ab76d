.PHONY: demo test pytest coverage check bench docs install clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# or every process of the tests would compile what it imports
unexport PYTHONDONTWRITEBYTECODE

# one marker per set of extras, so that a second call installs nothing
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[watch]'
	touch $@

$(VENV)/.developer: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[app,watch,c3d,h5,dev,export,raw,text,stats]'
	touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

install: $(VENV)/.installed

demo: $(VENV)/.installed ## shipped features and a training of CMD against untrained baselines, on simulated skeletons and a real smart-watch set
	$(BIN)/motet demo --out demo

check: $(VENV)/.developer ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: $(VENV)/.developer ## lint, types, tests; types are checked while tests wait for processes
	$(MAKE) --no-print-directory -j2 check pytest

pytest: $(VENV)/.developer
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

coverage: $(VENV)/.developer ## lines and branches of motet that the tests run, those of other processes left out
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --cov --cov-report=term

bench: $(VENV)/.developer ## every ratio of docs/results/benchmarks.md; takes a while
	for script in benchmarks/bench_*.py; do name=$$(basename $$script .py); echo "== $$name"; \
		OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.$$name || exit 1; done

docs: $(VENV)/.docs ## build the site into site/, with the live pages of the gallery
	$(BIN)/mkdocs build --strict
	$(BIN)/python docs/gallery.py site/gallery

clean:
	rm -rf $(VENV) site dist demo demo-[0-9] .mypy_cache .ruff_cache .pytest_cache
