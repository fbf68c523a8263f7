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

.DEFAULT_GOAL := all
.PHONY: all debug install test test-full bench run clean help

all: ## build the library and the rampart command
	$(CARGO) build --release --package rampart
	$(CARGO) build --profile preload --package librampart
	install -m 755 $(TARGET)/preload/$(LIBRARY) $(TARGET)/release/$(LIBRARY)
	install -m 755 $(TARGET)/preload/$(LIBRARY) $(LIBRARY)

debug: ## the same with symbols, in target/debug
	$(CARGO) build --package rampart
	$(CARGO) build --profile preload-debug --package librampart
	install -m 755 $(TARGET)/preload-debug/$(LIBRARY) $(TARGET)/debug/$(LIBRARY)

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
