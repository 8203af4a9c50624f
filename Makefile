DEMO = cargo run --release -- simulate --policy policies/minimax.yaml \
	--trace tests/data/AzureLLMInferenceTrace_code.csv --resource MiniMax-M2

.PHONY: run demo test bench bench-http bench-start openapi check openapi schemathesis help clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

run: ## build and start the server on 127.0.0.1:8080 with the MiniMax policy
	cargo run --release -- serve

openapi: ## write openapi/openapi.json anew
	cargo run -- openapi > openapi/openapi.json

demo: ## a real trace for a free and a paid account, reports in out/
	mkdir -p out
	$(DEMO) --tier free --report out/free.html
	$(DEMO) --tier paid --report out/paid.html

test: ## all tests
	cargo test --features failpoints,manual-clock

check: ## formatting and lints
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings

openapi: ## write openapi/openapi.json anew
	cargo run --quiet -- openapi > openapi/openapi.json

bench: ## decisions in process beside governor, memory an account
	cargo bench --bench decide --bench memory

bench-http: ## HTTP beside a bare handler (wrk, taskset, two cores)
	benches/http/run.sh

bench-start: ## a start with many accounts, a large policy (wrk)
	benches/http/start.sh

schemathesis: ## thousands of made-up requests against a server of its own (python3)
	cargo build
	tests/schemathesis.sh

clean: ## what was built
	cargo clean
