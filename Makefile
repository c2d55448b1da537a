# `make run` shows it, `make test` proves it; both install what they need first.
.PHONY: run test test-long fuzz bench build install deb rpm docs man

ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo env "PATH=$$PATH" "HOME=$$HOME")

run:
	@scripts/bootstrap.sh run
	@cargo build --quiet --profile demo -p totpd -p pam_totp
	@scripts/run.sh

# Everything CI runs, the quickest to fail first.
test:
	scripts/bootstrap.sh test
	cargo fmt --all --check
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

# Targets in totp_core and totp_wire, and those in the daemon, which takes minutes to build for it.
FUZZ_CORE := frames call conversation otpauth typed ssh_auth_info names secrets record
FUZZ_DAEMON := config http_body sealed_record
FUZZ_SECONDS ?= 3600

# What takes hours or minutes too long for each change (docs/explanation/assurance.md keeps what it printed).
test-long: test
	$(ROOT) env TOTPD_LONG=1 cargo nextest run --workspace --no-fail-fast
	scripts/miri.sh
	scripts/check-reproducible.sh
	cargo build --release -p totpd -p pam_totp
	$(MAKE) fuzz FUZZ_SECONDS=60

fuzz:
	scripts/bootstrap.sh test
	scripts/fuzz.sh $(FUZZ_SECONDS) $(FUZZ_CORE)
	scripts/fuzz.sh $(FUZZ_SECONDS) $(FUZZ_DAEMON)

bench:
	scripts/bootstrap.sh bench
	cargo build --release -p totpd -p pam_totp
	$(ROOT) bench/run.sh
	$(ROOT) bench/lookalike/run.sh
	cargo build --release -p bench_http
	$(ROOT) bench/http/run.sh

# The book: target/book/index.html.
docs:
	@scripts/bootstrap.sh docs
	rm -rf target/book target/book-source
	scripts/docs.py stage target/book-source
	mdbook build target/book-source
	scripts/docs.py built target/book

man:
	scripts/man.sh

build:
	@scripts/bootstrap.sh build
	cargo build --release -p totpd -p pam_totp

# From source, where there is no package: docs/how-to/packages.md. MODULE_DIR= names another folder of PAM modules.
install:
	@DESTDIR="$(DESTDIR)" MODULE_DIR="$(MODULE_DIR)" scripts/install.sh

# Packages of a release build: docs/how-to/packages.md, RELEASING.md. They are in target/package.
deb rpm:
	@scripts/bootstrap.sh package
	@scripts/package.sh $@
