# make demo: install and run the whole line on a synthetic benchmark.   make test: everything that CI checks but the slow tests.
# PYTHON may name any interpreter from 3.11 on; unset, the first one on PATH that can make environments is taken.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$p" && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet
# Files of tests side by side, one process a core; each has one thread, because several threads of two would wait for each other.
PYTEST = env OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: install lowest lowest-any demo test lint slow coverage mutants docs bench gpu lock audit clean
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

test: lint
	$(PYTEST) -m "not slow"

# The lowest versions that pyproject.toml allows, in an environment of their own; torch comes from PyPI (PIP_EXTRA_INDEX_URL).
lowest:
	test -x .venv-lowest/bin/python || "$(PYTHON)" -m venv .venv-lowest
	"$(PYTHON)" tests/lowest.py > .venv-lowest/lowest.txt
	.venv-lowest/bin/python -m pip install --disable-pip-version-check --quiet --constraint .venv-lowest/lowest.txt --editable ".[dev]"
	.venv-lowest/bin/pytest -m "not slow"

# The same in a minute: on top of the environment of `make install`, with its torch, and for the rooms that other libraries meet.
LOW := .venv-lowest-any
lowest-any: $(READY)
	test -x $(LOW)/bin/python || "$(PYTHON)" -m venv $(LOW)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > $$(ls -d $(LOW)/lib/python*/site-packages)/base.pth
	$(BIN)/python tests/lowest.py any > $(LOW)/lowest.txt
	test -x $(BIN)/uv || $(PIP) uv
	$(BIN)/uv pip install --quiet --python $(LOW)/bin/python --constraint $(LOW)/lowest.txt --excludes container/excludes.txt --editable ".[$(USERS)]"
	env OMP_NUM_THREADS=1 $(LOW)/bin/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile -p no:cacheprovider -m "not slow" tests/core tests/formats tests/encoders tests/video tests/app \
		tests/losses tests/report/test_plots.py tests/test_run.py tests/test_hub.py tests/test_security.py
USERS := clip,annotation,otio,lmdb,nwb,video,backbones,app,hub

slow: $(READY)
	$(PYTEST) -m slow

# Lines that the fast tests reach, in rooms where 95 % are asked for. TESTS="tests/core tests/metrics" runs some of the tests.
coverage: $(READY)
	$(BIN)/coverage run -m pytest -q -m "not slow" $(TESTS)
	@low=; for room in core metrics datasets losses decoding formats; do \
		$(BIN)/coverage report --include "fact_clip/$$room/*" --skip-covered --show-missing --fail-under 95 || low="$$low $$room"; \
	done; test -z "$$low" || { echo "make: under 95 % of lines:$$low" >&2; exit 1; }

# Faults put into the code one by one, which the tests must find (tests/README.md). ROOM=metrics is one room of four.
mutants: $(READY)
	env -u CI OMP_NUM_THREADS=1 nice -n 10 $(BIN)/mutmut run --max-children 1 "fact_clip.$(if $(ROOM),$(ROOM).)*"
	$(BIN)/python tests/mutants.py

# The documentation site, into site/; any warning is an error, and nothing is fetched.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Speed on this machine, into benchmarks/results.md. AGAINST=PATH adds the row of another checkout; ARGS="--quick" and the like.
bench: $(READY)
	PYTHONPATH=. $(BIN)/python benchmarks/speed.py $(if $(AGAINST),--against $(AGAINST)) $(ARGS)

# Tests and speed on a CUDA device, into benchmarks/results_gpu.md. `PYTHON=python3 make gpu` uses that Python as it is.
ifeq ($(origin PYTHON),file)
gpu: $(READY)
	$(BIN)/python benchmarks/gpu.py $(ARGS)
else
gpu:
	"$(PYTHON)" benchmarks/gpu.py $(ARGS)
endif

# The packages of the container with their hashes, at their newest versions, into container/requirements.lock.
lock: $(READY)
	$(PIP) uv
	$(BIN)/uv pip compile --quiet --upgrade pyproject.toml $(addprefix --extra ,app clip video annotation hub) \
		--python-version 3.12 --python-platform linux --generate-hashes --no-annotate --excludes container/excludes.txt \
		--custom-compile-command "make lock" --output-file container/requirements.lock

# Known faults of the packages in the lock, and of the lowest versions; asks a service of PyPI.
audit: $(READY)
	$(PIP) pip-audit
	$(BIN)/pip-audit --disable-pip --require-hashes -r container/requirements.lock
	$(BIN)/python tests/lowest.py > $(VENV)/lowest.txt && $(BIN)/pip-audit --disable-pip --no-deps -r $(VENV)/lowest.txt

clean:
	rm -rf $(VENV) .venv-lowest .venv-lowest-any build dist demo-out site mutants .coverage *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
