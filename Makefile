# What a contributor runs. `make` alone runs everything CI runs, save for the licence and source checks.

CARGO ?= cargo
ORACLE := target/oracle

.PHONY: all check test oracle deny sandbox

all: check test

# Format, lints, documentation.
check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items --quiet

# Every test. The official SDKs that judge what we send are installed first.
test: oracle
	$(CARGO) test --locked

# Tencent's own Python SDK, in an environment of its own.
oracle: $(ORACLE)/installed

$(ORACLE)/installed: tests/oracle/requirements.txt
	python3 -m venv $(ORACLE)
	$(ORACLE)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

# Licences, duplicate and banned crates, sources; advisories where their database can be fetched.
deny:
	command -v cargo-deny >/dev/null || $(CARGO) install --locked --quiet cargo-deny@0.20.2
	$(CARGO) deny --locked --log-level error check bans licenses sources
	if $(CARGO) deny --locked fetch db; then $(CARGO) deny --locked --log-level error check advisories; \
	else echo "advisories: not checked, their database cannot be fetched from here"; fi

sandbox:
	$(CARGO) run --release --locked -- sandbox
