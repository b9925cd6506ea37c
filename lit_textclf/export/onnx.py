"""A checkpoint as an ONNX model, in float32 or with int8 weights, checked against torch before anyone uses it."""

from __future__ import annotations

import copy
import importlib.util
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from lit_textclf.classifier.inference.stored import CheckpointInfo
from lit_textclf.classifier.module import TextClassifier
from lit_textclf.data.datamodule import TextDataModule
from lit_textclf.export.exporter import Exporter
from lit_textclf.export.onnx_model import OnnxModel, megabytes, quiet, write_carried
from lit_textclf.export.onnx_runtime import MODEL, import_onnxruntime
from lit_textclf.export.quantize import put_int8_in_place
from lit_textclf.models.adapters import merged
from lit_textclf.models.last_layer import read_first_token_only, shortcut
from lit_textclf.models.layers import fold_temperature
from lit_textclf.utils.messages import UserError, note

OPSETS = (23, 20)
"""Tried in this order: 23 has an operator for attention, which is faster; ONNX Runtime 1.32 refuses ModernBERT's."""
CLOSE = 1e-4
"""The largest difference of logits between torch and ONNX Runtime in float32 that is accepted."""


class _Logits(nn.Module):
    """A transformers model that takes its inputs one by one, in the tokenizer's order, and gives logits alone."""

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.model, self.names, self.shortcut = model, names, shortcut(model)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Int64 `(batch, tokens)` each, to float32 `(batch, outputs)`."""
        named = dict(zip(self.names, inputs, strict=True))
        return self.model(**named, **self.shortcut).logits  # type: ignore[no-any-return]


_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_USAGE = """```sh
lit-textclf predict --engine onnx --model_dir . --data.predict_file texts.csv
```

```python
import onnxruntime
from transformers import AutoTokenizer

tokenizer, session = AutoTokenizer.from_pretrained("."), onnxruntime.InferenceSession("model.onnx")
inputs = tokenizer(["a text", "another"], padding=True, truncation=True, return_tensors="np")
logits = session.run(["logits"], {each.name: inputs[each.name] for each in session.get_inputs()})[0]
```"""


class OnnxExporter(Exporter):
    """A folder for ONNX Runtime, and for `--engine onnx` here, with any batch size and length."""

    help = "for onnxruntime, and for --engine onnx here"
    library = "onnxruntime"
    carries_long_text = True
    quantizations = ("int8",)

    def write(self, stored: CheckpointInfo, folder: Path) -> CheckpointInfo:
        """Writes the model, configuration, tokenizer, and what a checkpoint carries.

        The last layer is computed only for the token that the classifier reads, as in training. The weights are in
        `model.onnx.data`, which ONNX Runtime maps into memory: it loads MiniLM-L6 in 0.15 s and 56 MB; from one file
        of both, it takes 0.3 s and 140 MB.

        Raises:
            UserError: if a package is missing, torch cannot export the model, or ONNX Runtime's logits differ.
        """
        import_onnxruntime()
        if missing := [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]:
            raise UserError(f"{missing[0]} is not installed; pip install 'lit-textclf[onnx]'")
        classifier = TextClassifier.load_from_checkpoint(stored.path, map_location="cpu", fast_kernels=False).eval()
        model = copy.deepcopy(merged(classifier.model))
        temperature = fold_temperature(model, stored.target.num_outputs, stored.calibration.temperature)
        stored = replace(stored, calibration=replace(stored.calibration, temperature=temperature))
        read_first_token_only(model)
        tokenizer = classifier.tokenizer
        longest = stored.max_length
        names = [name for name in tokenizer.model_input_names if name in _INPUTS]
        problems = []
        for opset in OPSETS:
            try:
                _export(_Logits(model, names).eval(), names, longest, folder / MODEL, opset)
                made = OnnxModel(folder / MODEL, folded=stored.calibration)
                difference = largest_difference(classifier, made, longest)
            except Exception as error:  # of torch, onnx and onnxruntime, which have no common type
                # The last line: torch's first one is the same for all errors.
                reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
                problems.append(f"opset {opset}: {reason:.150}")
                continue
            if difference < stored.target.tolerance(CLOSE):
                break
            problems.append(f"opset {opset}: logits differ by {difference:.2g}")
        else:
            reasons = "; ".join(problems)
            raise UserError(f"{type(model).__name__}: cannot be exported to ONNX ({reasons}); use --format hf")
        model.config.save_pretrained(folder)
        tokenizer.model_max_length = longest
        tokenizer.save_pretrained(folder)
        write_carried(stored, folder)
        note(
            f"export: ONNX of opset {opset}, {megabytes(folder)}; in onnxruntime the logits differ from torch's by "
            f"at most {difference:.1g}"
        )
        return stored

    def quantize(self, stored: CheckpointInfo, folder: Path, data: TextDataModule, max_drop: float) -> None:
        """Rounds the weights to int8, see :func:`put_int8_in_place`."""
        put_int8_in_place(stored, folder, data, max_drop)

    def usage(self, stored: CheckpointInfo) -> str:
        """Our own command, and a session of ONNX Runtime."""
        return _USAGE

    def report(self, stored: CheckpointInfo, output: Path) -> list[str]:
        """Our own command."""
        return [f"next: lit-textclf predict --engine onnx --model_dir {output} --data.predict_file FILE"]


def _export(module: _Logits, names: list[str], longest: int, path: Path, opset: int) -> None:
    """`torch.onnx.export` by way of torch.export, without its progress on standard output."""
    tokens = torch.arange(2 * 9).reshape(2, 9) % 3 + 1
    mask = torch.ones_like(tokens)
    inputs = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": torch.zeros_like(tokens)}
    batch, length = torch.export.Dim("batch"), torch.export.Dim("tokens", max=max(longest, 10))
    with quiet():
        torch.onnx.export(
            module, tuple(inputs[name] for name in names), path,
            input_names=names, output_names=["logits"], opset_version=opset, dynamo=True, verbose=False,
            dynamic_shapes=(tuple({0: batch, 1: length} for _ in names),), external_data=True,
        )  # fmt: skip


@torch.inference_mode()
def largest_difference(classifier: TextClassifier, other: nn.Module, longest: int) -> float:
    """The largest difference of logits at several batch sizes and lengths, with and without padding.

    The classifier is in evaluation mode; the other model is called as the classifier's is; `longest` is in tokens.
    """
    generator = torch.Generator().manual_seed(0)
    size, pad = len(classifier.tokenizer), classifier.tokenizer.pad_token_id
    worst = 0.0
    for rows, tokens in ((1, 1), (1, min(7, longest)), (7, min(33, longest)), (2, longest)):
        ids = torch.randint(size, (rows, tokens), generator=generator)
        # A padding token would not be read, because of RoBERTa's positions.
        ids[ids == pad] = (int(pad or 0) + 1) % size
        mask = torch.ones_like(ids)
        if rows > 1:
            mask[0, (tokens + 1) // 2 :] = 0
            ids[0, (tokens + 1) // 2 :] = pad
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
        inputs = {name: inputs[name] for name in classifier.tokenizer.model_input_names if name in inputs}
        worst = max(worst, float((classifier(**inputs) - other(**inputs).logits).abs().max()))
    return worst
