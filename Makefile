DEMO = cargo run --release -- simulate --policy policies/minimax.yaml \
	--trace tests/data/AzureLLMInferenceTrace_code.csv --resource MiniMax-M2

.PHONY: demo test check help clean

help: ## what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

demo: ## a real trace for a free and a paid account, reports in out/
	mkdir -p out
	$(DEMO) --tier free --report out/free.html
	$(DEMO) --tier paid --report out/paid.html

test: ## all tests
	cargo test --features failpoints,manual-clock

check: ## formatting and lints
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings

clean: ## what was built
	cargo clean
