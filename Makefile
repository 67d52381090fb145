# make demo: install, then train and test on the real recordings of the package.   make test: everything that CI checks except the slow tests.
# PYTHON may name any interpreter from 3.11 on. Default: the first one on PATH that can create environments.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$p" && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet
# Files of tests run in parallel. There is a process more than cores, since browsers, servers and killed commands are waited for. Each has
# one thread, because more threads than cores wait for each other.
WORKERS = $(shell $(BIN)/python -c "import os; print(min(4, os.cpu_count() + 1))")
PYTEST = env OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 30

.PHONY: install lowest lowest-any demo test lint format slow coverage mutants docs bench gpu lock audit clean
.DEFAULT_GOAL := install

install: $(READY)

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer on PATH; make PYTHON=/path/to/python3" >&2; exit 1; }
	test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(PIP) --editable ".[dev]" --config-settings editable_mode=compat
	@touch $(READY)

demo: $(READY)
	$(BIN)/fact-clip demo --out demo-out

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/oxlint --quiet fact_clip_app/static fact_clip/report
	$(BIN)/mdformat --check $(MARKDOWN)

# Formats Python and Markdown, except for a generated page, a template, and pages that belong to data sets.
format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/mdformat $(MARKDOWN)

MARKDOWN = $$(git ls-files '*.md' ':!docs/configuration.md' ':!fact_clip/configs/model_card.md' ':!experiments/data/files')

test: lint
	$(PYTEST) -m "not slow"

# The tests with the lowest versions that pyproject.toml allows, in a separate environment. torch comes from PyPI (PIP_EXTRA_INDEX_URL).
lowest:
	test -x .venv-lowest/bin/python || "$(PYTHON)" -m venv .venv-lowest
	"$(PYTHON)" tests/lowest.py > .venv-lowest/lowest.txt
	.venv-lowest/bin/python -m pip install --disable-pip-version-check --quiet --constraint .venv-lowest/lowest.txt --editable ".[dev]"
	.venv-lowest/bin/pytest -m "not slow"

# The same in a minute: with the torch of `make install`, and only for the rooms that use other libraries.
LOW := .venv-lowest-any
lowest-any: $(LOW)/.ready
	env OMP_NUM_THREADS=1 $(LOW)/bin/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile -p no:cacheprovider -m "not slow" tests/core tests/formats tests/encoders tests/video tests/batch/test_isolated.py tests/app/test_api.py \
		tests/report/test_plots.py tests/runs/test_run.py tests/runs/test_hub.py tests/test_security.py

$(LOW)/.ready: pyproject.toml tests/lowest.py container/excludes.txt $(READY)
	test -x $(LOW)/bin/python || "$(PYTHON)" -m venv $(LOW)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > $$(ls -d $(LOW)/lib/python*/site-packages)/base.pth
	$(BIN)/python tests/lowest.py any > $(LOW)/lowest.txt
	test -x $(BIN)/uv || $(PIP) uv
	$(BIN)/uv pip install --quiet --python $(LOW)/bin/python --constraint $(LOW)/lowest.txt --excludes container/excludes.txt --editable ".[$(USERS)]"
	@touch $(LOW)/.ready
USERS := clip,annotation,lmdb,nwb,video,backbones,app,hub

slow: $(READY)
	$(PYTEST) -m slow

# Lines that the fast tests reach. Six rooms need 95 %. TESTS="tests/core tests/metrics" runs some of the tests.
coverage: $(READY)
	$(BIN)/coverage run -m pytest -q -m "not slow" $(TESTS)
	@low=; for room in core metrics datasets losses decoding formats; do \
		$(BIN)/coverage report --include "fact_clip/$$room/*" --skip-covered --show-missing --fail-under 95 || low="$$low $$room"; \
	done; test -z "$$low" || { echo "make: under 95 % of lines:$$low" >&2; exit 1; }

# Puts faults into the code, one at a time, which the tests must detect (tests/README.md). ROOM=metrics: one of four rooms.
mutants: $(READY)
	env -u CI OMP_NUM_THREADS=1 nice -n 10 $(BIN)/mutmut run --max-children 1 "fact_clip.$(if $(ROOM),$(ROOM).)*"
	$(BIN)/python tests/mutants.py

# Builds the documentation site into site/. Any warning is an error. Nothing is downloaded.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Measures speed on this machine and writes benchmarks/results.md. AGAINST=PATH adds a comparison with another checkout. ARGS="--quick": options.
bench: $(READY)
	PYTHONPATH=. $(BIN)/python benchmarks/speed.py $(if $(AGAINST),--against $(AGAINST)) $(ARGS)

# Runs the CUDA tests, measures speed and writes benchmarks/results_gpu.md. `PYTHON=python3 make gpu` uses that Python without installing.
ifeq ($(origin PYTHON),file)
gpu: $(READY)
	$(BIN)/python benchmarks/gpu.py $(ARGS)
else
gpu:
	"$(PYTHON)" benchmarks/gpu.py $(ARGS)
endif

# Writes the newest versions of the container's packages, with hashes, to container/requirements.lock.
lock: $(READY)
	$(PIP) uv
	$(BIN)/uv pip compile --quiet --upgrade pyproject.toml $(addprefix --extra ,app clip video annotation hub) \
		--python-version 3.12 --python-platform linux --generate-hashes --no-annotate --excludes container/excludes.txt \
		--custom-compile-command "make lock" --output-file container/requirements.lock

# Lists known vulnerabilities of the locked and of the lowest versions, from PyPI, and the packages that PyPI told nothing about.
AUDIT = $(BIN)/pip-audit --disable-pip --progress-spinner off --format json
audit: $(READY)
	$(PIP) pip-audit
	$(AUDIT) --require-hashes -r container/requirements.lock | $(BIN)/python tests/audit.py
	$(BIN)/python tests/lowest.py > $(VENV)/lowest.txt && $(AUDIT) --no-deps -r $(VENV)/lowest.txt | $(BIN)/python tests/audit.py

clean:
	rm -rf $(VENV) .venv-lowest .venv-lowest-any build dist demo-out site mutants .coverage *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
