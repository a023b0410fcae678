# emoq: `make demo` runs the main job on a synthetic corpus, `make test` passes the tests. Both do their own set-up.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: help setup build package ffmpeg chromium slurm check test test-nodes test-placement demo pictures bench references parity cuda gpu-check gpu-check-cases gpu-check-bundle clean

emoq := node bin/emoq.js
sources := $(shell find src -name '*.ts')

help:
	@echo 'make demo        prepare, train both stages, evaluate and predict on the toy corpus (about a minute)'
	@echo 'make test        run the tests'
	@echo 'make test-nodes  the whole path on each supported version of Node and npm, installed from npm'
	@echo 'make test-placement  how every graph is placed on CUDA, without a GPU (UPDATE=figures writes its budgets)'
	@echo 'make check       types, lint and the architecture test'
	@echo 'make build       compile to dist/'
	@echo 'make package     the npm package emoq-VERSION.tgz (PLATFORMS=linux/x64: for these alone)'
	@echo 'make pictures    remake the pictures of the README from the demo'
	@echo 'make bench       time the hot paths (PEERS=1 adds PyTorch to the comparison)'
	@echo 'make references  remake the fixtures of the tests (PYTHON=python3 with torch, transformers, scikit-learn, onnx)'
	@echo 'make parity      print the errors against PyTorch as a table, true sizes included (PYTHON as above; minutes)'
	@echo 'make cuda        install the CUDA provider of onnxruntime-node (FROM=folder, FROM=x.whl or FROM=pypi: from there)'
	@echo 'make clean       delete everything that was made'

setup: node_modules/.installed ffmpeg

node_modules/.installed: package.json package-lock.json .npmrc
	@node --input-type=module -e 'import { nodeVersionProblem } from "./bin/node-version.js"; const problem = nodeVersionProblem(process.versions.node); if (problem) { console.error(problem); process.exit(1); }'
	npm ci --no-fund --no-audit --loglevel=error
	@touch $@

# ffmpeg decodes everything that is not a 16 kHz WAV. Installed where that is allowed, else asked for in one line.
ffmpeg:
	@command -v ffmpeg > /dev/null && command -v ffprobe > /dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	    echo 'installing ffmpeg' && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq ffmpeg > /dev/null; \
	  else echo 'ffmpeg is missing: install it (Debian: sudo apt-get install ffmpeg) and run make again' >&2; exit 1; fi; }

# A browser opens the report in a test, which skips itself where there is none: no reason to fail.
chromium:
	@[ -n "$$CHROMIUM_PATH" ] || command -v chromium > /dev/null || command -v chromium-browser > /dev/null || command -v google-chrome > /dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	    echo 'installing chromium' && { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-liberation; } > /dev/null 2>&1 \
	      || echo 'chromium cannot be installed: the test that opens the report in a browser will be skipped' >&2; \
	  else echo 'there is no chromium: the test that opens the report in a browser will be skipped (Debian: sudo apt-get install chromium)' >&2; fi; }

# Array jobs run on a real Slurm of one node in a test, which skips itself where there is none.
slurm:
	@command -v slurmctld > /dev/null && command -v munged > /dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	    echo 'installing Slurm' && { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge; } > /dev/null 2>&1 \
	      || echo 'Slurm cannot be installed: the test of its array jobs will be skipped' >&2; \
	  else echo 'there is no Slurm: the test of its array jobs will be skipped (Debian: sudo apt-get install slurm-wlm munge)' >&2; fi; }

build: dist/.built

dist/.built: $(sources) tsconfig.json node_modules/.installed
	npx --no-install tsc -p tsconfig.json
	@touch $@

# The npm package, from a folder of its own: npm pack here would leave out what .packaging/package.mjs adds.
package: build
	node .packaging/package.mjs $(if $(PLATFORMS),--platforms '$(PLATFORMS)')

check: build
	npx --no-install tsc -p tsconfig.test.json
	npx --no-install biome check --error-on-warnings .
	npx --no-install vitest run test/architecture.test.ts

test: setup build chromium slurm
	npx --no-install vitest run

# NODES='22.12.0:10 24:11' tries others than the supported ones.
test-nodes: setup build
	node test/nodes/run.mjs $(NODES)

# onnxruntime's CUDA provider over a stub of CUDA's libraries: skipped where the stub cannot be built.
test-placement: build
	node test/placement/run.mjs $(if $(UPDATE),--update $(UPDATE))

demo: setup build
	$(emoq) prepare-toy
	$(emoq) stage1 --dataset toy4
	$(emoq) stage2 --dataset toy4
	$(emoq) eval --dataset toy4
	$(emoq) predict data/toy4/manifest.csv -o runs/toy4/emotions.csv --run runs/toy4
	@echo 'predictions for every recording: runs/toy4/emotions.csv'

# The README's pictures, from the demo's run.
pictures: demo chromium
	node docs/pictures.mjs

# With PEERS, $(PYTHON) where it has PyTorch, else a Python of our own; with PYTHON alone, that one or none.
bench: setup build
	$(if $(PEERS),python="$$(test/bench/peers.sh '$(PYTHON)')" && PYTHON="$$python",$(if $(filter command environment,$(firstword $(origin PYTHON))),PYTHON='$(PYTHON)')) node test/bench/run.mjs

PYTHON ?= python3
references: build
	for script in test/reference/*.py; do $(PYTHON) $$script || exit 1; done

parity: setup build
	@mkdir -p .cache && rm -f .cache/parity.jsonl
	EMOQ_PARITY_FILE=.cache/parity.jsonl EMOQ_PARITY_PYTHON='$(PYTHON)' npx --no-install vitest run test/backbones test/nn test/systems test/engine test/parity
	@node test/parity/table.mjs .cache/parity.jsonl

# FROM names a folder with the libraries, a wheel of onnxruntime-gpu, or pypi; without it, they come from NuGet.
cuda: setup build
	$(emoq) doctor --install-cuda $(if $(FROM),'$(FROM)')

# ARGS='--only stage2 --quick', or '--device cpu' for a trial without a GPU; see node test/gpu/check.mjs --help.
gpu-check: build gpu-check-cases
	PYTHON='$(PYTHON)' node test/gpu/check.mjs $(ARGS)

# The cases of the gradient rules, which are TypeScript.
gpu-check-cases: node_modules/.installed
	npx --no-install tsc -p test/gpu/tsconfig.json

gpu-check-bundle: build gpu-check-cases
	test/gpu/bundle.sh .cache/gpu-check-bundle

clean:
	rm -rf dist node_modules data runs .cache emoq-*.tgz
