.PHONY: test check help clean

help: ## what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

test: ## all tests
	cargo test --features failpoints

check: ## formatting and lints
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings

clean: ## what was built
	cargo clean
