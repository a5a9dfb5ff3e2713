# The project's few commands; `make` alone lists them. They need Python 3.11 or newer (with its venv module) and make.

PYTHON ?= python3
INSTALL = .venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes
COMPILE = CUSTOM_COMPILE_COMMAND="make pins" .venv/bin/pip-compile --quiet --generate-hashes $${EXTRAS:---strip-extras} --allow-unsafe \
	--no-emit-index-url --no-emit-find-links
SCRIPTS = bin/console bin/new-env bin/poort
# One process more than there are processors: tests of servers wait for them.
PYTEST = .venv/bin/python -m pytest --numprocesses $(shell expr $$(nproc) + 1) --dist loadgroup --no-loadscope-reorder

# Some images set it. Every process of the tests then compiles all of them, which doubles the time of their collection.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help serve demo setup check test mutants lint wheel docs bench bench-timing soak ha attack upgrade-rehearsal container-rehearsal pins

help: ## Print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' Makefile | awk -F'|' '{ printf "%-24s %s\n", $$1, $$2 }'

serve: .venv/.pins ## Set up what is missing, and serve on http://127.0.0.1:8000
	@exec .venv/bin/python bin/poort serve

demo: .venv/.pins ## Serve 50 made-up users with the explorer on, in var/demo/, for a look on your own computer
	@exec .venv/bin/python bin/poort serve --demo

setup: .venv/.pins ## Set up what is missing: .venv, .env, the key pair, the database, a first user
	@exec .venv/bin/python bin/poort setup

check: .venv/.pins-dev ## Check style, types, documents, and with SQLite most of what needs no server, in a minute
	@$(MAKE) --no-print-directory lint
	@exec $(PYTEST) -m "not services and not slow" tests/architecture tests/unit tests/functional tests/contract $(ARGS)

test: .venv/.pins-dev ## Run all tests, on all processors; ARGS="-k word" goes on to pytest
	@exec $(PYTEST) $(ARGS)

mutants: .venv/.pins-dev ## Change the code in 350 places, one at a time, and see whether a test fails (20 minutes); ARGS="--seed 2"
	@exec .venv/bin/python -m tests.mutation $(ARGS)

lint: .venv/.pins-dev ## Check style, form and types: ruff and mypy
	.venv/bin/ruff check . $(SCRIPTS)
	.venv/bin/ruff format --check . $(SCRIPTS)
	.venv/bin/mypy

wheel: .venv/.pins-dev ## Build the wheel into dist/, from this folder as it is
	@rm -f dist/*.whl
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) .venv/bin/python -m pip wheel -qq --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist/*.whl

docs: .venv/.pins-docs ## Write docs/configuration.md, and build the site of the documentation into site/
	@.venv/bin/python -m docs.reference
	@.venv/bin/python -m docs.gather
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict
	@! grep -rnoE '<(script|link|img|iframe)[^>]+(src|href)="?(https?:)?//[^" >]+' site || { echo "a page asks something of another host"; exit 1; }

bench: .venv/.pins-bench ## Measure speed, growth and memory beside the usual ways (30 minutes); ARGS="--only rates" a part
	@exec .venv/bin/python -m benchmarks.bench $(ARGS)

bench-timing: .venv/.pins ## Measure whether the time of a refused sign-in tells who exists
	@exec .venv/bin/python benchmarks/timing.py

soak: .venv/.pins-dev ## Load a server for 10 minutes while it is reloaded, killed and given new keys; ARGS="--minutes 2"
	@exec .venv/bin/python -m benchmarks.soak $(ARGS)

ha: .venv/.pins-dev ## Let databases fail over under load, and count what is lost (a minute each); ARGS="postgresql" one of them
	@exec .venv/bin/python -m benchmarks.ha $(ARGS)

attack: .venv/.pins-dev ## Attack a server as one hostile user would, for five minutes; ARGS="--only races" a part
	@exec .venv/bin/python -m benchmarks.attack $(ARGS)

upgrade-rehearsal: .venv/.pins-dev ## Run each command of docs/upgrading.md, forwards and back, on three databases (15 minutes); ARGS="--only sqlite"
	@exec .venv/bin/python -m tests.rehearsals.upgrade $(ARGS)

container-rehearsal: wheel ## Build the image and run compose.yaml without a container engine (3 minutes; needs root and debootstrap)
	@exec .venv/bin/python -m tests.rehearsals.containers $(ARGS)

pins: .venv/.pins-dev ## Compile the eight .in files into exact versions with hashes; ARGS="--upgrade" renews them
	$(COMPILE) $(ARGS) requirements.in
	$(COMPILE) $(ARGS) requirements-mysql.in
	$(COMPILE) $(ARGS) requirements-postgresql.in
	$(COMPILE) $(ARGS) requirements-redis.in
	@# pip-compile drops a requirement whose marker does not fit the Python that it runs on.
	sed -i 's/^\(async-timeout==[0-9.]*\) /\1 ; python_full_version < "3.11.3" /' requirements-redis.txt
	@# Some of these ask for others with extras, which pip wants pinned too: it takes a newer version else, that has no hash.
	EXTRAS=--no-strip-extras; $(COMPILE) $(ARGS) requirements-dev.in
	$(COMPILE) $(ARGS) requirements-bench.in
	$(COMPILE) $(ARGS) requirements-docs.in
	$(COMPILE) $(ARGS) requirements-parser.in

# The stamps are touched last, so an interrupted step runs again.
.venv/.pins: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	@echo "installing requirements.txt into .venv"
	@$(PYTHON) -m venv .venv
	@$(INSTALL) -r requirements.txt
	@touch $@

.venv/.pins-dev: .venv/.pins requirements-dev.txt requirements-mysql.txt requirements-postgresql.txt requirements-redis.txt
	@echo "installing requirements-dev.txt and the drivers into .venv"
	@$(INSTALL) -r requirements-dev.txt -r requirements-mysql.txt -r requirements-postgresql.txt -r requirements-redis.txt
	@touch $@

.venv/.pins-bench: .venv/.pins-dev requirements-bench.txt requirements-parser.txt
	@echo "installing requirements-bench.txt into .venv"
	@$(INSTALL) -r requirements-bench.txt
	@$(INSTALL) --upgrade --target .venv/parser -r requirements-parser.txt
	@touch $@

.venv/.pins-docs: .venv/.pins-dev requirements-docs.txt
	@echo "installing requirements-docs.txt into .venv"
	@$(INSTALL) -r requirements-docs.txt
	@touch $@
