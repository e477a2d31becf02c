# A few verbs. Needs only Python 3.11+ and make; everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-clients clients-core check serve neo4j planted bench dashboard lock clean

help: ## what can be done
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

$(VENV)/.runtime: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "a virtual environment could not be made; install the venv module of $(PYTHON)"; exit 1; }
	@echo "installing what the project runs on (about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock || \
	  { echo "a download failed; check the network and run make again"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.test: requirements-test.lock $(VENV)/.runtime
	@echo "installing what the tests need"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-test.lock || \
	  { echo "a download failed; check the network and run make again"; exit 1; }
	@touch $@

demo: $(VENV)/.runtime ## agents run, are recorded, audited and judged; the dashboard stays up (ARGS="--exit --json FILE")
	@$(BIN)/auditor demo $(ARGS)

test: $(VENV)/.test ## install what the tests need, then run them all
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder -m "not alone" $(ARGS)
	@$(BIN)/python -m pytest -m alone $(ARGS) || test $$? -eq 5

# One environment per set of clients, without this project: they meet it over the wire alone.
.clients/.%: tests/clients/requirements-%.txt
	@test -x .clients/$*/bin/python || $(PYTHON) -m venv .clients/$*
	@echo "installing the clients of tests/clients/requirements-$*.in"
	@.clients/$*/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $< || \
	  { echo "a download failed; check the network and run make again"; exit 1; }
	@touch $@

clients-core: .clients/.core ## the client environment that the tests use (about a minute)

test-clients: $(VENV)/.test .clients/.core .clients/.a .clients/.b .clients/.c ## drive every client and instrumentation (2 GB)
	@$(BIN)/python -m pytest tests/clients $(ARGS)

check: $(VENV)/.test ## lint, types, house rules
	@$(BIN)/ruff check .
	@$(BIN)/mypy auditor agents graph
	@$(BIN)/python -m pytest -q tests/house

serve: $(VENV)/.runtime ## start the server (settings: AUDITOR_* or auditor.toml)
	@$(BIN)/auditor serve $(ARGS)

neo4j: $(VENV)/.runtime ## fetch (once) and start a real Neo4j 5.26 on loopback; needs java and mvn
	@$(BIN)/python deploy/neo4j/run $(ARGS)

planted: $(VENV)/.runtime ## retrain every planted model from scratch
	@$(BIN)/python -m agents.planted train all $(ARGS)

bench: $(VENV)/.test ## make bench NAME=…: side by side with peers
	@test -n "$(NAME)" || { echo "say which: make bench NAME=$$(ls tests/benchmarks | sed -n 's/\.py$$//p' | tr '\n' '|')"; exit 2; }
	@$(BIN)/python tests/benchmarks/$(NAME).py $(ARGS)

dashboard: ## build the dashboard's bundle (needs Node 20)
	@cd auditor/views/dashboard && npm ci --no-audit --no-fund && npm run build

lock: ## compile the lock files (needs uv)
	@uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-header -o requirements.lock
	@uv pip compile -q pyproject.toml --extra test --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header -o requirements-test.lock
	@cd tests/clients && for set in core a b c; do uv pip compile -q requirements-$$set.in --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	  -o requirements-$$set.txt; done

clean: ## remove what the demo and the tests left behind (not .venv)
	@rm -rf .demo .pytest_cache .mypy_cache .ruff_cache
