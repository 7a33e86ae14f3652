PORT ?= 4566
PYTHON := .venv/bin/python
export SAM_CLI_TELEMETRY := 0
# Handed to the shell as it is, because a value may have quotes of its own.
export PARAMETERS
# Compiling every module anew takes longer than most commands.
unexport PYTHONDONTWRITEBYTECODE
# The layers' Makefiles call uv and python3.13.
WITH_TOOLS := PATH="$(CURDIR)/.venv/bin:$(CURDIR)/.tools/bin:$$PATH"

LINTERS := ruff mypy cfn-lint sam-validate statelint checkov

.PHONY: help setup local down test unit torture lint audit bench simulate deploy destroy $(LINTERS)
.DEFAULT_GOAL := help

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup:  ## Create the environments (every target does so when needed)
	@./setup.sh

local: setup  ## Run the whole system on this machine [PORT=4566] [PARAMETERS="MaxPixels=1000000"]
	@$(PYTHON) -m local up --port $(PORT) --parameters "$$PARAMETERS"

down: setup  ## Stop the local run; its data remains in .local [PORT=4566]
	@$(PYTHON) -m local down --port $(PORT)

test: lint  ## Run the linters, then every test, on this machine alone, in about seven minutes
	@$(PYTHON) -m pytest -n auto --dist loadgroup

unit: setup  ## Run the quick tests, which need neither the emulator nor other processes
	@$(PYTHON) -m pytest -n auto --dist worksteal -m "not slow" \
		--hypothesis-profile=quick --ignore=tests/integration --ignore=tests/local

torture: setup  ## Test random uploads and faults on a system of its own, for about half an hour [OPTIONS="--seed 7"]
	@$(PYTHON) -m tests.torture $(OPTIONS)

lint: setup  ## Check style, types, template and state machines
	@$(MAKE) --no-print-directory --keep-going --jobs 4 $(LINTERS)

ruff:
	@.venv/bin/ruff check --quiet
	@.venv/bin/ruff format --check --quiet

mypy:
	@.venv/bin/mypy --no-error-summary

cfn-lint:
	@.venv/bin/cfn-lint template.yaml

sam-validate:
	@AWS_DEFAULT_REGION=us-east-1 .venv/bin/sam validate --lint

# statelint accepts no expressions for two fields for which the Amazon States Language does.
statelint:
	@scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	resolve() { sed -E \
		-e 's/"[$$][{]BeginRecord[}]"/"'"$$2"'"/; s/"[$$][{]NotifySuccess[}]"/"'"$$3"'"/' \
		-e 's/"(MaxConcurrency|ToleratedFailurePercentage)": "\{%[^"]*%\}"/"\1": 1/' \
		"statemachine/$$1.asl.json" > "$$scratch/$$1-$$2.asl.json"; }; \
	resolve image_pipeline BeginRecord NotifySuccess; \
	resolve image_pipeline RegisterExecution NotifyExpressSuccess; \
	resolve housekeeping; resolve reprocess; \
	.venv/bin/statelint --eval-jsonata "$$scratch"/*.asl.json

checkov:
	@LOG_LEVEL=CRITICAL .venv-security/bin/checkov

audit: setup  ## Look up known vulnerabilities of the locked packages, where their database can be reached
	@for locked in layers/runtime/requirements.txt $(wildcard requirements/*.txt); do \
		case $$locked in requirements/overrides.txt) continue;; esac; \
		echo "$$locked:"; status=0; \
		found=$$(.venv-security/bin/pip-audit --vulnerability-service osv --disable-pip --require-hashes \
			--progress-spinner off --requirement $$locked 2>&1) || status=$$?; \
		case $$found in *HTTPSConnectionPool*) \
			echo "audit: api.osv.dev cannot be reached from here, so nothing was looked up." >&2; exit 2;; \
		esac; \
		echo "$$found"; test $$status -eq 0 || failed=1; \
	done; test -z "$$failed"

bench: setup  ## Compare the speed of rendering with other libraries
	@$(PYTHON) -m bench

simulate: setup  ## Simulate bursts of uploads against an account's quotas [OPTIONS="--seed 7"]
	@$(PYTHON) -m bench.quotas $(OPTIONS)

deploy: setup  ## Build and deploy to your AWS account [OPTIONS="--guided"]
	@$(WITH_TOOLS) python -m deployment.deploy $(OPTIONS)

destroy: setup  ## Delete the stack and all its data, after asking for confirmation [OPTIONS="--stack-name N"]
	@$(PYTHON) -m deployment.destroy $(OPTIONS)
