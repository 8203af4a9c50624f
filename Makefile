# Features that tests need: named failures, and a clock that a test moves.
TEST_FEATURES = --features failpoints,manual-clock
# `make run RELEASE=` runs the debug build.
RELEASE = --release
DEMO = cargo run $(RELEASE) -- simulate --policy policies/minimax.yaml \
	--trace tests/data/AzureLLMInferenceTrace_code.csv --resource MiniMax-M2

.PHONY: help run demo test faults attack check deny bench bench-http bench-start bench-payments bench-logins openapi schemathesis lint-openapi browser clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

run: ## build and start the server on 127.0.0.1:8080 with the MiniMax policy; Swagger UI at /docs/
	cargo run $(RELEASE) -- serve

demo: ## a real trace for a free and a paid account, reports in out/
	mkdir -p out
	$(DEMO) --tier free --report out/free.html
	$(DEMO) --tier paid --report out/paid.html

test: ## all tests, first those with faults put into the engine
	cargo test --features mutations --test mutations --test model -- fault golden
	cargo test $(TEST_FEATURES)

faults: ## kills, power cuts, rot and disk errors put to the server, 120 rounds each, and what came of them
	tests/faults.sh $(RELEASE) --features failpoints

attack: ## every attack on the release binary for two minutes, and the table of what came of each
	cargo test --release --test attack -- --ignored --nocapture --exact campaign

check: ## formatting, lints, the library alone, openapi/openapi.json against the code, the dependencies
	cargo fmt --check
	cargo clippy --all-targets $(TEST_FEATURES),mutations -- -D warnings
	cargo check --no-default-features
	cargo run --quiet -- openapi | cmp - openapi/openapi.json || \
		{ echo 'openapi/openapi.json is old: run `make openapi`'; exit 1; }
	$(if $(wildcard tests/tidy.rs),cargo test --quiet $(TEST_FEATURES) --test tidy)
	$(MAKE) --no-print-directory deny

deny: ## licences, sources and known advisories of the dependencies (cargo install cargo-deny --locked)
	@if ! cargo deny --version > /dev/null 2>&1; then \
		echo 'cargo-deny is not installed: licences, sources and advisories of the dependencies are not checked'; \
	else \
		cargo deny --log-level warn check --hide-inclusion-graph licenses sources bans || exit 1; \
		if ls "$${CARGO_HOME:-$$HOME/.cargo}"/advisory-dbs/*/.git > /dev/null 2>&1; then \
			cargo deny --log-level warn --offline check --hide-inclusion-graph advisories; \
		else \
			echo 'there is no database of advisories, so they are not checked: `cargo deny fetch` gets it'; \
		fi; \
	fi

openapi: ## write openapi/openapi.json anew
	cargo run --quiet -- openapi > openapi/openapi.json

bench: ## decisions in process beside governor, memory an account
	cargo bench --bench decide --bench memory

bench-http: ## HTTP beside a bare handler (wrk, taskset, two cores)
	benches/http/run.sh

bench-start: ## a start with many accounts, a large policy (wrk)
	benches/http/start.sh

bench-payments: ## payment events a second, and what decisions lose meanwhile (wrk)
	benches/http/payments.sh

bench-logins: ## what decisions lose beside 50 logins a second (wrk)
	benches/http/logins.sh

schemathesis: ## thousands of made-up requests against a server of its own (python3)
	cargo build
	tests/schemathesis.sh

lint-openapi: ## lint openapi/openapi.json by the recommended rules (npm)
	tests/lint-openapi.sh

browser: ## the first five minutes in Swagger UI, in a real browser (node, Chromium)
	cargo build
	tests/browser.sh

clean: ## what was built
	cargo clean
