# make demo     seven rounds of active learning in an Airflow of its own: about eleven minutes
# make test     linters, types and every test: about forty minutes
# make test-faults  every fault of docs/reliability.md on a real Airflow: about fifty minutes
# make check    linters, types and the fast tests: under three minutes
# make fuzz     spoilt files for every reader of strangers' bytes: half an hour
# make audit    ask OSV for known holes of the packages in the lock files: needs a network
# make test-deployment  docker-compose.yaml as processes of this machine, without Docker: PostgreSQL,
#                       Redis, Celery workers, an emulated gs://, a run of two rounds
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
IMAGE := --python-version 3.11 --python-platform x86_64-manylinux_2_28
IMAGE_VENV := .venv-deployment
DEPLOYMENT = BOXLOOP_IMAGE_VENV=$(IMAGE_VENV) $(BIN)/pytest -m deployment
STACK_FAULTS := tests/deployment/test_stack_faults.py

.PHONY: demo test test-deployment test-faults check fuzz audit lint airflow tensorboard setup lock clean

demo: $(VENV)/ready
	@$(BIN)/boxloop demo $(if $(SEED),--seed $(SEED))

airflow: $(VENV)/ready
	@$(BIN)/boxloop airflow

tensorboard: $(VENV)/ready
	@$(BIN)/boxloop tensorboard

test: lint
	$(PYTEST) -m "not deployment"

test-deployment: $(VENV)/ready-dev $(IMAGE_VENV)/ready
	$(DEPLOYMENT) tests/deployment --ignore $(STACK_FAULTS)

test-faults: $(VENV)/ready-dev $(IMAGE_VENV)/ready
	$(DEPLOYMENT) $(STACK_FAULTS)
	rm -rf build/faults
	$(BIN)/python -m tests.faults.run

check: lint
	$(PYTEST) -m "not slow and not e2e and not deployment"

fuzz: $(VENV)/ready-dev
	BOXLOOP_FUZZ_SECONDS=$${BOXLOOP_FUZZ_SECONDS:-60} $(BIN)/pytest tests/fuzz

audit: $(VENV)/ready-dev
	$(BIN)/python -m tests.security.audit

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

# What docker/airflow.Dockerfile puts into the image `team`
$(IMAGE_VENV)/ready: docker/airflow.txt pyproject.toml $(VENV)/ready
	@echo "Building the environment of the images in $(IMAGE_VENV): about 4 GB, one to five minutes"
	@$(PYTHON) -m venv --without-pip $(IMAGE_VENV)
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(IMAGE_VENV)/bin/python \
	  -r docker/airflow.txt
	@$(BIN)/uv pip install --quiet --python $(IMAGE_VENV)/bin/python --no-deps -e .
	@touch $@

lock: $(VENV)/ready-dev
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev \
	  -c requirements.txt pyproject.toml -o requirements-dev.txt
	cp requirements.txt docker/airflow.txt  # its versions are kept wherever the images can have them
	$(BIN)/uv pip compile --quiet $(IMAGE) --extra deployment --extra docker --extra kubernetes \
	  pyproject.toml -o docker/airflow.txt
	$(BIN)/uv pip compile --quiet $(IMAGE) --extra gpu -c requirements.txt --no-annotate --no-header \
	  pyproject.toml | grep ^nvidia > docker/cuda.txt
	echo gcp-storage-emulator | $(BIN)/uv pip compile --quiet $(IMAGE) -c requirements-dev.txt - \
	  -o docker/emulator.txt

clean:
	rm -rf $(VENV) $(IMAGE_VENV) .airflow .mypy_cache .ruff_cache .pytest_cache build include/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
