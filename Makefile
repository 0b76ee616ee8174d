# Everything runs in an environment of its own, .venv, which needs nothing but python3. It is made
# once, and made anew when pyproject.toml or constraints.txt changes.

PYTHON ?= python3
VENV ?= .venv

bin := $(VENV)/bin
# Two names for one setting: newer versions of pip read the second for what a build needs.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
install := $(bin)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help demo test check torture test-mpi test-dask test-tensorboard test-torch gradcheck bench experiments schema \
    reference pictures docs format dist sbom clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z][a-z\/.-]*:.*## / { printf "make %-27s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.product data/pydoc-topics.txt ## train on real text for a minute or two, then read what the model writes
	$(bin)/charrnn train data/pydoc-topics.txt --config gru --batch-size 32 --learning-rate 4e-3 --dropout 0.3 \
	    --max-steps 1300 --eval-every 260 --out runs/demo --force
	$(bin)/charrnn sample --ckpt runs/demo --prompt 'The ' --temperature 0.7 --seed 1

test: $(VENV)/.dev ## run the tests
	$(bin)/python -m pytest

check: $(VENV)/.dev ## run all checks: format, lint, types, tests
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/mypy
	$(bin)/python -m pytest

torture: $(VENV)/.dev ## run the tests of reliability at length, with a new seed (SEED=n: with that one)
	CHARRNN_TORTURE=1 CHARRNN_SEED=$(SEED) $(bin)/python -m pytest -s tests/test_checkpoint.py tests/test_durable.py \
	    tests/test_run_directory.py tests/test_runs.py tests/test_training.py tests/test_divergence.py \
	    tests/test_refused_writes.py tests/test_formats.py

test-mpi: $(VENV)/.mpi ## run the tests of several ranks (installs mpi4py and MPICH)
	CHARRNN_REQUIRE_MPI=1 $(bin)/python -m pytest tests/test_mpi.py

test-tensorboard: $(VENV)/.tensorboard ## run the tests of event files (installs TensorBoard)
	CHARRNN_REQUIRE_TENSORBOARD=1 $(bin)/python -m pytest tests/test_tensorboard.py

test-dask: $(VENV)/.dask ## run the tests of sweeps on a cluster (installs dask.distributed)
	CHARRNN_REQUIRE_DASK=1 $(bin)/python -m pytest tests/test_cluster.py

test-torch: $(VENV)/.torch ## run the tests that compare charrnn with PyTorch (installs it)
	CHARRNN_REQUIRE_TORCH=1 $(bin)/python -m pytest -m torch

gradcheck: $(VENV)/.product ## compare every gradient with complex-step and central differences
	$(bin)/charrnn gradcheck

bench: $(VENV)/.bench ## race charrnn against PyTorch and JAX (installs them), into docs/benchmarks.md
	$(bin)/charrnn bench --peers --write docs/benchmarks.md

experiments: $(VENV)/.product data/pydoc-topics.txt ## run the experiments on truncation again, into docs/experiments.md
	for name in influence recall regularisation equal-time pictures; do \
	    $(bin)/charrnn experiment $$name --write docs/experiments.md || exit; done

schema: $(VENV)/.product ## write the JSON schema of settings, for editors
	$(bin)/python -c 'import json; from charrnn.training.settings import json_schema; \
	    print(json.dumps(json_schema(), indent=1, ensure_ascii=False))' > configs/settings.schema.json

reference: $(VENV)/.product ## write the reference of commands and of the Python interface, into docs/
	$(bin)/python docs/reference.py

pictures: $(VENV)/.product ## make the pictures of README.md anew, from a trained run (RUN=runs/tinyshakespeare; needs Chromium)
	$(bin)/python docs/pictures.py $(or $(RUN),runs/tinyshakespeare)

docs: $(VENV)/.docs ## build the documentation as a site that needs no network, site/index.html (installs Sphinx)
	$(bin)/sphinx-build --fail-on-warning --keep-going --quiet --write-all --fresh-env -c docs -d build/doctrees . site
	@echo "The front page is site/index.html"

format: $(VENV)/.dev ## format the code, and mend what the linter can mend
	$(bin)/ruff format .
	$(bin)/ruff check --fix .

# The archives are of the last commit and bear its time, so that anyone can make the same from it.
dist: $(VENV)/.release ## build wheel and sdist of the last commit into dist/, twice, and compare their bits
	rm -rf build dist
	for place in build/first build/second; do \
	    mkdir -p $$place && git archive HEAD | tar -x -C $$place && \
	    SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) \
	        $(bin)/python -m build --no-isolation --outdir $$place/dist $$place || exit; done
	diff -r build/first/dist build/second/dist
	mv build/first/dist dist
	sha256sum dist/*

sbom: dist ## write what the wheel depends on into build/sbom.cdx.json (CycloneDX)
	$(PYTHON) -m venv --clear --without-pip build/environment
	$(bin)/python -m pip --python build/environment/bin/python install --quiet dist/*.whl
	sed "s/^dynamic = .*/version = \"$$(basename dist/*.whl | cut -d- -f2)\"/" pyproject.toml > build/pyproject.toml
	$(bin)/cyclonedx-py environment --pyproject build/pyproject.toml --mc-type application --output-reproducible \
	    --output-file build/sbom.cdx.json build/environment

clean: ## remove .venv, caches, builds and the extracted corpus; trained models in runs/ stay
	rm -rf $(VENV) build dist site .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -f data/pydoc-topics.txt
	find charrnn data docs fuzz tests -type d -name __pycache__ -prune -exec rm -rf {} +

# Corpora

data/pydoc-topics.txt: data/extract_pydoc_topics.py $(VENV)/.product
	@$(bin)/python data/extract_pydoc_topics.py $@

tinyshakespeare_url := https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt
tinyshakespeare_sha256 := 86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed

data/tinyshakespeare.txt: ## download tiny Shakespeare, 1.1 million characters
	@$(require_python)
	@$(PYTHON) data/download.py $(tinyshakespeare_url) $(tinyshakespeare_sha256) $@

# The environment, a stamp for each thing that it holds

# Any Python, however old, must be able to read these lines as far as its own error.
define require_python
command -v $(PYTHON) >/dev/null || { \
    echo "error: $(PYTHON) not found; install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2; \
    exit 1; }; \
$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("error: $(PYTHON) is Python " \
    + sys.version.split()[0] + "; charrnn needs 3.11 or newer: make PYTHON=/path/to/python3")'
endef

$(VENV)/.product: pyproject.toml constraints.txt
	@$(require_python)
	@$(PYTHON) -c 'import sys, importlib.util as i; i.find_spec("ensurepip") or sys.exit("error: \
	$(PYTHON) cannot make environments; on Debian and Ubuntu: apt install python3-venv")'
	@echo "Installing charrnn into $(VENV), once ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(install) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.product
	@echo "Installing the tools for tests and checks into $(VENV), once ..."
	@$(install) --editable '.[dev]'
	@touch $@

$(VENV)/.docs: $(VENV)/.product
	@echo "Installing Sphinx into $(VENV), once ..."
	@$(install) --editable '.[docs]'
	@touch $@

$(VENV)/.mpi: $(VENV)/.dev
	@echo "Installing mpi4py and MPICH into $(VENV), once ..."
	@$(install) --editable '.[mpi]' mpich
	@touch $@

$(VENV)/.tensorboard: $(VENV)/.dev
	@echo "Installing TensorBoard into $(VENV), once ..."
	@$(install) --editable '.[tensorboard]'
	@touch $@

$(VENV)/.dask: $(VENV)/.dev
	@echo "Installing dask.distributed into $(VENV), once ..."
	@$(install) --editable '.[dask]'
	@touch $@

$(VENV)/.torch: $(VENV)/.dev
	@echo "Installing PyTorch into $(VENV), once ..."
	@$(install) torch
	@touch $@

$(VENV)/.release: $(VENV)/.product
	@echo "Installing the tools of a release into $(VENV), once ..."
	@$(install) build cyclonedx-bom hatchling
	@touch $@

$(VENV)/.bench: $(VENV)/.product
	@echo "Installing the benchmark's peers into $(VENV), once ..."
	@$(install) --editable '.[bench]'
	@touch $@
