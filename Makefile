# Everything runs in .venv, made here when missing and brought up to date when pyproject.toml or constraints.txt change.

PYTHON ?= python3
DEMO   ?= predict -m openai-davinci -H a100-sxm-80gb -s megatron-lm-2022 --tp 8 --dtype fp16 -p 512 -n 32 \
          --measured calibration/tables/narayanan-2023-a100-checks.csv

VENV := .venv
BIN  := $(VENV)/bin

# The constraints hold in pip's isolated build environment too; newer pips read them there under the second name.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo hashes test test-long test-network mutants fuzz robustness check bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.core ## one prediction beside its measurement, without torch
	$(BIN)/roofcast $(DEMO)

# A file is run by one worker, which keeps what its tests share; in the order of names the last ones are short.
SHARED := -n 2 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.dev ## the tests, on two cores
	$(BIN)/python -m pytest $(SHARED)

test-long: $(VENV)/.dev ## what fits for minutes, and more examples of every property, half an hour
	ROOFCAST_EXAMPLES=long $(BIN)/python -m pytest $(SHARED) -m "not network"

fuzz: $(VENV)/.dev ## changed files, flags and questions in a folder of its own, two minutes; FUZZ_S=3600 SEED=7 by hand
	$(BIN)/python -m benchmarks.robustness --only fuzz --seconds $(or $(FUZZ_S),60) --seed $(or $(SEED),0)
	$(BIN)/python -m benchmarks.robustness --only page --seconds $(or $(FUZZ_S),60) --seed $(or $(SEED),0)

robustness: $(VENV)/.dev ## the table of docs/robustness.md: changed inputs, orders of laws, kills; an hour
	$(BIN)/python -m benchmarks.robustness --seconds 1800

mutants: $(VENV)/.dev ## changes of the laws that the tests must notice, ten minutes on two cores
	$(BIN)/python -m benchmarks.mutants

test-network: $(VENV)/.dev ## the tests that install another program, HELM's metric, from a package index
	$(BIN)/python -m pytest -m network

check: $(VENV)/.dev ## ruff, the floors of the house, mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

bench: $(VENV)/.dev ## the benchmarks of Roofcast itself, half an hour
	$(BIN)/python -m benchmarks.bench
	$(BIN)/python -m benchmarks.sweep
	$(BIN)/python -m benchmarks.calibration
	$(BIN)/python -m benchmarks.denoise

hashes: $(VENV)/.made ## constraints-hashes.txt anew: every pinned package with the hashes of its files, but torch
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile constraints.txt --quiet --no-deps --generate-hashes --no-emit-package torch --no-annotate \
		--python-version 3.11 --custom-compile-command "make hashes" --output-file constraints-hashes.txt

clean: ## remove .venv, caches and build outputs
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -path ./.git -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Roofcast needs Python 3.11 or newer, and $(PYTHON) is not; name one: make PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.core: $(VENV)/.made pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --editable '.[calibrate,formulas,telemetry]'
	@# An environment may forbid Python to keep the bytecode of what it runs.
	$(BIN)/python -m compileall -q cli.py calibration simulator hardware_specs
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@
