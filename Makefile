# `make demo` makes a small corpus with small real models; `make test` runs the tests. Both start from nothing.
#
# Everything is installed into .venv. The stamps in it say what it holds, so that a second call installs nothing.

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
INSTALL := $(PIP) install --quiet --no-warn-conflicts --constraint constraints.txt

# The first interpreter that runs and is new enough; `make demo PYTHON=/somewhere/python3.12` chooses another.
IS_SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))
PYTHON ?= $(shell for name in python3.11 python3.12 python3; do \
	if $$name -c '$(IS_SUPPORTED)' 2>/dev/null; then echo $$name; exit; fi; done; echo python3)

# What `pip check` may say; anything else stops the build. tinysoundfont plays through pyaudio, which rendering to
# memory does not need. audiocraft's pins are years behind; what it really imports is the extra of that name.
KNOWN := ^(No broken requirements found\.|tinysoundfont .* requires pyaudio, .*|audiocraft .*)$$
define check_environment
@if $(PIP) check 2>&1 | grep -v -E '$(KNOWN)' >&2; then \
	echo "make: the packages in $(VENV) do not fit together (lines above). Run 'make clean' and try again." >&2; exit 1; fi
endef

find_chromium := { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test check format lint types layers bench models audiocraft clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(STAMPS)/embedded ## make the demo corpus with small real models on this machine
	$(BIN)/anyinstruct doctor --fetch manifests/demo.yaml
	$(BIN)/anyinstruct run manifests/demo.yaml

test: $(STAMPS)/test ## run the tests (PYTEST_ARGS="-k ledger" picks some)
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

check: lint types layers test ## check everything: format, lint, types, layers, tests; CI calls this

format: $(STAMPS)/dev ## put the code into shape
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lint: $(STAMPS)/dev ## check format and lint
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: $(STAMPS)/dev ## check types, strictly
	$(BIN)/mypy

layers: $(STAMPS)/dev ## check that imports point down
	$(BIN)/lint-imports

bench: $(STAMPS)/bench ## measure speed and restart behaviour
	$(BIN)/python -m bench

models: $(STAMPS)/models ## add the GPU renderers' packages (torch, diffusers, transformers, coqui-tts)

audiocraft: $(STAMPS)/audiocraft ## add audiocraft beside them

clean: ## delete .venv, builds and tool caches; corpora and downloaded models stay
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(STAMPS)/venv:
	@$(PYTHON) -c '$(IS_SUPPORTED)' 2>/dev/null || { \
		echo "make: Python 3.11 or 3.12 is needed, but '$(PYTHON)' says: $$($(PYTHON) --version 2>&1 | head -n 1)." \
		"Install one and name it: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip
	@mkdir -p $(@D)
	@touch $@

# tinysoundfont comes after the rest and without its dependencies: pyaudio needs system headers to build.
$(STAMPS)/embedded: $(STAMPS)/venv pyproject.toml constraints.txt
	$(INSTALL) --editable '.[embedded]'
	$(INSTALL) --no-deps tinysoundfont
	$(check_environment)
	@touch $@

$(STAMPS)/dev: $(STAMPS)/embedded
	$(INSTALL) --editable '.[embedded,audits,dev]'
	$(check_environment)
	@touch $@

$(STAMPS)/bench: $(STAMPS)/dev
	$(INSTALL) --editable '.[embedded,audits,dev,bench]'
	$(check_environment)
	@touch $@

# torch goes first, so that nothing below chooses another. torchaudio's compiled part wants a CUDA build of torch and
# fails to load beside a CPU build; without it torchaudio works in pure Python.
$(STAMPS)/models: $(STAMPS)/embedded
	$(INSTALL) torch
	$(INSTALL) --editable '.[embedded,models]'
	@$(BIN)/python -c 'import torchaudio' 2>/dev/null || rm -f $(VENV)/lib/python3.*/site-packages/torchaudio/lib/*.so
	$(BIN)/python -c 'import diffusers, torchaudio, transformers, TTS'
	$(check_environment)
	@touch $@

$(STAMPS)/audiocraft: $(STAMPS)/models
	$(INSTALL) --editable '.[embedded,models,audiocraft]'
	$(INSTALL) --no-deps --no-build-isolation audiocraft
	$(check_environment)
	@touch $@

# Every renderer is tested, on tiny weights, and every voice's language; formatting and checking types do without. Pages
# are tested in a Chromium, which only root may add.
$(STAMPS)/test: $(STAMPS)/dev $(STAMPS)/audiocraft
	$(INSTALL) --editable '.[embedded,languages,audits,dev]'
	$(check_environment)
	@$(find_chromium) || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium >/dev/null; } \
		|| echo "make: no chromium here, so the tests of pages are skipped: apt-get install chromium" >&2
	@touch $@
