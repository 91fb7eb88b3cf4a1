# Two doors: `make figures` runs a profile end to end, `make test` runs the tests but the rare faults.
# Others: `make plan` says what a profile would do and cost (GPUS=4 PRICE=1.5: how long on so many), `make mirror`
# brings what it reads from the hub (LIST=1 lists it, FROM=<folder> reads what was downloaded), `make check` verifies
# what it made; `make report` binds the analyses into one page; `make test-lab` runs every notebook in a real
# JupyterLab (needs Chromium and playwright); `make lab`, `make lint`. Settings: PROFILE=world, DATA_ROOT=<mirror of the hub>, CORES=all,
# EXECUTOR=slurm with JOBS=100 and SNAKEMAKE_ARGUMENTS=<what the site needs>, MIRROR=data/mirror, TERAFLOPS=<sustained throughput that a plan assumes>.
# `make bench` times this against what one would run instead, on a CPU and real text (DATA_ROOT).
# `make bench-gpu` does so on a GPU, on random weights and tokens: no network and no data needed.

PROFILE ?= world
CORES ?= all
EXECUTOR ?= local
JOBS ?= 100
MIRROR ?= data/mirror
PYTHON ?= python3.11
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder
export DATA_ROOT
export TOKENIZERS_PARALLELISM = false

.PHONY: figures test test-faults test-gpu test-lab report plan check mirror bench bench-gpu lab lint clean

figures: .venv/installed
	@$(BIN)/python -m lib.workflow "$(PROFILE)" --cores $(CORES) --executor $(EXECUTOR) --jobs $(JOBS) \
		$(SNAKEMAKE_ARGUMENTS)

test: .venv/installed
	@$(PYTEST)

# Every test, and every fault as often as the README says: about 45 minutes; its log is tests/faults.csv.
test-faults: .venv/installed
	@rm -f .faults.csv
	@FAULTS=20 FAULTS_LOG=$(CURDIR)/.faults.csv $(PYTEST) -rs
	@mv .faults.csv tests/faults.csv && $(BIN)/python tests/faults_table.py --write

# What a GPU computes, against a processor: on a machine that has one.
test-gpu: .venv/installed
	@TEST_GPU=1 $(BIN)/python -m pytest tests/test_gpu.py -q -rs

# Every notebook in a real JupyterLab in headless Chromium: some minutes; says what it needs.
test-lab: .venv/installed
	@$(BIN)/python -m pytest tests/browser/jupyterlab.py -q -rs -s

# One page of HTML with every analysis and the provenance of every number: results/<profile>/.
report: .venv/installed
	@$(BIN)/python -m lib.report "$(PROFILE)"

plan: .venv/installed
	@$(BIN)/python -m lib.plan "$(PROFILE)" $(if $(TERAFLOPS),--teraflops $(TERAFLOPS)) $(if $(GPUS),--devices $(GPUS)) $(if $(PRICE),--price $(PRICE))

# Every cell there and whole, scores as their predictions give them: a line per problem, then exit code 1.
check: .venv/installed
	@$(BIN)/python -m lib.verification "$(PROFILE)"

mirror: .venv/installed
	@$(BIN)/python -m lib.hub_mirror "$(PROFILE)" --folder "$(MIRROR)" $(if $(LIST),--list) $(if $(FROM),--downloads "$(FROM)")

bench: .venv/installed
	@$(BIN)/python -m lib.benchmark

bench-gpu: .venv/installed
	@$(BIN)/python -m lib.benchmark --gpu

# Root, as in a container, needs to say so.
lab: .venv/installed
	@$(BIN)/jupyter lab --notebook-dir=notebooks $(if $(filter 0,$(shell id -u)),--allow-root)

lint: .venv/installed
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

# A half-made environment has no `installed`, and is made again.
.venv/installed: requirements.txt constraints.txt pyproject.toml
	@echo "installing the pinned packages into .venv (once, a few minutes) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --requirement requirements.txt --constraint constraints.txt
	@$(BIN)/pip install --quiet --no-deps --editable .
	@touch $@

clean:
	rm -rf .venv data/world .snakemake # results/ may hold days of work: delete it yourself
