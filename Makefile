# What a contributor runs. `make` alone runs everything CI runs, save for the licence and source checks.

CARGO ?= cargo
ORACLE := target/oracle
SDK := target/sdk
KOTLIN := target/kotlin
PROMETHEUS := target/prometheus
HELM := target/helm
PEERS := target/peers
VENDOR_SUITES := target/vendor-suites
TOOLS := target/tools
PACKAGE := target/package

.PHONY: all quick check test rust sdks ops replicas replicas-large redis simulate outages soak bench bench-check count test-subjects vendor-suites oracle sdk kotlin peers \
  prometheus helm spin valgrind deny sandbox package package-tools

all: check test

# After each edit: everything that needs nothing but Rust, without the examples in the documentation.
quick:
	$(CARGO) test --workspace --lib --bins --test it

# Format, lints, documentation, and the build without the sandbox. `--all-targets` leaves out the tests with `test = false`.
# With a benchmark, the build without the sandbox has the dependencies' features of the others, so none is checked again.
check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --workspace --test "*" -- -D warnings
	$(CARGO) clippy --locked --workspace --no-default-features --lib --bins --bench load -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items --quiet

# Every test.
test: rust sdks ops replicas

# The tests that need nothing but Rust.
rust:
	$(CARGO) test --locked --workspace

# The tests that need Tencent's SDKs, curl, Node, a browser and Kotlin.
sdks: oracle sdk kotlin
	$(CARGO) test --locked --workspace --test sdks

# The tests that need Prometheus, systemd, Helm, spin, umoci and shellcheck.
ops: prometheus helm spin package-tools
	$(CARGO) test --locked --workspace --test ops

# The tests of several replicas beside a real Redis.
replicas: redis
	$(CARGO) test --locked --workspace --test replicas

# Many users and a rolling restart beside four replicas of a release build: prints the figures of docs/operate/replicas.md.
replicas-large: redis
	$(CARGO) build --release --locked
	COSBROKER_BINARY=$${COSBROKER_BINARY:-$(CURDIR)/target/release/cosbroker} \
	$(CARGO) test --locked --workspace --test replicas -- --ignored --nocapture --test-threads 1

# The simulation of the broker's core with as many seeds as wanted; `make test` runs 10,000. SIMULATION_SEED=n runs one.
SIMULATION_SEEDS ?= 1000000
simulate:
	SIMULATION_SEEDS=$(SIMULATION_SEEDS) $(CARGO) test --locked --release --package cosbroker --lib simulation::whatever -- --nocapture

# A million subjects of each kind that logins make, under the templates that are shipped; takes a quarter of an hour.
test-subjects:
	$(CARGO) test --locked --release --package templates --lib -- --ignored --nocapture a_million_subjects

# Load and outages on a release build, for half an hour: prints the figures of docs/understand/reliability.md. With
# COSBROKER_BINARY, on that binary.
outages:
	$(CARGO) build --release --locked
	COSBROKER_BINARY=$${COSBROKER_BINARY:-$(CURDIR)/target/release/cosbroker} \
	$(CARGO) test --locked --workspace --test outages -- --test-threads 1

# Long runs against the release binary and the emulated STS: memory, descriptors, calls to STS. Not part of `test`.
# SOAK_MINUTES is the length of the longest; 10 without it.
soak:
	$(CARGO) test --release --locked --workspace --test soak -- --test-threads 1 --nocapture

# The vendor's own tests of its SDKs against the sandbox, from checkouts of tencentyun/cos-nodejs-sdk-v5, cos-js-sdk-v5 and
# cos-python-sdk-v5, which are left as they are: make vendor-suites COS_NODEJS_SDK=../cos-nodejs-sdk-v5. Those that are not
# named are not run.
vendor-suites: oracle sdk
	test -n "$(COS_NODEJS_SDK)$(COS_JS_SDK)$(COS_PYTHON_SDK)" \
	|| { echo "make vendor-suites: set COS_NODEJS_SDK, COS_JS_SDK or COS_PYTHON_SDK to a checkout"; exit 1; }
	rm -rf $(VENDOR_SUITES)
	$(call copied-checkout,cos-nodejs-sdk-v5,$(COS_NODEJS_SDK))
	$(call copied-checkout,cos-js-sdk-v5,$(COS_JS_SDK))
	$(call copied-checkout,cos-python-sdk-v5,$(COS_PYTHON_SDK))
	if [ -n "$(COS_NODEJS_SDK)" ]; then npm install --prefix $(VENDOR_SUITES)/cos-nodejs-sdk-v5 --ignore-scripts --no-audit --no-fund --silent; fi
	$(CARGO) test --locked --workspace --test vendor_suites -- --test-threads 1 --nocapture

copied-checkout = if [ -n "$(2)" ]; then mkdir -p $(VENDOR_SUITES)/$(1) && git -C "$(2)" archive HEAD | tar -x -C $(VENDOR_SUITES)/$(1); fi

# The release build beside other servers, for twelve minutes on a quiet machine of two cores: prints the goals and
# what was reached, and writes docs/understand/performance.md.
bench: peers valgrind redis
	$(CARGO) build --profile bench-release --locked --bin cosbroker
	COSBROKER_BINARY=$(CURDIR)/target/bench-release/cosbroker \
	$(CARGO) bench --locked --workspace --bench load -- compare $(CURDIR)/$(PEERS)

# Instructions of a cached hit, which are the same on a busy machine: fails where they pass benches/budget.toml. In the
# build of the tests it takes two minutes, in an optimised build of its own ten.
count: valgrind redis
	$(CARGO) test --locked --workspace --bench load -- check tests

bench-check: valgrind redis
	$(CARGO) build --profile count --locked --no-default-features --bin cosbroker
	COSBROKER_BINARY=$(CURDIR)/target/count/cosbroker \
	$(CARGO) test --locked --workspace --bench load -- check optimised

# Tencent's own Python SDKs, in an environment of their own.
oracle: $(ORACLE)/installed

$(ORACLE)/installed: tests/sdks/oracle/requirements.txt
	python3 -m venv $(ORACLE)
	$(ORACLE)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

# Tencent's own JavaScript SDKs, and the browser that one of them is for.
sdk: $(SDK)/installed
	command -v chromium >/dev/null \
	|| { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } \
	|| { echo "make sdk: chromium is missing, and apt-get cannot install it; install it"; exit 1; }

$(SDK)/installed: tests/sdks/programs/package.json tests/sdks/programs/package-lock.json tests/sdks/programs/.npmrc
	command -v node >/dev/null && command -v npm >/dev/null || { echo "make sdk: install node (20 or newer) and npm"; exit 1; }
	mkdir -p $(SDK)
	cp $^ $(SDK)
	npm ci --prefix $(SDK) --ignore-scripts --silent
	touch $@

# The compiler of Kotlin, which needs Java, and Android's JSON, which is part of every phone.
KOTLIN_VERSION := 2.4.20
kotlin: $(KOTLIN)/$(KOTLIN_VERSION)

$(KOTLIN)/$(KOTLIN_VERSION):
	command -v java >/dev/null \
	|| { apt-get update -qq && apt-get install -y -qq --no-install-recommends default-jre-headless; } \
	|| { echo "make kotlin: java is missing, and apt-get cannot install it; install it"; exit 1; }
	rm -rf $(KOTLIN) && mkdir -p $(KOTLIN)
	npm install --prefix $(KOTLIN) --ignore-scripts --silent --no-package-lock kotlin-compiler@$(KOTLIN_VERSION)
	cd $(KOTLIN) \
	&& { apt-get download -qq libandroid-json-java || { apt-get update -qq && apt-get download -qq libandroid-json-java; }; } \
	&& dpkg --fsys-tarfile libandroid-json-java_*.deb | tar -x ./usr/share/java && rm libandroid-json-java_*.deb \
	|| { echo "make kotlin: Android's JSON cannot be fetched with apt-get"; exit 1; }
	touch $@

# Prometheus and promtool, from Debian's package or this machine. Unpacked and not installed, because the package would
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

# Helm's own library and Kubernetes' schemas, in a Python environment of their own: Debian has no package of helm.
helm: $(HELM)/installed

$(HELM)/installed: tests/ops/helm/requirements.txt
	python3 -m venv $(HELM)
	$(HELM)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

# The model checker, which writes a C program.
spin:
	command -v spin >/dev/null && command -v cc >/dev/null \
	|| { apt-get update -qq && apt-get install -y -qq --no-install-recommends spin gcc libc6-dev; } \
	|| { echo "make spin: spin is missing, and apt-get cannot install it; install it and a C compiler"; exit 1; }

# Redis and its sentinel, from Debian's packages or this machine. RUNLEVEL=1 keeps the packages from starting a service.
redis:
	command -v redis-server >/dev/null && command -v redis-cli >/dev/null \
	|| { apt-get update -qq && RUNLEVEL=1 apt-get install -y -qq --no-install-recommends redis-server redis-tools; } \
	|| { echo "make redis: redis-server is missing, and apt-get cannot install it; install it"; exit 1; }

# The servers that `make bench` runs beside the broker.
peers: $(PEERS)/installed

$(PEERS)/installed: benches/peers/requirements.txt benches/peers/package.json
	command -v nginx >/dev/null && command -v wrk >/dev/null \
	|| { apt-get update -qq && apt-get install -y -qq --no-install-recommends nginx-light wrk; } \
	|| { echo "make peers: nginx or wrk is missing, and apt-get cannot install it; install both"; exit 1; }
	mkdir -p $(PEERS)
	ln -sf "$$(command -v nginx)" $(PEERS)/nginx
	python3 -m venv $(PEERS)/python
	$(PEERS)/python/bin/python -m pip install --quiet --disable-pip-version-check -r benches/peers/requirements.txt
	cp benches/peers/package.json $(PEERS)
	npm install --prefix $(PEERS) --ignore-scripts --silent --no-package-lock
	touch $@

valgrind:
	command -v valgrind >/dev/null \
	|| { apt-get update -qq && apt-get install -y -qq --no-install-recommends valgrind; } \
	|| { echo "make valgrind: it is missing, and apt-get cannot install it; install it"; exit 1; }

# Licences, duplicate and banned crates, sources; advisories if their database can be fetched. Debian has no package of
# cargo-deny. Unoptimised it is built in a third of the time, and the checks take seconds all the same.
deny:
	command -v cargo-deny >/dev/null \
	|| CARGO_PROFILE_DEV_DEBUG=0 $(CARGO) install --locked --quiet --profile dev cargo-deny@0.20.2
	$(CARGO) deny --locked --log-level error check bans licenses sources
	if $(CARGO) deny --locked fetch db; then $(CARGO) deny --locked --log-level error check advisories; \
	else echo "advisories: not checked, their database cannot be fetched from here"; fi

# What a release consists of, for the architecture of this machine, in target/package. With COSBROKER_BINARY, of that
# binary; else of a release build in which cargo-auditable notes the version of each crate.
package: $(TOOLS)/bin/cargo-auditable $(TOOLS)/bin/cargo-cyclonedx
	test -n "$(COSBROKER_BINARY)" || $(TOOLS)/bin/cargo-auditable auditable build --release --locked --bin cosbroker
	rm -rf $(PACKAGE)
	for artefact in archive debian image; do \
	  deploy/package/$$artefact.sh "$(or $(COSBROKER_BINARY),target/release/cosbroker)" $(PACKAGE) || exit 1; \
	done
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(TOOLS)/bin/cargo-cyclonedx cyclonedx --format json --spec-version 1.5 \
	  --target all --no-build-deps --override-filename package-bom
	sed 's|path+file://$(CURDIR)|path+file:///cosbroker|g' package-bom.json >$(PACKAGE)/cosbroker.cdx.json
	rm package-bom.json crates/*/package-bom.json tests/support/package-bom.json
	cd $(PACKAGE) && sha256sum * >SHA256SUMS && cat SHA256SUMS

# Debian has no package of either for all its releases. Unoptimised they are built in a third of the time.
$(TOOLS)/bin/cargo-auditable: VERSION := 0.7.7
$(TOOLS)/bin/cargo-cyclonedx: VERSION := 0.5.9
$(TOOLS)/bin/cargo-%:
	CARGO_PROFILE_DEV_DEBUG=0 $(CARGO) install --locked --quiet --profile dev --root $(TOOLS) cargo-$*@$(VERSION)

# What reads an image back, and what reads shell scripts. Unpacked and not installed.
package-tools: $(TOOLS)/umoci/usr/bin/umoci $(TOOLS)/shellcheck/installed

$(TOOLS)/umoci/usr/bin/umoci:
	mkdir -p $(TOOLS)/umoci
	cd $(TOOLS)/umoci && rm -f umoci_*.deb \
	&& { apt-get download -qq umoci || { apt-get update -qq && apt-get download -qq umoci; }; } \
	&& dpkg-deb --extract umoci_*.deb . && rm umoci_*.deb \
	|| { echo "make package-tools: umoci cannot be fetched with apt-get; put it at $@"; exit 1; }

$(TOOLS)/shellcheck/installed: tests/ops/package/requirements.txt
	python3 -m venv $(TOOLS)/shellcheck
	$(TOOLS)/shellcheck/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

# The whole thing on this machine. Its page uploads with Tencent's own SDK; without it, all but uploads works.
sandbox:
	$(MAKE) --no-print-directory $(SDK)/installed || echo "cos-js-sdk-v5 is not installed; the page says what that means"
	$(CARGO) run --release --locked -- sandbox --js-sdk $(SDK)/node_modules/cos-js-sdk-v5/dist/cos-js-sdk-v5.min.js
