# `make help` lists the targets. Each installs what it needs first.
.PHONY: help check run test test-long fuzz bench build install deb rpm docs man

ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo env "PATH=$$PATH" "HOME=$$HOME")

help: ## list the targets
	@sed -nE 's/^([a-z][a-z -]*):.*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r targets text; do \
	    printf '  make %-10s %s\n' "$$targets" "$$text"; done

# Without root, tests that give files to other users or mount a disk are left to `make test`.
SKIP := $(shell [ "$$(id -u)" = 0 ] || echo -- --skip doctor:: --skip config::last_good:: --skip a_full_disk_)

# Needs no root, and no network once the tools and crates are there.
check: ## format, lints, links, text and unit tests: the loop while you work
	@scripts/bootstrap.sh check
	cargo fmt --all --check
	scripts/check-text.py
	scripts/check-layout.py
	scripts/docs.py check
	cargo clippy --workspace --all-targets --all-features --quiet -- -D warnings
	cargo test --workspace --lib --test documents --quiet $(SKIP)

run: ## a demonstration: a private daemon, a QR code, a login through a real PAM stack
	@scripts/bootstrap.sh run
	@cargo build --quiet --profile demo -p totpd -p pam_totp
	@scripts/run.sh

# Tests that run with the store on PostgreSQL as well; scripts/test-long.sh runs more of them.
ON_POSTGRESQL := test(/^self_service::/) | test(/^login::(races|clock|lockout)::/) | test(/^api::sessions::/)

# The quickest to fail first.
test: ## everything that CI runs: every change has to pass it
	scripts/bootstrap.sh test
	cargo fmt --all --check
	scripts/check-text.py
	scripts/check-layout.py
	scripts/check-msrv.sh
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --workspace --no-deps --document-private-items --quiet
	cargo deny --log-level error check bans licenses sources
	scripts/check-module.sh
	scripts/check-units.sh
	scripts/check-docs.sh
	cargo build -p totpd -p pam_totp
	scripts/package.sh test
	cargo build -p pam_totp --features fault_injection --target-dir target/fault_injection
	cargo test --workspace --doc --quiet
	scripts/fuzz.sh 3 $(FUZZ_CORE)
	$(ROOT) cargo nextest run --workspace --no-fail-fast
	$(ROOT) env TOTPD_STORE=postgresql cargo nextest run -p totpd_e2e --no-fail-fast -E '$(ON_POSTGRESQL)'

# Targets in totp_core and totp_wire, and those in the daemon, which takes minutes to build for it.
FUZZ_CORE := frames call conversation otpauth typed ssh_auth_info names secrets record
FUZZ_DAEMON := config http_body import sealed_record
FUZZ_SECONDS ?= 3600

# What takes too long for each change. docs/explanation/assurance.md says where its output is kept.
test-long: test ## the same with long counts, Miri, two equal builds, a release build; before a release
	scripts/test-long.sh

fuzz: ## each fuzz target for an hour (FUZZ_SECONDS=N)
	scripts/bootstrap.sh test
	scripts/fuzz.sh $(FUZZ_SECONDS) $(FUZZ_CORE)
	scripts/fuzz.sh $(FUZZ_SECONDS) $(FUZZ_DAEMON)

# BENCH="alone together --turns 5" measures less, BENCH="--against FOLDER" two builds. bench/run.py --help has the cases.
bench: ## measure logins and HTTP requests beside other modules
	scripts/bootstrap.sh bench
	cargo build --release -p totpd -p pam_totp -p bench_users
	cargo build --release -p bench_http
	$(ROOT) bench/run.py $(BENCH)

docs: ## the book: target/book/index.html
	@scripts/bootstrap.sh docs
	rm -rf target/book target/book-source
	scripts/docs.py stage target/book-source
	mdbook build target/book-source
	scripts/docs.py built target/book

man: ## the man pages: target/man
	scripts/man.sh

build: ## a release build: target/release
	@scripts/bootstrap.sh build
	cargo build --release -p totpd -p pam_totp

# For systems without a package: docs/how-to/by-hand.md.
install: ## install a release build (MODULE_DIR= for the folder of PAM modules, DESTDIR=)
	@DESTDIR="$(DESTDIR)" MODULE_DIR="$(MODULE_DIR)" scripts/install.sh

# docs/how-to/packages.md, RELEASING.md.
deb rpm: ## the package of a release build: target/package
	@scripts/bootstrap.sh package
	@scripts/package.sh $@
