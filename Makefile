# Everything from a fresh clone to a trained recogniser. `make` alone lists what can be done.
#
# RECIPE=an4 is recipes/an4/default.toml and runs/an4; RECIPE=an4/cells/gru is recipes/an4/cells/gru.toml and
# runs/an4-cells-gru. ARGS goes to the command unchanged, e.g. ARGS="--set training.epochs=10".

RECIPE ?= synthetic
ARGS ?=
FILES ?=
BENCH ?=
PYTHON ?= python3

CORPUS := $(firstword $(subst /, ,$(RECIPE)))
NAME := $(or $(patsubst $(CORPUS)/%,%,$(filter $(CORPUS)/%,$(RECIPE))),default)
TOML := recipes/$(CORPUS)/$(NAME).toml
RUN := runs/$(subst /,-,$(patsubst %/default,%,$(CORPUS)/$(NAME)))

BIN := .venv/bin
INSTALLED := .venv/.installed
PEERS := .venv/.peers
# The preparer of the corpus, if it has one. It knows whether what it has made is complete and up to date.
PREPARE := $(wildcard data/$(CORPUS)/prepare.py)
# Training again goes on where Ctrl-C stopped it, unless asked to start over.
RESUME := $(if $(findstring --overwrite,$(ARGS)),,--resume)

.PHONY: help setup prepare train verify evaluate transcribe benchmark test test-slow lint format clean
.DEFAULT_GOAL := help

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'
	@echo
	@echo 'Recipes (RECIPE=...): $(patsubst recipes/%.toml,%,$(subst /default.toml,.toml,$(wildcard recipes/*/*.toml recipes/*/*/*.toml)))'

setup: $(INSTALLED) ## create .venv and install everything (the other targets do it when needed)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "asr needs Python 3.11 or newer, and $(PYTHON) is %d.%d; say which: make PYTHON=python3.11" % v[:2])'
	@echo 'Installing into .venv, once; most of it is PyTorch'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check -c constraints.txt -e '.[synthetic,dev]'
	@touch $@

prepare: $(INSTALLED) ## find or make the corpus of RECIPE and write its manifests (train does it when needed)
	$(if $(PREPARE),$(BIN)/python $(PREPARE))

train: prepare ## train RECIPE, go on if it was stopped, score it on its test set: runs/RECIPE/{model,evaluation.json}
	$(BIN)/asr train $(TOML) --run $(RUN) $(RESUME) $(ARGS)

verify: prepare ## train RECIPE anew, and fail if its word error rate is not what its results state: runs/RECIPE-verify
	$(BIN)/asr train $(TOML) --run $(RUN)-verify --overwrite --verify $(ARGS)

evaluate: $(INSTALLED) ## score the model of RECIPE on its test set again
	$(BIN)/asr evaluate $(RUN)/model $(TOML) --json $(RUN)/evaluation.json $(ARGS)

transcribe: $(INSTALLED) ## transcribe FILES="a.wav b.mp3" with the model of RECIPE
	$(BIN)/asr transcribe $(RUN)/model $(or $(FILES),$(error say what to transcribe: make transcribe FILES="a.wav b.mp3")) $(ARGS)

benchmark: $(PEERS) ## time ourselves beside others: ARGS=train-step for a part, BENCH=FOLDER for its inputs; 17 minutes
	$(BIN)/python tests/benchmarks $(addprefix --bench ,$(BENCH)) $(ARGS)

# pyctcdecode asks for numpy 1, which it does not need, and KenLM for a compiler: without them their rows are left out.
$(PEERS): $(INSTALLED)
	@echo 'Installing the peers into .venv, once'
	$(BIN)/pip install --disable-pip-version-check -c constraints.txt -e '.[bench]'
	-$(BIN)/pip install --disable-pip-version-check -c constraints.txt --no-deps pyctcdecode pygtrie
	-$(BIN)/pip install --disable-pip-version-check -c constraints.txt kenlm
	@touch $@

# Every test uses one thread; files of tests, which share what is dear to make, stay together, in order: by their number of
# tests, as it would be else, those that take minutes would come last, and one worker alone would be left with them.
test: lint ## check format, lint and types, and run the tests (at most 8 minutes on two cores)
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: $(INSTALLED) ## run the tests that train for minutes
	$(BIN)/pytest -m slow $(ARGS)

lint: $(INSTALLED) ## check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(INSTALLED) ## format and mend what can be mended by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove .venv and caches; data and runs stay
	rm -rf .venv *.egg-info build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find asr data tests -name __pycache__ -type d -prune -exec rm -rf {} +
