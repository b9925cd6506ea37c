"""A checkpoint as a folder that transformers loads by itself."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor

from lit_textclf.classifier.calibration import Calibration
from lit_textclf.classifier.checkpoint import CheckpointInfo
from lit_textclf.classifier.module import TextClassifier
from lit_textclf.models.adapters import merged
from lit_textclf.models.layers import fold_temperature
from lit_textclf.utils.messages import UserError, note

SAMPLES = ("A short text.", "a somewhat longer one, with words that no training has seen: 42 -- qwx", "!")
"""Texts on which the folder is compared with the checkpoint before it is put in place."""


def write_hf(stored: CheckpointInfo, folder: Path) -> None:
    """Writes model and tokenizer into a folder, loads them as transformers does, and compares.

    Raises:
        UserError: if what was written does not give the checkpoint's logits.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    # With transformers' own modules: what is computed otherwise here is no part of the weights.
    classifier = TextClassifier.load_from_checkpoint(stored.path, map_location="cpu", fast_kernels=False)
    classifier.eval()
    plain = merged(classifier.model)
    model = copy.deepcopy(plain)
    folded = Calibration(fold_temperature(model, stored.target.num_outputs, stored.calibration.temperature))
    longest = int(stored.data.get("max_length", 256))
    tokenizer = classifier.tokenizer
    tokenizer.model_max_length = longest
    model.config.architectures = [type(model).__name__]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    loaded = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).eval()
    inputs = AutoTokenizer.from_pretrained(folder, local_files_only=True)(
        list(SAMPLES), padding=True, truncation=True, return_tensors="pt"
    )
    with torch.inference_mode():
        expected: Tensor = classifier(**inputs)
        found = folded.undo(loaded(**inputs).logits)
    difference = float((expected - found).abs().max())
    # Weights with LoRA's products added are rounded once more, in every layer.
    if not difference < (1e-5 if plain is classifier.model else 1e-4):
        raise UserError(f"{folder}: what was written gives other logits than {stored.path} (by {difference:.2g})")
    note(f"export: {type(loaded).__name__} loads in transformers; largest difference of logits {difference:.1g}")


def push_to_hub(folder: Path, name: str) -> None:
    """Uploads a folder to the Hub, whose repository is made if need be.

    Raises:
        UserError: if it cannot be uploaded.
    """
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        api.create_repo(name, exist_ok=True)
        url = api.upload_folder(repo_id=name, folder_path=folder)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"--push_to_hub {name}: {reason:.200}; {folder} is written and can be uploaded later") from None
    note(f"export: uploaded to {url}")
