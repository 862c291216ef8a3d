# Everything that a fresh Debian or Ubuntu with Python 3.11 or newer, git and make needs comes from here.
#   make demo        the whole loop in a real Label Studio     (TASK=classification IMAGES=folder MASKS=folder ROUNDS=6 STAY=1)
#   make test        the whole test suite, lint and types
#   make test-fast   the part that needs neither Label Studio nor long trainings
#   make test-portable  the tests that train, as other processors round, and with the oldest torch
#   make coverage    how much of the code the tests without Label Studio reach
#   make screenshots the pictures of the docs, from the real demo
#   make bench       the numbers of docs/numbers.md
#   make bench-scale what many projects and large ones cost
#   make docs        the pages that are written from the code
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

LABEL_STUDIO_VERSION := 1.23.2
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
SUDO := $(shell [[ $$(id -u) = 0 ]] || echo sudo -n)
VENV := .venv
LABEL_STUDIO := .venv-label-studio
OLDEST := .venv-oldest
BIN := $(VENV)/bin
EXTRAS := bench,encoder,http,label-studio-ml,onnx,parquet,pdf,postgresql,ray,redis,s3,dev
# Debian packages that only the tests use: a browser, and the servers that a larger installation runs on
DEBIAN := chromium postgresql redis-server
# What the report as PDF is set by
DEBIAN += libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0

TASK ?= classification
IMAGES ?=
MASKS ?=
ROUNDS ?=
STAY ?= 1
DEMO := .demo

.PHONY: setup setup-label-studio setup-system demo clean-demo test test-fast test-portable coverage lint screenshots bench bench-scale docs image-check clean

setup: $(VENV)/.done
setup-label-studio: $(LABEL_STUDIO)/.done

define make-venv
@[[ -n "$(PYTHON)" ]] || { echo "Python 3.11 or newer is needed: apt-get install python3" >&2; exit 1; }
@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
  || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq $(PYTHON)-venv >/dev/null; } \
  || { echo "Python's venv module is missing: apt-get install $(PYTHON)-venv" >&2; exit 1; }
@$(PYTHON) -m venv $(1)
endef

$(VENV)/.done: pyproject.toml
	$(call make-venv,$(VENV))
	@echo "Installing the backend; torch alone is some gigabytes, about two minutes …"
	@$(BIN)/pip install --quiet --editable '.[$(EXTRAS)]'
	@touch $@

# The lower ends of the ranges in pyproject.toml; $(VENV) has the upper ones.
$(OLDEST)/.done: pyproject.toml
	$(call make-venv,$(OLDEST))
	@echo "Installing the backend with the oldest torch that it supports, about two minutes …"
	@$(OLDEST)/bin/pip install --quiet --editable '.[$(EXTRAS)]' 'torch==2.8.*' 'torchvision==0.23.*'
	@touch $@

$(LABEL_STUDIO)/.done: Makefile
	$(call make-venv,$(LABEL_STUDIO))
	@echo "Installing Label Studio $(LABEL_STUDIO_VERSION), about one minute …"
	@$(LABEL_STUDIO)/bin/pip install --quiet label-studio==$(LABEL_STUDIO_VERSION)
	@touch $@

# Needs root; without it the tests that want these packages are skipped, and say so.
setup-system:
	@missing=$$(for p in $(DEBIAN); do dpkg -s $$p >/dev/null 2>&1 || echo $$p; done); \
	if [[ -n "$$missing" ]]; then \
	  { $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing >/dev/null; } \
	    || echo "Could not install $$missing: the tests that need them will be skipped." >&2; \
	fi

demo: setup setup-label-studio
	@$(BIN)/pt4al demo --folder $(DEMO) --task '$(TASK)' $(if $(ROUNDS),--rounds $(ROUNDS)) \
	  $(if $(IMAGES),--images '$(IMAGES)') $(if $(MASKS),--masks '$(MASKS)') \
	  --label-studio $(LABEL_STUDIO)/bin/label-studio $(if $(filter 0,$(STAY)),--no-stay,--stay)

clean-demo:
	rm -rf $(DEMO)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Only the files with tests of Label Studio, since to import the others takes each process 10 s. A file's tests stay together,
# and those of tests/browser come last, which are the short ones: no process waits long for the other's last file.
WITH_LABEL_STUDIO = $$(grep -rl --include='test_*.py' 'mark\.label_studio' tests | sort -r)

test: setup setup-label-studio setup-system lint
	$(BIN)/pytest -m 'not label_studio' -n 2
	REQUIRE_LABEL_STUDIO=1 $(BIN)/pytest -m label_studio -n 2 --dist loadfile --no-loadscope-reorder $(WITH_LABEL_STUDIO)

test-fast: setup lint
	$(BIN)/pytest -m 'not label_studio and not slow' -n 2

# What is learned differs in the last digits from processor to processor, and trainings enlarge that. oneDNN rounds by the
# instructions that it may use; ATEN_CPU_CAPABILITY=default is torch without vector instructions.
TRAINING := -m '(slow or training) and not label_studio' -n 2
test-portable: setup $(OLDEST)/.done
	$(BIN)/pytest $(TRAINING)
	ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 $(BIN)/pytest $(TRAINING)
	ONEDNN_MAX_CPU_ISA=AVX2 $(BIN)/pytest $(TRAINING)
	ATEN_CPU_CAPABILITY=default $(BIN)/pytest $(TRAINING)
	$(OLDEST)/bin/pytest $(TRAINING)

coverage: setup
	$(BIN)/pytest -m 'not label_studio' -n 2 --cov --cov-report=term

screenshots: setup setup-label-studio setup-system
	$(BIN)/python -m pt4al_backend.demo.screenshots $(LABEL_STUDIO)/bin/label-studio docs/images

bench: setup setup-label-studio
	$(BIN)/python -m pt4al_backend.bench

bench-scale: setup
	$(BIN)/python -m pt4al_backend.bench.scale

docs: setup
	$(BIN)/python -m pt4al_backend.config.settings_page > docs/settings.md

image-check:
	docker/check.sh

clean: clean-demo
	rm -rf $(VENV) $(LABEL_STUDIO) $(OLDEST)
