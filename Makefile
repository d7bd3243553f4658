# Every verb but help and clean makes .venv first, and again when the requirements change.
# SIMULATE=1 runs and demo without Docker; STAGE=prod packages and deploys production;
# ARGS="…" is handed on to what a verb starts: make test ARGS="-k rollback". A test file named there
# runs in one process, which starts at once.

.DEFAULT_GOAL := help
.PHONY: help setup run demo test sweep soak fuzz check openapi package deploy token redrive lock clean broken
.SILENT:
MAKEFLAGS += --no-print-directory

PYTHON := .venv/bin/python
READY := .venv/ready
# Empty where .venv has a Python that runs: that of the system may have gone since.
BROKEN := $(shell $(PYTHON) -SIc '' 2>/dev/null || echo broken)
STAGE ?= dev
N ?= 1000
SIMULATE ?=
SIMULATION := $(if $(filter-out 0 false no,$(SIMULATE)),--simulate)

help: ## show these verbs
	sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | \
	while IFS='|' read -r verb meaning; do printf '%-16s%s\n' "$$verb" "$$meaning"; done

setup: $(READY) ## make .venv with everything a clone needs

$(READY): requirements.txt requirements-dev.txt constraints.txt infra/setup.sh $(BROKEN)
	infra/setup.sh

run: $(READY) ## start Slipway and its embedded cloud on this machine
	exec $(PYTHON) -m infra.local serve --pretty $(SIMULATION) $(ARGS)

demo: $(READY) ## play a push, a deployment and a rollback from end to end
	exec $(PYTHON) -m infra.local.play.demo $(SIMULATION) $(ARGS)

test: $(READY) ## run the tests
	$(PYTHON) -m pytest $(if $(findstring .py,$(ARGS)),,-n 3 --dist worksteal) $(ARGS)

sweep: $(READY) ## every call failing in every way, and two workers at every call of one
	$(PYTHON) -m pytest -n 3 --dist worksteal -m sweep tests/faults $(ARGS)

soak: $(READY) ## long random stories with faults: make soak N=1000
	$(PYTHON) -m tests.faults.soak $(N) $(ARGS)

fuzz: $(READY) ## hold the served API to its OpenAPI document, with schemathesis
	$(PYTHON) -m pytest -s -m fuzz tests/fuzz $(ARGS)

check: $(READY) ## format, lint, types, templates, tests: all that must hold
	$(PYTHON) -m ruff format --check --quiet . || \
	{ echo "Not formatted as agreed. Mend it with: .venv/bin/ruff format ." >&2; exit 1; }
	$(PYTHON) -m ruff check --quiet .
	$(PYTHON) -m mypy
	.venv/bin/cfn-lint infra/stack.yaml
	$(PYTHON) -m pytest -n 3 --dist worksteal $(ARGS)

openapi: $(READY) ## write the OpenAPI document and the page at /docs anew
	$(PYTHON) -m infra.openapi

package: $(READY) ## package stack and application for one stage, without AWS
	$(PYTHON) -m infra.package --stage $(STAGE) $(ARGS)

deploy: $(READY) ## deploy one stage: make deploy STAGE=dev [ARGS="JobWorkers=4"]
	$(PYTHON) -m infra.deploy $(STAGE) $(ARGS)

token: $(READY) ## make an admin token of a deployed stage and show it, once
	$(PYTHON) -m infra.token $(STAGE) $(ARGS)

redrive: $(READY) ## put a deployed stage's dead letters back on its queue
	$(PYTHON) -m infra.redrive $(STAGE) $(ARGS)

lock: $(READY) ## pin all packages anew in constraints.txt (needs uv)
	: > constraints.txt
	uv pip compile --quiet --universal --python-version 3.11 --no-annotate \
	    --custom-compile-command "make lock" --output-file constraints.txt requirements-dev.txt

clean: ## remove .venv, build and caches
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .chalice/deployments
