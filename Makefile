# Each command below makes what it needs: an environment in .venv, created once and extended by the
# extras a command asks for. Nothing outside this folder is touched.
#
#   make demo       the main job, from training to a reloaded model, on a simulated screen
#   make test       the tests, with the examples in the docstrings and in the user guide
#   make lint       formatting, static checks, types, docstrings
#   make examples   every program in examples/
#   make docs       the documentation, into docs/_build/html
#   make bench      the benchmarks
#   make clean      back to a fresh clone
#
# DEMO_ARGS, PYTEST_ARGS and BENCH_ARGS are handed on, e.g. make demo DEMO_ARGS="--data cpjump1"

PYTHON ?= python3
VENV ?= .venv

# The release of PyTorch the tests run with. On Linux the build that pip takes by default may bring
# several GB of CUDA libraries; PyTorch's own index has builds for the CPU and for each CUDA release:
#     make demo TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0

# Test processes: one for each core.
JOBS ?= auto

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
SOURCES = $(shell find cloome_sk -name '*.py')
EXAMPLES = $(sort $(wildcard examples/*.py))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test lint lint-style lint-format lint-types lint-docstrings examples docs bench clean

help:
	@sed -n 's/^#   make/  make/p' Makefile

# An environment without its stamp is a half-made one: begin again.
$(VENV)/.torch:
	@command -v $(PYTHON) >/dev/null || \
		{ echo "$(PYTHON) was not found. Install Python 3.11 or newer, or name one: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "cloome_sk needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=..." >&2; exit 1; }
	@echo "Creating the environment $(VENV) ..."
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) $(TORCH)
	@touch $@

$(VENV)/.extra-%: pyproject.toml $(VENV)/.torch
	@echo "Installing cloome_sk with what '$*' needs ..."
	$(PIP) --editable ".[$*]"
	@touch $@

demo: $(VENV)/.extra-demo
	$(BIN)/python -m cloome_sk.demo $(DEMO_ARGS)

test: $(VENV)/.extra-test
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(PYTEST_ARGS)

lint: lint-style lint-format lint-types lint-docstrings

lint-style: $(VENV)/.extra-dev
	$(BIN)/ruff check .

lint-format: $(VENV)/.extra-dev
	$(BIN)/ruff format --check .

lint-types: $(VENV)/.extra-dev
	$(BIN)/mypy

# numpydoc reads setup.cfg only from a folder that has no pyproject.toml.
lint-docstrings: $(VENV)/.extra-dev
	@mkdir -p $(VENV)/numpydoc && cp setup.cfg $(VENV)/numpydoc/
	$(BIN)/numpydoc lint --config $(VENV)/numpydoc $(SOURCES)

examples: $(VENV)/.extra-demo
	@test -n "$(EXAMPLES)" || { echo "examples/ holds no program" >&2; exit 1; }
	@set -e; for program in $(EXAMPLES); do echo "--- $$program"; $(BIN)/python $$program; done

# A page left over from a name that is gone would be reported as listed nowhere; -E reports the
# warnings of unchanged pages too.
docs: $(VENV)/.extra-docs
	rm -rf docs/generated
	$(BIN)/python -m sphinx -q -E -W --keep-going -b html docs docs/_build/html
	@echo "The documentation is in docs/_build/html/index.html"

bench: $(VENV)/.extra-demo
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info docs/_build docs/generated demo_output
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find cloome_sk tests docs examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
