# Everything a fresh Debian machine needs: `make demo` runs the main job, `make test` runs the tests.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
SYSTEM := build-essential chromium chromium-driver libnghttp2-dev nghttp2-client prometheus python3-dev python3-venv

.PHONY: demo test build lint coverage clean
demo: build
	$(BIN)/walletpush demo

test: build lint
	$(BIN)/python -m pytest

.stamp-system:
	dpkg -s $(SYSTEM) >/dev/null 2>&1 || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq $(SYSTEM); }
	touch $@

.stamp-venv: .stamp-system pyproject.toml
	[ -d .venv ] || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q --upgrade pip setuptools wheel
	$(BIN)/pip install -q "cython>=3.1,<4" "grpcio-tools>=1.70,<2" "googleapis-common-protos>=1.65,<2"
	$(BIN)/pip install -q --no-build-isolation -e ".[dev,bench]"
	touch $@

build: .stamp-venv
	flock .stamp-venv $(BIN)/python setup.py -q build_stubs build_ext --inplace --parallel 2

lint: build
	$(BIN)/ruff check .
	$(BIN)/mypy

coverage: .stamp-venv
	find core adapters gateway \( -name '*.so' -o -name '*.c' \) -delete
	WALLETPUSH_BUILD=traced $(BIN)/python setup.py -q build_stubs build_ext --inplace --force
	$(BIN)/coverage run -m pytest tests/unit tests/integration
	$(BIN)/coverage report --include='core/*,adapters/*,gateway/*'
	find core adapters gateway \( -name '*.so' -o -name '*.c' \) -delete
	$(BIN)/python setup.py -q build_ext --inplace --force

clean:
	rm -rf build .stamp-* && find core adapters gateway \( -name '*.so' -o -name '*.c' \) -delete && find protos -name '*_pb2*' -delete
