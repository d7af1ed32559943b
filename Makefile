# The front door. Everything real is in scripts/setup (what is installed) and CMake (what is built).
#   make          build build/lathe, setting the machine up first if needed
#   make help     the other targets

DEMO_STUDY ?= configs/studies/fashion-mnist.toml
DEMO_DIR ?= runs/fashion-mnist
PRESET ?= release
JOBS ?= $(shell nproc)
BUILD := $(if $(filter release,$(PRESET)),build,build-$(PRESET))
CXX_FILES = $(shell git ls-files --cached --others --exclude-standard '*.cc' '*.h')
DEV := build/deps/dev/bin

.DEFAULT_GOAL := build
.PHONY: help setup build demo test test-fast format lint clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: ## install packages and libraries; quick when there is nothing to do
	@scripts/setup

build: setup ## build build/lathe and the unit tests (PRESET=dev, asan or tsan for other builds)
	@[ -f $(BUILD)/build.ninja ] || cmake --preset $(PRESET)
	@cmake --build $(BUILD) --parallel $(JOBS)

demo: setup ## search a Fashion-MNIST classifier for this machine (continues when run again)
	@[ -f build/build.ninja ] || cmake --preset release
	@cmake --build build --parallel $(JOBS) --target lathe
	build/lathe search $(DEMO_STUDY) --dir $(DEMO_DIR) $(if $(wildcard $(DEMO_DIR)/study.db),--resume)

test: ## set up, build, and run every test
	@scripts/setup --tests
	@$(MAKE) --no-print-directory build
	@scripts/run_tests $(BUILD) fast e2e

test-fast: build ## unit tests only
	@scripts/run_tests $(BUILD) fast

format: ## format the C++ sources in place
	@scripts/setup --dev
	@PYTHONPATH=build/deps/dev $(DEV)/clang-format -i $(CXX_FILES)

lint: setup ## check formatting, layers and clang-tidy
	@scripts/setup --dev
	@scripts/lint

clean: ## remove everything built; keep what was downloaded and what was searched
	@scripts/clean
