# Two targets matter to a newcomer: `make demo` and `make test`. Each sets up all that it needs, in .venv.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: help demo demo-gateway test sdks check format bench conformance survival docs clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

demo: .venv/demo ## Record, then replay, real SDK calls against a local provider (no key, no network)
	@$(BIN)/askonce demo

demo-gateway: .venv/gateway ## Serve a gateway with real calls in it, and look at its Logs page
	@$(BIN)/askonce demo --gateway

test: .venv/test ## Run all tests
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

sdks: .venv/test .envs/openai3/made .envs/openai2/made .envs/node/made ## Record and replay every SDK, in environments of a gigabyte
	$(BIN)/python -m pytest tests/sdks/test_cells.py tests/gateway/test_others.py $(ARGS)

check: .venv/test .venv/check ## Lint, and check types and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/check ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/test .venv/bench .envs/openai3/made .envs/openai2/made .envs/original/made \
		.envs/litellm/made .envs/tensorzero/made .envs/portkey/made ## Measure, and write benchmarks/results
	$(PIP) --python .envs/openai2/bin/python install --group rivals2
	$(PIP) --python .envs/openai3/bin/python install --group rivals3
	$(BIN)/python -m benchmarks

conformance: .venv/test ## Call every method of the SDKs in three runs, and write docs/reference/conformance.md
	$(BIN)/python -m tests.conformance

survival: .venv/test ## Live through the worst days in full, and write docs/explanation/survival.md
	$(BIN)/python -m tests.survival

docs: .venv/test ## Write the reference pages that are generated
	$(BIN)/python -m docs.generate
	$(BIN)/python -m docs.generate_sdks

clean: ## Remove what the targets made
	rm -rf .venv .envs .legacy .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist

.venv/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "askonce needs Python 3.11 or later; run make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(PIP) install --upgrade 'pip>=25.1'
	@touch $@

.venv/demo: .venv/pip pyproject.toml
	$(PIP) install --editable . --group demo
	@touch $@

.venv/gateway: .venv/demo
	$(PIP) install --group gateway
	@touch $@

.venv/test: .venv/demo pyproject.toml
	$(PIP) install --group test
	$(PIP) install --no-deps --upgrade --target .legacy/openai2 'openai<3'
	$(PIP) install --no-deps --upgrade --target .legacy/aiohttp3.12 'aiohttp==3.12.7'
	$(PIP) install --no-deps --upgrade --target .legacy/aiohttp3.13 'aiohttp==3.13.*'
	$(PIP) install --no-deps --upgrade --target .legacy/urllib3-1 'urllib3<2'
	@touch $@

.venv/check: .venv/pip pyproject.toml
	$(PIP) install --group check
	@touch $@

.venv/bench: .venv/pip pyproject.toml
	$(PIP) install --group bench
	@touch $@

.envs/node/made: NPM = openai@7
.envs/portkey/made: NPM = @portkey-ai/gateway@1.15.2
.envs/node/made .envs/portkey/made:
	@mkdir -p $(@D)
	@if command -v npm > /dev/null; then npm install --silent --no-save --prefix $(@D) $(NPM); \
	  else echo "there is no npm, and so no $(NPM)"; fi
	@touch $@

.envs/%/made: .venv/pip pyproject.toml
	$(PYTHON) -m venv --without-pip .envs/$*
	$(PIP) --python .envs/$*/bin/python install --group $*
	@touch $@
