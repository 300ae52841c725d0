# Everything happens in .venv, which is made on the way. Needs Python 3.11 or newer, and make.
PYTHON ?= python3
BIN := .venv/bin
# Each process of the tests would compile all of them again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-oldest test-orchestrators lint types imports docs-check check wheel-check audit lock sbom docs bench clean

demo: .venv/core
	$(BIN)/rfsync demo

test: .venv/dev
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

# What depends most on other packages, once more with the lowest version of each that pyproject.toml allows, and with the
# oldest PostgreSQL if it is to be had. Without the long tests of rfsync's own logic.
OLDEST := charts cli daemon dashboard database digest/test_notify.py history ledger schema sync test_bounds.py test_logs.py test_schedule.py \
  e2e/test_dashboard.py e2e/test_report.py
LONG := history/test_periods.py history/test_plans.py sync/test_crashes.py sync/test_jobs.py \
  sync/test_machine.py sync/test_steps.py sync/test_world.py
test-oldest: build/oldest/ready
	TEST_POSTGRES_BIN="$$(.ci/oldest-postgres)" build/oldest/bin/python -m pytest -n auto --maxprocesses 4 --dist worksteal \
	  $(addprefix tests/,$(OLDEST)) $(addprefix --ignore tests/,$(LONG)) $(ARGS)

# The examples of docs/orchestrators.md, in an environment of their own: each has versions of other packages in mind.
test-orchestrators: .venv/dev build/orchestrators/ready
	$(BIN)/python -m pytest tests/test_orchestrators.py $(ARGS)

build/orchestrators/ready: pyproject.toml
	rm -rf build/orchestrators && mkdir -p build
	$(PYTHON) -m venv build/orchestrators
	build/orchestrators/bin/python -m pip install -q -e . "dagster>=1.13" "prefect>=3.9"
	touch $@

# Each of these is one of the checks of .ci/run.
check: lint types imports docs-check

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev
	$(BIN)/mypy
	$(BIN)/mypy bench

imports: .venv/dev
	$(BIN)/lint-imports

# What is written from the code is as the code would write it now.
docs-check: .venv/dev
	$(BIN)/python docs/generate.py --check

# The built wheel, in an environment of its own and far from the sources: it carries migrations and example.
wheel-check: .venv/dev
	rm -rf build/wheel && mkdir -p build/wheel
	$(BIN)/python -m pip wheel -q --no-deps -w build/wheel .
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/python -m pip install -q build/wheel/rfsync-*.whl
	cd build/wheel && venv/bin/rfsync demo && venv/bin/rfsync init --force
	cd build/wheel && rm -f up.db && venv/bin/rfsync db upgrade --database sqlite:///up.db && venv/bin/rfsync db check --database sqlite:///up.db

# Known vulnerabilities of what a user installs. It asks a public service, so it needs the network and is no part of `check`.
audit: .venv/bin/python
	rm -rf build/audit && mkdir -p build/audit
	$(PYTHON) -m venv build/audit/user
	build/audit/user/bin/python -m pip install -q ".[all]"
	$(PYTHON) -m venv build/audit/tool
	build/audit/tool/bin/python -m pip install -q pip-audit
	build/audit/tool/bin/pip-audit --path "$$(build/audit/user/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

# What the image installs, with the hash of each file: for a release, or where `audit` found something.
LOCK := build/lock/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate \
  --no-emit-index-url --custom-compile-command "make lock"
lock: .venv/bin/python
	$(PYTHON) -m venv build/lock && build/lock/bin/python -m pip install -q uv
	$(LOCK) --upgrade pyproject.toml --extra postgres --extra worker -o deploy/requirements.txt
	echo "hatchling" | $(LOCK) --upgrade - -o deploy/build-requirements.txt

# A list of all that the image has of Python packages, in CycloneDX's format: build/rfsync.cdx.json.
sbom: .venv/bin/python
	rm -rf build/sbom && $(PYTHON) -m venv build/sbom/image
	build/sbom/image/bin/python -m pip install -q --require-hashes -r deploy/requirements.txt
	build/sbom/image/bin/python -m pip install -q --no-deps .
	$(PYTHON) -m venv build/sbom/tool && build/sbom/tool/bin/python -m pip install -q "cyclonedx-bom>=7"
	build/sbom/tool/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
	  -o build/rfsync.cdx.json build/sbom/image/bin/python

# Writes what is written from the code: docs/database.md, docs/commands.md, the help in the README.
docs: .venv/dev
	$(BIN)/python docs/generate.py

# Half an hour, on an idle machine; see docs/performance.md. `.venv/bin/python -m bench --quick` shows that it works.
bench: .venv/bench
	$(BIN)/python -m bench --markdown docs/performance.md $(ARGS)

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "rfsync needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	# --group, used below, came with pip 25.1.
	$(BIN)/python -m pip install -q -U "pip>=25.1"

.venv/core: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install -q -e .
	touch $@

.venv/dev: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install -q -e ".[all]" --group dev
	touch $@ .venv/core

build/oldest/ready: pyproject.toml .ci/lowest
	rm -rf build/oldest && mkdir -p build
	$(PYTHON) -m venv build/oldest
	$(PYTHON) .ci/lowest >build/oldest/constraints.txt
	build/oldest/bin/python -m pip install -q -U "pip>=25.1"
	build/oldest/bin/python -m pip install -q -e ".[all]" --group test -c build/oldest/constraints.txt
	touch $@

.venv/bench: .venv/dev
	$(BIN)/python -m pip install -q --group bench
	touch $@
