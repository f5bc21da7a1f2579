# `make` lists the targets. Everything is installed below .venv, but for the Debian packages of scripts/setup-system.sh.
export PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CACHES := .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

.PHONY: help setup setup-tests system demo up test check chaos directus bench bench-images bench-video bench-api bench-enqueue bench-chaos bench-watermark clean clean-data

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## Install what is missing; asks for root only when a Debian package is missing

demo: setup ## Send a photograph through the whole system (FILE=my.jpg: yours) and print what came out
	@$(BIN)/python -m geniequeue.cli.demo $(if $(FILE),--file "$$FILE")

up: setup ## Run every process of the Procfile in the foreground; Ctrl-C ends them
	@$(BIN)/geniequeue up

test: setup-tests ## Set up, with a real Directus, PostgreSQL, Node and a browser; then check
	@$(MAKE) --no-print-directory check

check: ## Ruff, mypy --strict, import-linter, pytest
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict geniequeue api tasks
	$(BIN)/lint-imports
	@scripts/run-tests.sh

chaos: setup-tests ## Every fault of the table, the long ones too; the results go to bench/results/chaos-tests.txt
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "" -p tests.chaos.results tests/chaos tests/tasks tests/integration/test_up.py \
		tests/directus/test_setup_command.py \
		tests/core/test_dates.py tests/core/test_leases_in_trouble.py tests/core/test_sweeper.py tests/core/test_sandbox_misbehaviour.py

directus: setup-tests ## Run a real Directus in the foreground, for development
	@$(BIN)/python -m tests.real_directus

bench: bench-images bench-video bench-api bench-enqueue bench-chaos ## Run all benchmarks; each prints ratios against a peer of the same run

bench-images: setup ## Image jobs against bare pyvips and Wand
	@$(BIN)/python bench/images.py

bench-video: setup ## Video jobs against bare ffmpeg and moviepy's frame loop
	@$(BIN)/python -m bench.video

bench-api: setup ## Requests per second and latency of the API
	@$(BIN)/python bench/api.py

bench-enqueue: setup-tests ## POST and stats against Express with BullMQ, without and with a real Directus; needs wrk
	@scripts/setup-node.sh bench/peers
	@$(BIN)/python bench/enqueue.py
	@$(BIN)/python bench/enqueue.py --directus

bench-chaos: setup-tests ## What is lost, run twice and waited for when workers are killed, beside Celery and BullMQ; an hour
	@scripts/setup-node.sh bench/peers
	@$(BIN)/python -m bench.chaos

bench-watermark: setup ## Invisible marks under attack, beside two libraries of PyPI; some hours; figures and pictures in bench/results
	$(BIN)/pip install --quiet --editable ".[bench]"
	$(BIN)/pip install --quiet --no-deps invisible-watermark==0.2.0 blind-watermark==0.4.4
	@$(BIN)/python -m bench.watermark --write

clean: ## Delete .venv and caches; var/ stays
	rm -rf $(VENV) $(CACHES) build *.egg-info
	find api bench geniequeue tasks tests -type d -name __pycache__ -prune -exec rm -rf {} +

clean-data: ## Delete var/: the embedded Redis, records and files
	@echo "deleting $(CURDIR)/var with all jobs, records and files in it"
	rm -rf var

setup-tests: setup $(VENV)/.servers
	@scripts/setup-system.sh tests
	@scripts/setup-node.sh deploy/directus tests/interop

system:
	@scripts/setup-system.sh

$(VENV)/.installed: setup.cfg pyproject.toml | system
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit("expected Python 3.11 or newer, got %d.%d: run make PYTHON=/path/to/python3.11" % v if v < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --quiet --editable '.[media,dev]'
	@touch $@

$(VENV)/.servers: $(VENV)/.installed
	$(BIN)/pip install --disable-pip-version-check --quiet --editable '.[media,dev,servers]'
	@touch $@
