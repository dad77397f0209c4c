# `make` alone lists what there is. Python >= 3.11, git and make are all that must be there beforehand.

BIN := .venv/bin
UV := .cache/uv/bin/uv
READY := .venv/ready
PEERS := .cache/peers/ready
COMPILE := $(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q

export UV_PYTHON_DOWNLOADS := never
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-s3 demo-fastq test test-end-to-end test-faults test-quick test-transfer lint bench bench-scale docs lock clean
.DELETE_ON_ERROR:

help: ## List the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r name text; do printf '%-24s%s\n' "$$name" "$$text"; done

setup: $(READY) ## Make .venv with what the lock files say, and the `reelmill` command in it

demo: $(READY) ## Encode a video in parallel and prove the result; another one with SOURCE=path
	$(BIN)/python -m cli.demo

demo-s3: $(READY) ## The same from bucket to bucket, on an S3 server of its own
	$(BIN)/python -m tests.demo_s3

demo-fastq: $(READY) ## Another kind of work: quality of reads, in ranges of a file, against a plain pass
	$(BIN)/python -m tests.demo_fastq

test: $(READY) ## Run the tests; more options with ARGS="-k name"
	$(BIN)/pytest -n 3 --dist worksteal -m "not end_to_end" $(ARGS)

test-end-to-end: $(READY) ## Run the others: whole jobs, services, clusters, killed machines, a browser
	$(BIN)/pytest -n 3 --dist worksteal -m end_to_end $(ARGS)

test-faults: $(READY) ## Run jobs on a store that fails, 200 of them; another number with FAULT_RUNS=n
	FAULT_RUNS=$(or $(FAULT_RUNS),200) $(BIN)/pytest -n 2 tests/flows/test_store_faults.py $(ARGS)

test-transfer: $(READY) ## Run transfers of 1,000 parts on stores that fail, and kill 20; other numbers with FAULT_RUNS=n KILL_RUNS=n
	FAULT_RUNS=$(or $(FAULT_RUNS),8) KILL_RUNS=$(or $(KILL_RUNS),20) $(BIN)/pytest -n 1 \
	  tests/reelmill/transfer/test_transfer_faults.py tests/cli/test_transfer_command.py $(ARGS)

test-quick: $(READY) ## Run the tests that take seconds
	$(BIN)/pytest -n 2 -m "not slow and not end_to_end" $(ARGS)

lint: $(READY) ## Check style, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo

bench: $(READY) $(PEERS) ## Measure
	$(BIN)/python -m bench.run $(ARGS)

bench-scale: $(READY) ## Measure a job of 360 tasks at once, simulate fleets, and write docs/scale.md
	$(BIN)/python -m bench.scale $(ARGS)
	$(BIN)/python -m bench.scale_page > docs/scale.md
	$(BIN)/python -m bench.scale_page --plot > docs/images/scale.svg

docs: $(READY) ## Write the reference pages that are made from the code
	$(BIN)/python -m reelmill.profiles.reference > docs/profiles.md
	$(BIN)/python -m reelmill.errors_reference > docs/errors.md
	$(BIN)/python -m reelmill.manifest_reference > docs/manifest.md
	$(BIN)/python -m reelmill.settings_reference > docs/settings.md

lock: $(UV) ## Write requirements/*.txt anew from pyproject.toml; newer versions with ARGS=--upgrade
	$(COMPILE) pyproject.toml -o requirements/main.txt $(ARGS)
	$(COMPILE) pyproject.toml --group dev -o requirements/dev.txt $(ARGS)
	$(COMPILE) pyproject.toml --group fleet -o requirements/fleet.txt $(ARGS)
	$(COMPILE) --group ecs -o requirements/ecs.txt $(ARGS)
	$(COMPILE) --group peers -o requirements/peers.txt $(ARGS)
	$(COMPILE) --group uv -o requirements/uv.txt $(ARGS)

clean: ## Remove all that these targets made, .venv too
	rm -rf .venv .cache .hypothesis .import_linter_cache demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The first Python of this list that is new enough: say which with `make setup PYTHON=...`.
PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11

$(UV): requirements/uv.txt
	@for python in $(PYTHON); do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && found=$$python && break; \
	done; \
	[ -n "$$found" ] || { echo 'Python 3.11 or newer is needed, and none of these is: $(PYTHON).' >&2; exit 1; }; \
	"$$found" -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$$found has no ensurepip: install it first (on Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; }; \
	rm -rf .cache/uv && "$$found" -m venv .cache/uv
	.cache/uv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $(UV)

$(PEERS): requirements/peers.txt | $(UV) $(READY)
	@$(UV) venv -q --clear --python .venv/bin/python .cache/peers
	$(UV) pip sync -q --python .cache/peers/bin/python --require-hashes requirements/peers.txt
	@touch $(PEERS)

$(READY): pyproject.toml $(wildcard requirements/*.txt) | $(UV)
	@$(BIN)/python -c '' 2>/dev/null || $(UV) venv -q --clear --python .cache/uv/bin/python .venv
	$(UV) pip sync -q --python $(BIN)/python --require-hashes --compile-bytecode requirements/dev.txt
	$(UV) pip install -q --python $(BIN)/python --no-deps --no-build-isolation --offline --editable .
	@touch $(READY)
