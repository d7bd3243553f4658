# Every target except help, lock and clean first creates .venv, and recreates it when
# constraints.txt changes. SIMULATE=1 makes run and demo work without Docker. STAGE=prod selects
# production. ARGS="…" is passed to the target's command: make test ARGS="-k rollback". With a test
# file in ARGS the tests run in one process, which starts faster.

.DEFAULT_GOAL := help
.PHONY: help setup run cli demo test sweep soak fuzz check bench screenshots openapi package rehearse deploy configure destroy service doctor policy token github-app redrive lock clean broken
.SILENT:
MAKEFLAGS += --no-print-directory

PYTHON := .venv/bin/python
READY := .venv/ready
# Empty if .venv's Python starts. It stops working when the system's Python is removed.
BROKEN := $(shell $(PYTHON) -SIc '' 2>/dev/null || echo broken)
STAGE ?= dev
N ?= 1000
SIMULATE ?=
SIMULATION := $(if $(filter-out 0 false no,$(SIMULATE)),--simulate)

help: ## list the targets
	sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | \
	while IFS='|' read -r verb meaning; do printf '%-18s%s\n' "$$verb" "$$meaning"; done

setup: $(READY) ## create .venv with all requirements

$(READY): constraints.txt infra/setup.sh $(BROKEN)
	infra/setup.sh

run: $(READY) ## start Slipway and its embedded cloud on this machine
	exec $(PYTHON) -m infra.local serve --pretty --record build/run.json $(SIMULATION) $(ARGS)

cli: $(READY) ## run the slipway command: make cli ARGS="status shop/web"
	PYTHONPATH=cli exec $(PYTHON) -m slipway_cli $(ARGS)

demo: $(READY) ## run a push, a deployment, a rollback and a canary from end to end
	exec $(PYTHON) -m infra.local.play.demo $(SIMULATION) $(ARGS)

test: $(READY) ## run all tests but the long ones
	$(PYTHON) -m pytest $(if $(findstring .py,$(ARGS)),,-n 3 --dist worksteal) $(ARGS)

sweep: $(READY) ## test every fault at every call, two workers at once, and two versions at once
	$(PYTHON) -m pytest -n 3 --dist worksteal -m sweep tests/faults tests/upgrade \
	    tests/infra/test_policies.py $(ARGS)

soak: $(READY) ## run long random scenarios with faults: make soak N=1000
	$(PYTHON) -m tests.faults.soak $(N) $(ARGS)

fuzz: $(READY) ## check the served API against its OpenAPI document with schemathesis
	$(PYTHON) -m pytest -s -m fuzz tests/fuzz $(ARGS)

check: $(READY) ## run all checks: format, lint, types, template, tests
	$(PYTHON) -m ruff format --check --quiet . || \
	{ echo "Not formatted. Fix it with: .venv/bin/ruff format ." >&2; exit 1; }
	$(PYTHON) -m ruff check --quiet .
	$(PYTHON) -m mypy
	.venv/bin/cfn-lint infra/stack.yaml infra/service.yaml
	$(PYTHON) -m pytest -n 3 --dist worksteal -m "not (sweep or fuzz)" $(ARGS)

bench: $(READY) ## measure starts, requests and cost, beside Buildbot; adds to docs/bench.jsonl
	$(PYTHON) -m tests.bench $(ARGS)

screenshots: $(READY) ## write pictures of every view of the dashboard to build/screenshots
	$(PYTHON) -m tests.page.screenshots $(ARGS)

openapi: $(READY) ## regenerate the OpenAPI document and the page at /docs
	$(PYTHON) -m infra.openapi

package: $(READY) ## package the stack and the application of one stage, without AWS
	$(PYTHON) -m infra.package --stage $(STAGE) $(ARGS)

rehearse: $(READY) ## deploy to an emulator of AWS, use the stage, delete it (Linux)
	$(PYTHON) -m infra.rehearse

deploy: $(READY) ## show one stage's changes, ask, deploy: make deploy STAGE=dev [ARGS="JobWorkers=4"]
	$(PYTHON) -m infra.deploy $(STAGE) $(ARGS)

configure: $(READY) ## let chalice deploy deploy code and routes: make configure STAGE=dev
	$(PYTHON) -m infra.configure $(STAGE) $(ARGS)

# With STAGE the service is created in AWS, without it in the embedded cloud of `make run`.
service: $(READY) ## create a service: make service STAGE=dev NAME=shop/web GIT=https://… [PORT=8080]
	PYTHONPATH=cli exec $(PYTHON) -m infra.service $(if $(filter file,$(origin STAGE)),,--stage "$(STAGE)") \
	    --name "$(NAME)" --git "$(GIT)" $(if $(PORT),--port "$(PORT)") \
	    $(if $(DOMAIN),--domain "$(DOMAIN)") $(if $(STRATEGY),--strategy "$(STRATEGY)") \
	    $(if $(filter yes,$(DELETE)),--delete) $(ARGS)

# It runs before `make setup`, too: then with the system's Python, and without the checks of AWS.
doctor: ## check this machine, the AWS account and a stage: make doctor [STAGE=dev]
	$(if $(wildcard $(READY)),$(if $(BROKEN),python3,$(PYTHON)),python3) -m infra.doctor \
	    $(if $(filter file,$(origin STAGE)),,$(STAGE)) $(ARGS)

policy: $(READY) ## print the IAM policy for who deploys: make policy STAGE=dev [ARGS=--service|--github-app]
	$(PYTHON) -m infra.permissions $(STAGE) $(ARGS)

destroy: $(READY) ## delete one stage but not its data: make destroy STAGE=dev [ARGS="DATA=delete"]
	$(PYTHON) -m infra.destroy $(STAGE) $(ARGS)

token: $(READY) ## create an admin token of a deployed stage and print it once
	$(PYTHON) -m infra.token $(STAGE) $(ARGS)

github-app: $(READY) ## import a GitHub App's key: make github-app STAGE=dev APP=Iv23… KEY=file.pem
	$(PYTHON) -m infra.github_app $(STAGE) --app "$(APP)" --key "$(KEY)" $(ARGS)

redrive: $(READY) ## move a deployed stage's dead letters back to its queue
	$(PYTHON) -m infra.redrive $(STAGE) $(ARGS)

lock: ## pin all packages again, with hashes, in each constraints.txt (needs uv)
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --no-annotate --custom-compile-command "make lock" --output-file constraints.txt \
	    requirements-dev.txt
	cd infra/rehearse && uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	    --generate-hashes --no-annotate --custom-compile-command "make lock" \
	    --output-file constraints.txt requirements.txt
	cd tests/bench/buildbot && uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	    --generate-hashes --no-annotate --custom-compile-command "make lock" \
	    --output-file constraints.txt requirements.txt

clean: ## remove .venv, build and caches
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .chalice/deployments
