# The two commands that a newcomer needs: `make run` and `make test`. `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
export VIRTUAL_ENV := $(CURDIR)/.venv
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Our commands are started some hundred times: compiled once is enough, whatever the machine's settings say.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	@echo "Making the virtual environment in .venv ..."
	@$(PYTHON) -m venv .venv

.venv/run.stamp: $(BIN)/python locks/run.lock pyproject.toml
	@echo "Installing what the product needs (about 1 GB on disk; a minute or more) ..."
	@$(PIP_INSTALL) --require-hashes -r locks/run.lock
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev.stamp: .venv/run.stamp locks/dev.lock
	@echo "Installing what the checks need ..."
	@$(PIP_INSTALL) --require-hashes -r locks/dev.lock
	@touch $@

.venv/peers.stamp: .venv/dev.stamp locks/bench.lock
	@echo "Installing what benchmarks compare with ..."
	@$(PIP_INSTALL) --require-hashes -r locks/bench.lock
	@touch $@

.PHONY: peers
peers: .venv/peers.stamp ## install the libraries that `python -m benchmarks.bench_gallery` and `bench_pipeline` compare with

.venv/train.stamp: .venv/run.stamp locks/train.lock
	@echo "Installing what training needs (about 5 GB on disk) ..."
	@$(PIP_INSTALL) --require-hashes -r locks/train.lock
	@touch $@

.PHONY: train
train: .venv/train.stamp ## train the liveness network anew (hours; see docs/liveness-model.md)
	$(BIN)/python -m edge.liveness.training

.PHONY: setup
setup: .venv/run.stamp ## make the virtual environment and fetch the face models
	@$(BIN)/verifield-edge models pull --quiet
	@$(BIN)/verifield-edge gallery warm --quiet

.PHONY: run
run: setup ## set up, then run the main job from end to end
	@$(BIN)/python -m demo

.PHONY: test
test: .venv/dev.stamp ## set up, then run every check
	@scripts/debian.sh
	@$(BIN)/verifield-edge models pull --quiet
	@$(MAKE) --no-print-directory --jobs=$$(nproc) --output-sync=target types compiled style contract
	scripts/tests.sh

# What `test` does before the tests themselves, beside one another.
.PHONY: types compiled style contract
types:
	$(BIN)/mypy
compiled: # once, for all the processes that run tests: what a fresh copy has not compiled yet
	@said=$$($(BIN)/python -m pytest --collect-only -qqq 2>&1) || { tail -n 60 <<<"$$said"; exit 1; }
	@$(BIN)/verifield-edge gallery warm --quiet
style:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python scripts/trace.py --check
contract:
	scripts/protolint.sh
	scripts/protogen.sh --check

.PHONY: deb
deb: .venv/run.stamp ## build the appliance's Debian package into dist/ (minutes; 260 MB)
	$(BIN)/python -m scripts.deb

.PHONY: deb-test
deb-test: .venv/dev.stamp ## build that package, install it into a folder and run it there (as root)
	VERIFIELD_SOAK=1 $(BIN)/python -m pytest --timeout 3600 tests/integration/test_edge_deploy.py

SOAK ?= 10
SOAK_RECORDS ?= 100000
SOAK_MINUTES ?= 60

.PHONY: soak
soak: .venv/dev.stamp ## hours of faults: kills, power cuts, bad disks and links, SOAK times as long as in `make test`
	scripts/debian.sh
	VERIFIELD_SOAK=$(SOAK) $(BIN)/python -m pytest -n 2 --dist worksteal --timeout 7200 \
	  tests/protocol tests/integration/test_outbox_*.py tests/integration/test_queue_*.py \
	  tests/integration/test_sync_*.py tests/integration/test_session_rules.py tests/unit/test_cloud_ingest.py
	$(BIN)/python -m benchmarks.soak --records $(SOAK_RECORDS) --no-keep
	$(BIN)/python -m benchmarks.soak_edge --minutes $(SOAK_MINUTES)

.PHONY: trace
trace: .venv/dev.stamp ## write docs/requirements.md from the marks in the tests
	$(BIN)/python scripts/trace.py

.PHONY: proto
proto: .venv/dev.stamp ## regenerate the Python code beside the .proto files
	scripts/protogen.sh

.PHONY: proto-image
proto-image: .venv/dev.stamp ## at a release: refresh the image that breaking changes are judged against
	$(BIN)/python scripts/protos.py kept proto/verifield.binpb

.PHONY: lock
lock: .venv/dev.stamp ## pin all packages anew
	scripts/lock.sh

.PHONY: clean
clean: ## remove what `make run` and the checks left behind (not the environment)
	rm -rf .run .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
