# Everything a developer does, from a fresh clone. `make help` lists it; every target sets up what it needs first.
# Needs: python3 >= 3.11 with venv, cargo, a C compiler. All else is installed into .venv, and nothing outside it.

.DEFAULT_GOAL := help
.PHONY: help setup run test test-rust test-python check bench bench-peers soak fuzz fuzz-build docs clean
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

UV_VERSION := 0.13.8
JOBS := 2
PYTHON := .venv/bin/python
UV := .venv/bin/uv
export PATH := $(PATH):$(HOME)/.cargo/bin
export UV_PROJECT_ENVIRONMENT := .venv
export UV_PYTHON := $(PYTHON)
export UV_PYTHON_DOWNLOADS := never
unexport VIRTUAL_ENV CONDA_PREFIX

FUZZ := http websocket tcp stream proxy
RUST := Cargo.toml Cargo.lock $(shell find core/engine core/python -name '*.rs' -o -name Cargo.toml)
GENERATORS := $(wildcard proto/generate.py docs/generate*.py)
TYPED := $(foreach folder,tests bench examples docs proto,$(if $(wildcard $(folder)/*.py $(folder)/*/*.py),$(folder)))

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Setting up: three stamps, so that nothing runs and nothing is fetched when nothing changed ---------------------------

setup: .venv/.core ## install everything into .venv (the other targets do it themselves)

.venv/.uv-$(UV_VERSION):
	@sh .ci/python-environment $(UV_VERSION)
	@touch $@

.venv/.packages: .venv/.uv-$(UV_VERSION) pyproject.toml uv.lock
	@echo "[2/3] Python packages"
	@$(UV) sync --locked --all-extras --no-install-project --quiet
	@touch $@

.venv/.core: .venv/.packages $(RUST)
	@echo "[3/3] Connection core, in Rust (about two minutes the first time)"
	@.venv/bin/maturin develop --release --locked --uv
	@touch $@

# Using it -------------------------------------------------------------------------------------------------------------

run: .venv/.core ## start a server and watch two users exchange a message
	@exec $(PYTHON) -m longlink demo $(ARGS)

test: .venv/.core ## run every test that this machine can run
	@$(MAKE) test-rust
	@$(MAKE) test-python

test-rust:
	cargo test --quiet --locked -p longlink-core

test-python:
	$(PYTHON) -m pytest -n $(JOBS) $(ARGS)

check: .venv/.core ## format, lint, types, import rules, generated files
	$(PYTHON) -m ruff format --check --quiet
	$(PYTHON) -m ruff check --quiet
	$(PYTHON) -m mypy --no-error-summary
	$(PYTHON) -m mypy --no-error-summary $(TYPED)
	$(PYTHON) -m mypy.stubtest longlink._core
	.venv/bin/lint-imports
	cargo fmt --check
	cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
	@for script in $(GENERATORS); do echo "$(PYTHON) $$script --check"; PYTHONPATH=. $(PYTHON) $$script --check || exit 1; done

bench: .venv/.core ## measure this machine, in eight minutes at most; make bench ARGS=--quick
	@exec $(PYTHON) -m longlink bench all --data bench/out --html bench/out/report.html $(ARGS)

bench-peers: .venv/.core ## measure other servers beside this one, in 17 minutes; make bench-peers ARGS="--quick --only ws"
	@exec $(PYTHON) -m bench.peers $(ARGS)

soak: .venv/.core ## 500 clients in a storm with kill -9, for a minute; make soak SECONDS=600 ARGS="--workers 2"
	@exec $(PYTHON) -m longlink.testing.soak --seconds $(or $(SECONDS),60) $(ARGS)

fuzz: fuzz-build ## fuzz the parsers of the core for a minute each (needs cargo-fuzz); make fuzz SECONDS=20
	@$(MAKE) -j$(JOBS) --output-sync=target $(FUZZ:%=fuzz-%)

# Sanitizers are a matter of nightly compilers; the variable lets a stable one do the same.
fuzz-build:
	@cargo fuzz --version >/dev/null 2>&1 || { echo "make fuzz needs cargo-fuzz: cargo install cargo-fuzz"; exit 1; }
	RUSTC_BOOTSTRAP=1 cargo fuzz build --fuzz-dir core/fuzz

fuzz-%:
	@mkdir -p core/fuzz/corpus/$*
	@RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir core/fuzz $* core/fuzz/corpus/$* core/fuzz/seeds/$* \
		-- -max_total_time=$(or $(SECONDS),60) -print_final_stats=1 >core/fuzz/target/$*.log 2>&1 || \
		{ tail -n 60 core/fuzz/target/$*.log; exit 1; }
	@awk '/number_of_executed_units/ { print "$*: " $$2 " inputs, nothing broken" }' core/fuzz/target/$*.log

docs: .venv/.core ## write what is generated: wire code and reference pages
	@for script in $(GENERATORS); do PYTHONPATH=. $(PYTHON) $$script || exit 1; done

clean: ## remove what was built; keeps ./data
	rm -rf .venv target build dist core/fuzz/target .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests docs -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f src/longlink/_core*.so
