# Needs make and Python 3.11, 3.12 or 3.13 (what TensorFlow 2.21 has wheels for) with venv and pip; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help demo test soak bench lint format docs postgres lock chart policies image clean

help:  ## Show the targets
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(INSTALLED)  ## Tune a small network with two workers, in demo/
	rm -rf demo
	mkdir demo
	cd demo && ../$(BIN)/tuner run ../studies/digits_mlp.py --workers 2
	cd demo && ../$(BIN)/tuner export digits-mlp --model demo-output --studies ../studies

# The attacks have the machine for themselves: what they time is how soon a lost trial goes on.
test: $(INSTALLED) $(BIN)/helm  ## Run the tests
	$(BIN)/pytest --numprocesses 2 --dist loadfile --ignore tests/faults --durations 40 --durations-min 4
	$(BIN)/pytest tests/faults

soak: $(INSTALLED)  ## Run the tests that take long: storms of faults, reference tasks, JAX (an hour)
	$(BIN)/pytest -m soak

# Over three hours on two cores; ROUNDS=1 measures once, in a third of it. Each table is written once it is measured.
bench: $(INSTALLED)  ## Measure this service and its peers side by side, and write docs/performance.md
	$(BIN)/python -m benchmarks.storage_cost --rounds $(or $(ROUNDS),3)
	$(BIN)/python -m benchmarks.trial_throughput --rounds $(or $(ROUNDS),3)
	$(BIN)/python -m benchmarks.cross_validation --rounds $(or $(ROUNDS),3)
	$(BIN)/python -m benchmarks.time_to_value --rounds $(or $(ROUNDS),3)

postgres: $(INSTALLED)  ## Start an empty PostgreSQL to try things with, until Ctrl-C
	@$(BIN)/python -m tests.servers

lint: $(INSTALLED)  ## Check style, types and the layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED)  ## Format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(INSTALLED)  ## Build the documentation site, in site/html
	$(BIN)/python -m docs.site

chart: $(BIN)/helm  ## Write deploy/install.yaml from the Helm chart
	$(BIN)/python -m tests.helm render

policies: $(BIN)/helm  ## Hold images, chart and Jobs against the rules of checkov and hadolint (a minute to install)
	rm -rf .venv/policies && mkdir .venv/policies
	$(PYTHON) -m venv .venv/policies/checkov
	.venv/policies/checkov/bin/python -m pip install --disable-pip-version-check --quiet checkov==3.3.30
	mkdir .venv/policies/files && cp Dockerfile .venv/policies/files
	$(BIN)/helm template tuner deploy/helm/tuner --namespace tuner --set postgresql.enabled=true,coordinator.replicas=2,serve.replicas=2 \
		>.venv/policies/files/chart.yaml
	$(BIN)/tuner render study --in-image /studies --image worker:1 --gpus 1 --namespace tuner >.venv/policies/files/jobs.yaml
	.venv/policies/checkov/bin/checkov --config-file deploy/checkov.yaml --directory .venv/policies/files
	$(BIN)/hadolint Dockerfile

CHECK_IMAGE = deploy/image/check.sh
image:  ## Build both images and try them, with podman or docker; FLAVOUR=cpu, gpu or jax
	@engine=$${ENGINE:-$$(command -v podman || command -v docker)} && test -n "$$engine" \
		|| { echo "make image needs podman or docker, and found neither on the PATH; name one with ENGINE=" >&2; exit 2; } \
		&& ENGINE=$${engine##*/} $(CHECK_IMAGE)

$(BIN)/helm: $(INSTALLED)
	@test -x $@ || $(BIN)/python -m tests.helm

COMPILE = $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(UPGRADE) --quiet
# What is in an image has the versions that the tests have.
COMPILE_IMAGE = $(COMPILE) --constraints requirements.lock --extra gcs --extra s3

lock:  ## Work out requirements.lock and those of the images from pyproject.toml; UPGRADE=--upgrade takes newer versions
	@test -x $(BIN)/uv || { $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet uv; }
	$(COMPILE) --extra dev --output-file requirements.lock
	$(COMPILE_IMAGE) --extra serve --extra k8s --excludes deploy/image/no-training.txt -o deploy/image/coordinator.lock
	$(COMPILE_IMAGE) --excludes deploy/image/no-tensorflow.txt deploy/image/cpu.txt -o deploy/image/worker-cpu.lock
	$(COMPILE_IMAGE) --extra gpu -o deploy/image/worker-gpu.lock
	$(COMPILE_IMAGE) --excludes deploy/image/no-tensorflow.txt deploy/image/jax.txt -o deploy/image/worker-jax.lock

clean:  ## Remove what the other targets made
	rm -rf .venv .cache demo dist site .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find tuner_service tests studies -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; print("Python", sys.version.split()[0], "at", sys.executable)' \
		|| { echo "No Python found as '$(PYTHON)'; name one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "Python 3.11, 3.12 or 3.13 is needed; name one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@
