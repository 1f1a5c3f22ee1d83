# Two commands for a stranger: `make demo` and `make test`. Both set up .venv first; from the second time on that is
# instant. They need git, make and Python 3.11 or later; `make PYTHON=/path/to/python3` names one.

VENV := .venv
BIN := $(VENV)/bin
PYTHONS := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
AGENTS := .agents
SUPERVISORS := .supervisors
UV ?= $(shell command -v uv || echo $(BIN)/uv)
COMPILE := $(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command 'make requirements'

.DEFAULT_GOAL := help
.PHONY: help demo test test-keys test-agents lint bench screenshots requirements clean

help:
	@echo 'make demo          the console on a demo home: real jobs, no network, no key, pretend prices'
	@echo 'make test          everything .ci/run runs: lint, types, import contracts, tests, the demo without a terminal'
	@echo 'make test-keys     press ten thousand keys while rows change, and judge each act by what the picture showed'
	@echo 'make test-agents   install claude, codex, opencode and the OpenAI SDK (npm, PyPI) and run them at the gate'
	@echo 'make test-systemd  the rendered units under a real systemd in namespaces (root, Linux with systemd)'
	@echo 'make test-cron     the rendered lines under a real cron in namespaces (root, Debian or Ubuntu)'
	@echo 'make lint          lint, types and import contracts alone'
	@echo 'make bench         measure beside huey and beside raw commits'
	@echo 'make screenshots   draw the pictures of README.md anew'
	@echo 'make requirements  pin the newest versions of what we depend on'
	@echo 'make clean         remove .venv and every cache'

demo: $(VENV)/.runtime
	@$(BIN)/afk-runner demo

# Most tests wait for a process or a screen, so there are more of them at once than cores. They start thousands of
# processes, each of which would compile what it imports again where bytecode is not kept.
test: export PYTHONDONTWRITEBYTECODE =
test: lint
	$(BIN)/python -m pytest -q -n 6 --dist worksteal -m 'not bench'
	home=$$(mktemp -d) && trap 'rm -rf "$$home"' EXIT && $(BIN)/afk-runner demo --headless --home "$$home"

test-keys: $(VENV)/.dev
	AFK_KEYS=10000 $(BIN)/python -m pytest -q tests/console/test_scripted_keys.py

test-agents: $(AGENTS)/.ready
	AFK_AGENTS=$(AGENTS) $(BIN)/python -m pytest -q tests/agents

$(AGENTS)/.ready: tests/agents/package.json tests/agents/requirements.txt $(VENV)/.dev
	@command -v npm >/dev/null || { echo 'There is no npm here; the agents come by it. Install Node.js 20 or later.' >&2; exit 1; }
	mkdir -p $(AGENTS)
	cp tests/agents/package.json $(AGENTS)/
	npm install --prefix $(AGENTS) --no-audit --no-fund --loglevel=error
	$(BIN)/python -m venv $(AGENTS)/venv
	$(AGENTS)/venv/bin/python -m pip --disable-pip-version-check --no-input --quiet install -r tests/agents/requirements.txt
	@touch $@

test-systemd: $(VENV)/.dev
	AFK_SYSTEMD=1 $(BIN)/python -m pytest -q tests/supervisors/test_systemd.py

test-cron: $(SUPERVISORS)/.cron $(VENV)/.dev
	AFK_CRON=$(CURDIR)/$(SUPERVISORS)/cron $(BIN)/python -m pytest -q tests/supervisors/test_cron.py

$(SUPERVISORS)/.cron:
	@command -v apt-get >/dev/null || { echo 'There is no apt-get here; cron comes by it.' >&2; exit 1; }
	mkdir -p $(SUPERVISORS)
	cd $(SUPERVISORS) && apt-get -qq download cron && dpkg-deb -x cron_*.deb cron
	@touch $@

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

screenshots: $(VENV)/.dev
	$(BIN)/python -m tests.console.picture

bench: $(VENV)/.dev
	$(BIN)/python -m pytest -q -s -m bench

$(VENV)/.runtime: requirements.txt pyproject.toml | $(BIN)/python
	@echo 'setting up $(VENV)'
	@$(PIP) install --require-hashes -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.runtime
	@echo 'adding what the tests need'
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@

$(BIN)/python:
	@for python in $(PYTHONS); do \
		"$$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		exec "$$python" -m venv $(VENV); \
	done; \
	echo 'There is no Python 3.11 or later with its venv module here. Install one (Debian and Ubuntu: python3 and' >&2; \
	echo 'python3-venv; macOS: brew install python), or name one: make PYTHON=/path/to/python3' >&2; \
	exit 1

requirements:
	$(COMPILE) --upgrade --group build -o requirements.txt
	$(COMPILE) --upgrade --group dev -c requirements.txt -o requirements-dev.txt

clean:
	rm -rf $(VENV) $(AGENTS) $(SUPERVISORS) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
