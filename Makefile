# Every target works in a fresh clone, from any directory (make -C), with python3 and pip alone.
# `make help` lists them. PYTHON=python3.12 chooses another interpreter, VENV=dir another place.

ROOT   := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
PYTHON ?= python3
VENV   ?= $(ROOT)/.venv
BIN    := $(VENV)/bin
AT     := cd $(ROOT) &&

.DEFAULT_GOAL := help
.PHONY: help run test check bootstrap lint types unit faults bench loadtest docs clean

help:       ## list the targets
	@sed -n 's/^\([a-z]*\): .*## /make \1\t/p' $(ROOT)/Makefile | expand -t 18

run: $(VENV)/.serves       ## serve examples/hello.py on port 8080
	$(AT) exec $(BIN)/rocket-sup --config config/rocket.toml

test: $(VENV)/.develops      ## run every test
	$(AT) $(BIN)/python -m pytest

check: lint types unit     ## everything fast, under a minute: run it before each commit

bootstrap: $(VENV)/.develops ## make a working checkout: virtual environment and tools

lint: $(VENV)/.develops      ## format and lint, changing nothing
	$(AT) $(BIN)/ruff format --check . && $(BIN)/ruff check .

types: $(VENV)/.develops     ## mypy --strict
	$(AT) $(BIN)/mypy

unit: $(VENV)/.develops      ## unit tests, without the slow ones
	$(AT) $(BIN)/python -m pytest -q -m "not slow" tests/unit

faults: $(VENV)/.develops    ## kill and freeze processes under load, verdict as a table (minutes)
	$(AT) $(BIN)/python -m tests.faults

bench: $(VENV)/.develops     ## compare with other servers; installs them into benchmarks/build
	$(AT) $(BIN)/python -m benchmarks --publish

loadtest: $(VENV)/.develops  ## Locust profiles, headless, a few seconds each
	$(AT) $(BIN)/python -m loadtests

docs: $(VENV)/.develops      ## write what is made from the code; check links and examples
	$(AT) $(BIN)/python -m docs.generate && $(BIN)/python -m pytest -q tests/docs

clean:      ## remove the virtual environment, caches and what was built
	$(AT) rm -rf $(VENV) .venv-debian build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis benchmarks/build
	$(AT) find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are newer than pyproject.toml when what it asks for is installed.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "Rocket needs Python 3.11 or later: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	    || { rm -rf $(VENV); echo "No virtual environment: on Debian or Ubuntu, apt-get install python3-venv"; exit 1; }

$(VENV)/.serves: $(ROOT)/pyproject.toml | $(BIN)/pip
	$(AT) $(BIN)/pip install --quiet --editable '.[fast]'
	@touch $@

$(VENV)/.develops: $(ROOT)/pyproject.toml | $(BIN)/pip
	$(AT) $(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.serves
