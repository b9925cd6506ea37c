"""A checkpoint as a folder that transformers loads without this package."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor

from lit_textclf.classifier.inference.calibration import Calibration
from lit_textclf.classifier.inference.stored import CheckpointInfo
from lit_textclf.classifier.module import TextClassifier
from lit_textclf.export.exporter import Exporter
from lit_textclf.models.adapters import merged
from lit_textclf.models.layers import fold_scale, fold_temperature
from lit_textclf.models.pooling import as_plain_transformers
from lit_textclf.utils.messages import UserError, first_line, note

SAMPLES = ("A short text.", "a somewhat longer one, with words that no training has seen: 42 -- qwx", "!")
"""Texts to compare the folder with the checkpoint on."""


class HuggingFaceExporter(Exporter):
    """A folder for transformers' `AutoModel`, `AutoTokenizer` and `pipeline`."""

    help = "for transformers' AutoModel, AutoTokenizer and pipeline"
    library = "transformers"
    carries_pooling_as_weights = True

    def write(self, stored: CheckpointInfo, folder: Path) -> CheckpointInfo:
        """Writes model and tokenizer, loads them as transformers does, and compares the logits.

        Raises:
            UserError: if the logits differ from the checkpoint's.
        """
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        # With transformers' own modules: our faster ones are not part of the weights.
        classifier = TextClassifier.load_from_checkpoint(stored.path, map_location="cpu", fast_kernels=False)
        classifier.eval()
        plain = merged(classifier.model)
        model = copy.deepcopy(plain)
        fold_scale(model, stored.target.num_outputs)
        folded = Calibration(fold_temperature(model, stored.target.num_outputs, stored.calibration.temperature))
        model = as_plain_transformers(model)
        longest = stored.max_length
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
        # Weights with LoRA's products added are rounded once more, in every layer; the mean is, in a layer of its own.
        is_same = plain is classifier.model and classifier.build_options.pooling == "own"
        tolerance = stored.target.tolerance(1e-5 if is_same else 1e-4)
        if not difference < tolerance:
            raise UserError(
                f"{folder}: the exported model's logits differ from {stored.path} by {difference:.2g} (tolerance "
                f"{tolerance:g})"
            )
        note(f"export: {type(loaded).__name__} loads in transformers; largest difference of logits {difference:.1g}")
        return stored

    def usage(self, stored: CheckpointInfo) -> str:
        """A call of the pipeline."""
        pair = stored.data.get("text_pair_column")
        text = '{"text": "one text", "text_pair": "another"}' if pair else '"a text"'
        every = ", top_k=None" if stored.target.has_label_sets else ""
        return (
            "```python\nfrom transformers import pipeline\n\n"
            f'classify = pipeline("text-classification", model="."{every})\nclassify({text}, truncation=True)\n```'
        )

    def report(self, stored: CheckpointInfo, output: Path) -> list[str]:
        """That long texts are cut off, and a call of the pipeline."""
        mode, notes = stored.data.get("long_text", "truncate"), []
        if mode != "truncate":
            notes.append(
                f"export: transformers' pipeline reads the first {stored.data.get('max_length')} tokens of a text; "
                f"data.long_text {mode} is not carried, so predictions for longer texts differ"
            )
        call = f"print(pipeline(model={str(output)!r})({SAMPLES[0]!r}))"
        return [*notes, f'next: python -c "from transformers import pipeline; {call}"']


def push_to_hub(folder: Path, name: str) -> None:
    """Uploads a folder to the Hub, to a repository that is created if necessary.

    Raises:
        UserError: if it cannot be uploaded.
    """
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        api.create_repo(name, exist_ok=True)
        url = api.upload_folder(repo_id=name, folder_path=folder)
    except Exception as error:
        reason = first_line(error)
        raise UserError(f"--push_to_hub {name}: {reason:.200}; {folder} is written and can be uploaded later") from None
    note(f"export: uploaded to {url}")
