# What a contributor runs. `make` alone runs everything CI runs, save for the licence and source checks.

CARGO ?= cargo
ORACLE := target/oracle
SDK := target/sdk
PROMETHEUS := target/prometheus

.PHONY: all check test oracle sdk prometheus deny sandbox

all: check test

# Format, lints, documentation.
check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items --quiet

# Every test. The official SDKs that judge what we send and answer, and Prometheus, are fetched first.
test: oracle sdk prometheus
	$(CARGO) test --locked

# Tencent's own Python SDKs, in an environment of their own.
oracle: $(ORACLE)/installed

$(ORACLE)/installed: tests/oracle/requirements.txt
	python3 -m venv $(ORACLE)
	$(ORACLE)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

# Tencent's own JavaScript SDKs, and the browser that one of them is for.
sdk: $(SDK)/installed
	command -v chromium >/dev/null \
	|| { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } \
	|| { echo "make sdk: chromium is missing, and apt-get cannot install it; install it"; exit 1; }

$(SDK)/installed: tests/sdk/package.json tests/sdk/package-lock.json tests/sdk/.npmrc
	command -v node >/dev/null && command -v npm >/dev/null || { echo "make sdk: install node (20 or newer) and npm"; exit 1; }
	mkdir -p $(SDK)
	cp $^ $(SDK)
	npm ci --prefix $(SDK) --ignore-scripts --silent
	touch $@

# Prometheus and promtool, out of Debian's package or this machine's own. Unpacked and not installed: the package would
# start a service.
prometheus: $(PROMETHEUS)/usr/bin/promtool

$(PROMETHEUS)/usr/bin/promtool:
	mkdir -p $(@D)
	if command -v prometheus >/dev/null && command -v promtool >/dev/null; then \
	  ln -sf "$$(command -v prometheus)" "$$(command -v promtool)" $(@D); \
	else \
	  cd $(PROMETHEUS) && rm -f prometheus_*.deb \
	  && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } \
	  && dpkg --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin && rm prometheus_*.deb; \
	fi || { echo "make prometheus: it cannot be fetched with apt-get; install prometheus and promtool"; exit 1; }

# Licences, duplicate and banned crates, sources; advisories where their database can be fetched.
deny:
	command -v cargo-deny >/dev/null || $(CARGO) install --locked --quiet cargo-deny@0.20.2
	$(CARGO) deny --locked --log-level error check bans licenses sources
	if $(CARGO) deny --locked fetch db; then $(CARGO) deny --locked --log-level error check advisories; \
	else echo "advisories: not checked, their database cannot be fetched from here"; fi

# The whole thing on this machine. Its page uploads with Tencent's own SDK; without it, all but uploads works.
sandbox:
	$(MAKE) --no-print-directory $(SDK)/installed || echo "cos-js-sdk-v5 is not installed; the page says what that means"
	$(CARGO) run --release --locked -- sandbox --js-sdk $(SDK)/node_modules/cos-js-sdk-v5/dist/cos-js-sdk-v5.min.js
