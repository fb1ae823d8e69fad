.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python
PIP_INSTALL = $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes
# Mails per second of the demo; the product's default is 5.
RATE ?= 20
PORT ?= 8000
# What `make chaos` does: how many kill -9, and how long it measures the exact pace.
KILLS ?= 1000
PACE_SECONDS ?= 600
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" pyproject.toml
# One more than there are cores: journeys and chaos wait more than they compute.
TEST_PROCESSES ?= $(shell $(if $(wildcard /proc/cpuinfo),echo $$(( $$(nproc) + 1 )),echo auto))
# What no check or test may read from a person's shell or .env.
CLEAN = env -u DATABASE_URL -u REDIS_URL ENV_FILE=/dev/null
CLEAN_DEMO = env -u DATABASE_URL -u REDIS_URL -u EMAIL_MODE -u ENV ENV_FILE=/dev/null
WITH_PORT = $(if $(filter-out 8000,$(PORT)),--port $(PORT))

.PHONY: help setup demo run test chaos check fix bench lock

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.dev ## make .venv with everything: run, test, develop

$(VENV)/bin/python:
	python3 -m venv $(VENV)

# The demo needs less than development: a fresh machine gets there sooner.
$(VENV)/.local: requirements/local.txt | $(VENV)/bin/python
	@echo "installing the locked requirements ..."
	@test -e $(VENV)/.dev || $(PIP_INSTALL) --no-compile -r requirements/local.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt | $(VENV)/bin/python
	@echo "installing the locked requirements ..."
	@$(PIP_INSTALL) -r requirements/dev.txt
	@touch $(VENV)/.local $@

# The demo has servers of its own and mails nobody, whatever a person's .env or shell says.
demo: $(VENV)/.local ## everything with demo data in one command (RATE=20 mails a second, PORT=8000)
	@$(CLEAN_DEMO) SES_MAX_SEND_RATE=$(RATE) $(PY) manage.py up --demo --data-dir .local/demo $(WITH_PORT)

run: $(VENV)/.local ## everything with your own data, kept in .local
	@$(PY) manage.py up $(WITH_PORT)

test: $(VENV)/.dev ## the whole suite, on a real PostgreSQL and Redis that it starts itself
	$(PY) -m pytest -n $(TEST_PROCESSES) --maxprocesses 8 --dist loadfile --no-loadscope-reorder

chaos: $(VENV)/.dev ## kills, outages and the exact pace, for an hour (KILLS=1000, PACE_SECONDS=600)
	@$(CLEAN_DEMO) DJANGO_SETTINGS_MODULE=outreach.settings $(PY) -m tests.chaos --kills $(KILLS) --seconds $(PACE_SECONDS)

check: $(VENV)/.dev ## format, lint, types, floors, migrations, API schema, deployment checks
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/djade --target-version 5.2 --check $$(find templates -name '*.html')
	$(CLEAN) $(VENV)/bin/mypy .
	$(CLEAN) $(VENV)/bin/lint-imports
	$(CLEAN) $(PY) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	$(CLEAN) $(PY) manage.py spectacular --validate --fail-on-warn --file /dev/null
	env -i PATH="$$PATH" HOME="$$HOME" ENV_FILE=tests/production.env $(PY) manage.py check --deploy --fail-level WARNING

fix: $(VENV)/.dev ## format and mend what can be mended
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	$(VENV)/bin/djade --target-version 5.2 $$(find templates -name '*.html')
	$(CLEAN) $(PY) manage.py compile_translations

bench: $(VENV)/.dev ## pace, throughput and import as ratios in one run; events under load (BENCH_SECONDS=60)
	$(PY) -m tests.bench

lock: ## renew the locked requirements (needs uv)
	$(COMPILE) -o requirements/run.txt
	$(COMPILE) --extra local -c requirements/run.txt -o requirements/local.txt
	$(COMPILE) --extra local --extra dev -c requirements/local.txt -o requirements/dev.txt
