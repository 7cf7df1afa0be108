# Two commands do everything: `make demo` and `make test`. Each sets up what it needs, once.
# the first of these that runs and is Python 3.11 or newer
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3 python; do $(call NEW_ENOUGH,$$name) && echo $$name && break; done)
NEW_ENOUGH = $(1) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
define CHECK_PYTHON
@$(call NEW_ENOUGH,$(or $(PYTHON),false)) || \
  { echo "No Python from 3.11 on was found$(if $(PYTHON), ($(PYTHON) is none)). Name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
endef
VENV := .venv
BIN := $(VENV)/bin
# what the package itself needs, and with that what its extras and its development need
BASE := $(VENV)/.installed-base
INSTALLED := $(VENV)/.installed
# what the slow tests alone take
HEAVY := $(VENV)/.installed-heavy
# what builds the site
SITE := $(VENV)/.installed-site
# what builds and checks the packages of a release
RELEASE := $(VENV)/.installed-release
# One process more than there are cores, since some tests wait for processes of their own; each
# computes with one thread.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
# an environment whose torch has CUDA, and flags of scripts/gpu.py
GPU := .venv-gpu
GPU_FLAGS ?=
# where the replay of the ledger keeps what it makes
LEDGER ?= ledger

# Bytecode is kept, whatever the environment says: tests start many processes of the package. It is
# made of what is imported, when it is: that is a small part of what pip would compile.
export PYTHONDONTWRITEBYTECODE :=
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable

.PHONY: help install demo test coverage test-base test-all test-node browser check bench ledger gpu notebooks site surface release format reference clean

help: ## show what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	$(CHECK_PYTHON)
	$(PYTHON) -m venv $(VENV)

# What has more holds what has less, so one call of pip does. With --jobs in a new checkout, make the
# largest of these first, as .ci/run does: two calls would write into one environment.
$(BASE): pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) .
	touch $@

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) '.[all,dev]'
	touch $(BASE) $@

$(HEAVY): pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) '.[all,dev,heavy]'
	touch $(BASE) $(INSTALLED) $@

$(SITE): pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) '.[all,dev,site]'
	touch $(BASE) $(INSTALLED) $@

$(RELEASE): pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) '.[all,dev,release]'
	touch $(BASE) $(INSTALLED) $@

install: $(INSTALLED) ## make the virtual environment

demo: $(BASE) ## compare five generators on two texts and write a report (three to four minutes)
	@$(BIN)/python -m inklings compare configs/demo/ngram.toml configs/demo/mlp.toml configs/demo/tree_wavenet.toml configs/demo/gpt.toml \
	  --data builtin:unicode-names --budget 1M-tokens --seeds 3 --points 1 --rates 0 --training.evaluations 6 --out demo/unicode-names
	@$(BIN)/python -m inklings compare configs/demo/ngram.toml configs/demo/mlp.toml configs/demo/gru.toml configs/demo/tree_wavenet.toml configs/demo/gpt.toml \
	  --data builtin:python-docs --tokenizer byte --budget 250k-tokens --seeds 3 --points 1 --rates 0 --training.evaluations 6 --out demo/python-docs

test: $(INSTALLED) ## the fast tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal --durations=15

coverage: $(INSTALLED) ## the lines of src that no fast test reaches
	OMP_NUM_THREADS=1 $(BIN)/python -m coverage run -m pytest -q -n $(WORKERS) --dist worksteal
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

test-base: ## install the wheel alone into an empty environment and run README's first commands there
	$(CHECK_PYTHON)
	$(PYTHON) scripts/base_install.py

test-all: $(HEAVY) $(SITE) ## the slow ones too (installs lm-evaluation-harness, trackers and a notebook's kernel for some of them)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m "slow or not slow"

test-node: $(INSTALLED) ## what needs Node: the server by clients of other languages (OpenAI's for Node, Java's, curl), exported models in a browser and in llama.cpp
	@command -v node >/dev/null && command -v npm >/dev/null || { echo "Node is not installed: nothing to test with."; exit 1; }
	cd tests/serving/node && npm install --no-package-lock --no-audit --no-fund --loglevel=error
	cd examples/browser && npm install --no-package-lock --no-audit --no-fund --loglevel=error
	@# llama.cpp's prebuilt library; its other parts, and scripts that would build it, are left out
	@[ "$$(uname -sm)" != "Linux x86_64" ] || \
	  (cd tests/interop/node && npm install --no-package-lock --no-audit --no-fund --loglevel=error --omit=optional --ignore-scripts)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "slow or not slow" tests/serving/test_other_clients.py tests/interop/test_browser_page.py tests/interop/test_llama_cpp.py

browser: $(INSTALLED) ## check a report and the server's page in a real browser (Chromium; installed where it is absent, on Debian and as root)
	@command -v chromium chromium-browser google-chrome >/dev/null || \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get install -y --no-install-recommends chromium; \
	  else echo "Chromium is not installed. On Debian, as root: apt-get install chromium"; exit 1; fi
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "slow or not slow" tests/lab/report/test_browser.py tests/serving/page

check: $(INSTALLED) ## lint, format, types, import layering
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_house.py

bench: $(INSTALLED) ## the measurements that need no other project (about five minutes; leave the machine idle)
	@$(BIN)/python benchmarks/loop_overhead.py
	@$(BIN)/python benchmarks/muon.py
	@$(BIN)/python benchmarks/training_speed.py --size small --data builtin:python-docs
	@$(BIN)/python benchmarks/generation_speed.py --tokens 128
	@$(BIN)/python benchmarks/wavenet_streaming.py --rounds 5 --tokens 100 10000
	@echo "Beside nanoGPT: clone https://github.com/karpathy/nanoGPT and give its folder to training_speed.py,"
	@echo "generation_speed.py and shakespeare.py as --nanogpt FOLDER. More in benchmarks/README.md."

ledger: $(INSTALLED) ## replay every claim of docs/ledger.md (hours; says first how many, and goes on where it was stopped)
	@$(BIN)/python scripts/ledger.py --out $(LEDGER)

gpu: ## try everything on a machine with one NVIDIA card, in ten minutes: training, serving, FSDP2, figures as JSON
	$(CHECK_PYTHON)
	@$(PYTHON) scripts/gpu.py --check
	@[ -x $(GPU)/bin/python ] || $(PYTHON) -m venv $(GPU)
	@# the default build of torch is the one for CUDA; what there is already is not installed again
	@$(GPU)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[serve]' beartype hypothesis pytest pytest-xdist
	@$(GPU)/bin/python scripts/gpu.py --out gpu $(GPU_FLAGS)

notebooks: $(HEAVY) ## execute the notebooks, and keep what they show (about ten minutes)
	OMP_NUM_THREADS=1 $(BIN)/python scripts/run_notebooks.py

site: $(SITE) ## build the documentation as a site with search and the API: build/site/index.html
	@$(BIN)/python scripts/build_site.py

surface: $(INSTALLED) ## write down anew the flags of every verb and the routes of the server, where they changed on purpose
	$(BIN)/python tests/surface/surface.py

release: $(RELEASE) ## build the wheel and the source package into dist/, and check both
	@$(BIN)/python scripts/release.py

format: $(INSTALLED) ## apply the formatter and the safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reference: $(INSTALLED) ## train the run that ships with the package again (a few minutes)
	$(BIN)/python scripts/make_reference.py

clean: ## remove the environment and what was built
	rm -rf $(VENV) $(GPU) .mypy_cache .ruff_cache .hypothesis .cache build dist demo
