# Rampart preload. `make help` lists what can be made.

CARGO ?= cargo
UNAME := $(shell uname -s)
LIBRARY := librampart.$(if $(filter Darwin,$(UNAME)),dylib,so)
RAMPART_HOME ?= $(HOME)/.rampart
POLICY ?= $(or $(wildcard $(RAMPART_HOME)/policy.yaml),policy/starter.yaml)
AGENT := python3 examples/agent.py
# macOS keeps the library out of its own shell: Homebrew's bash there.
SH := $(if $(filter Darwin,$(UNAME)),$(firstword $(wildcard /opt/homebrew/bin/bash /usr/local/bin/bash) sh),sh)
# As it was typed: make is not to look for its own `$` in it.
override CMD := $(value CMD)
export CMD
TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
# Apple silicon runs Intel's programs as well, and dyld would end each that it cannot load the
# library into: there it has a slice for both.
SLICES := $(if $(filter Darwin-arm64,$(UNAME)-$(shell uname -m)),aarch64-apple-darwin x86_64-apple-darwin)

# The library by a profile of Cargo's, beside the rampart command in $(TARGET)/$(2).
define build_library
	$(CARGO) build --profile $(1) --package librampart $(SLICES:%=--target %)
	$(if $(SLICES),mkdir -p $(TARGET)/$(1) && lipo -create -output $(TARGET)/$(1)/$(LIBRARY) $(SLICES:%=$(TARGET)/%/$(1)/$(LIBRARY)))
	install -m 755 $(TARGET)/$(1)/$(LIBRARY) $(TARGET)/$(2)/$(LIBRARY)
endef

.DEFAULT_GOAL := all
.PHONY: all library debug install test test-full bench run clean help

all: ## build the library and the rampart command
	$(CARGO) build --release --package rampart
	$(call build_library,preload,release)
	install -m 755 $(TARGET)/preload/$(LIBRARY) $(LIBRARY)

library: ## build the library alone, as `rampart setup` does where it finds none
	mkdir -p $(TARGET)/release
	$(call build_library,preload,release)

debug: ## the same with symbols, in target/debug
	$(CARGO) build --package rampart
	$(call build_library,preload-debug,debug)

install: all ## copy both to ~/.rampart (RAMPART_HOME moves it)
	install -d -m 700 $(RAMPART_HOME)
	install -d $(RAMPART_HOME)/lib $(RAMPART_HOME)/bin
	install -m 755 $(LIBRARY) $(RAMPART_HOME)/lib/.$(LIBRARY).new
	mv -f $(RAMPART_HOME)/lib/.$(LIBRARY).new $(RAMPART_HOME)/lib/$(LIBRARY)
	install -m 755 $(TARGET)/release/rampart $(RAMPART_HOME)/bin/.rampart.new
	mv -f $(RAMPART_HOME)/bin/.rampart.new $(RAMPART_HOME)/bin/rampart

test: all ## run every test, under the library just built
	ci/needed test
	$(CARGO) test --workspace --exclude librampart

test-full: all ## what takes ten minutes: every way to start a program, a soak, others' own tests
	ci/test-full

bench: all ## what being guarded costs, side by side with the machine's own floors
	ci/needed bench
	$(CARGO) run --release --quiet --package rampart-bench

run: all ## run CMD='…' guarded by the embedded server; without CMD a sample agent
	@ci/needed run
	@$(TARGET)/release/rampart preload --policy $(POLICY) -- $(if $(CMD),$(SH) -c "$$CMD",$(AGENT))

clean: ## remove everything that was built
	$(CARGO) clean
	rm -f librampart.so librampart.dylib

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20
