# make demo     seven rounds of active learning in an Airflow of its own: about eleven minutes
# make test     linters, types and every test: about half an hour
# make check    linters, types and the fast tests: under three minutes
# make airflow  keep Airflow up, for your own data; Ctrl-C stops it
# make tensorboard  curves of all runs, also while they train, at http://127.0.0.1:6006
# make clean    remove the environment, Airflow's home and caches, but no run (.boxloop stays)
#
# PYTHON=python3.12 make demo   builds the environment with another interpreter (3.11 to 3.13).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := uv==0.13.9
PYTEST := $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder
INSTALL := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python

.PHONY: demo test check lint airflow tensorboard setup lock clean

demo: $(VENV)/ready
	@$(BIN)/boxloop demo $(if $(SEED),--seed $(SEED))

airflow: $(VENV)/ready
	@$(BIN)/boxloop airflow

tensorboard: $(VENV)/ready
	@$(BIN)/boxloop tensorboard

test: lint
	$(PYTEST)

check: lint
	$(PYTEST) -m "not slow and not e2e"

lint: $(VENV)/ready-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

setup: $(VENV)/ready

$(VENV)/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else \
	"Boxloop needs Python 3.11 to 3.13, $(PYTHON) is %d.%d: say PYTHON=python3.12 make ..." % v)'
	@echo "Building the environment in $(VENV): about 4 GB, one to five minutes"
	@$(PYTHON) -m venv $(VENV) || { echo "python3 has no venv module: install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV) \
	  || { echo "The first build needs a network, to fetch packages from PyPI"; exit 1; }
	@$(INSTALL) -r requirements.txt
	@$(INSTALL) --no-deps -e .
	@touch $@

$(VENV)/ready-dev: requirements-dev.txt $(VENV)/ready
	@$(INSTALL) -r requirements-dev.txt
	@touch $@

lock: $(VENV)/ready-dev
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev \
	  -c requirements.txt pyproject.toml -o requirements-dev.txt

clean:
	rm -rf $(VENV) .airflow .mypy_cache .ruff_cache .pytest_cache build include/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
