"""A checkpoint as an ONNX model, in float32 or with int8 weights, checked against torch before anyone uses it."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lit_textclf.adapters import merged
from lit_textclf.architecture import fold_temperature
from lit_textclf.checkpoint import StoredRun
from lit_textclf.classifier import TextClassifier
from lit_textclf.data import TextDataModule
from lit_textclf.errors import UserError, count, say
from lit_textclf.first_token import read_first_token_only
from lit_textclf.onnx_model import MODEL, OnnxModel, import_onnxruntime, write_carried

OPSETS = (23, 20)
"""Tried in this order: 23 has an operator for attention, which is faster; ONNX Runtime 1.32 refuses ModernBERT's."""
CLOSE = 1e-4
"""The largest difference of logits between torch and ONNX Runtime in float32 that is not an error."""
MEASURED_BY = {"single_label": "val_accuracy", "multi_label": "val_f1_micro", "regression": "val_pearson"}
"""What int8 weights may cost."""
_ONE_FILE = 2**31 - 2**20  # protobuf's limit, below which weights stay in the model's own file


class _Logits(nn.Module):
    """A transformers model that takes its inputs one by one, in the tokenizer's order, and gives logits alone."""

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: Tensor) -> Tensor:
        """Int64 `(batch, tokens)` each, to float32 `(batch, outputs)`."""
        return self.model(**dict(zip(self.names, inputs, strict=True))).logits  # type: ignore[no-any-return]


def write_onnx(stored: StoredRun, folder: Path) -> StoredRun:
    """Writes `model.onnx` with any batch size and length, configuration, tokenizer, and what a checkpoint carries.

    The last layer is computed for the token that the classifier reads alone, as in training here.

    Returns:
        What the folder carries: the checkpoint's, but for a temperature that could not be put into the weights.

    Raises:
        UserError: if a package is missing, torch cannot export the model, or ONNX Runtime gives other logits.
    """
    import_onnxruntime()
    if _missing := [name for name in ("onnx", "onnxscript") if not _importable(name)]:
        raise UserError(f"{_missing[0]} is not installed; pip install 'lit-textclf[onnx]'")
    classifier = TextClassifier.load_from_checkpoint(stored.path, map_location="cpu", fast_kernels=False).eval()
    model = copy.deepcopy(merged(classifier.model))
    temperature = fold_temperature(model, stored)
    read_first_token_only(model)
    tokenizer = classifier.tokenizer
    longest = int(stored.data.get("max_length", 256))
    names = [name for name in tokenizer.model_input_names if name in ("input_ids", "attention_mask", "token_type_ids")]
    problems = []
    for opset in OPSETS:
        try:
            _export(_Logits(model, names).eval(), names, longest, folder / MODEL, opset)
            difference = largest_difference(classifier, OnnxModel(folder / MODEL, temperature=temperature), longest)
        except Exception as error:  # of torch, onnx and onnxruntime, which have no common type
            problems.append(f"opset {opset}: {(str(error).strip().splitlines() or [type(error).__name__])[-1]:.150}")
            continue
        if difference < CLOSE:
            break
        problems.append(f"opset {opset}: logits differ by {difference:.2g}")
    else:
        raise UserError(f"{type(model).__name__}: cannot be exported to ONNX ({'; '.join(problems)}); use --format hf")
    model.config.save_pretrained(folder)
    tokenizer.model_max_length = longest
    tokenizer.save_pretrained(folder)
    if stored.calibration is not None:
        stored = replace(stored, calibration={**stored.calibration, "temperature": temperature})
    write_carried(stored, folder)
    say(
        f"export: ONNX of opset {opset}, {_megabytes(folder)}; in onnxruntime the logits differ from torch's by "
        f"{difference:.1g} at the most"
    )
    return stored


def _importable(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None


def _export(module: _Logits, names: list[str], longest: int, path: Path, opset: int) -> None:
    """`torch.onnx.export` by way of torch.export, without its progress on standard output."""
    tokens = torch.arange(2 * 9).reshape(2, 9) % 3 + 1
    mask = torch.ones_like(tokens)
    inputs = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": torch.zeros_like(tokens)}
    batch, length = torch.export.Dim("batch"), torch.export.Dim("tokens", max=max(longest, 10))
    size = sum(parameter.nbytes for parameter in module.parameters())
    with _quiet():
        torch.onnx.export(
            module, tuple(inputs[name] for name in names), path,
            input_names=names, output_names=["logits"], opset_version=opset, dynamo=True, verbose=False,
            dynamic_shapes=(tuple({0: batch, 1: length} for _ in names),), external_data=size > _ONE_FILE,
        )  # fmt: skip


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter and the quantizer say of their own steps."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "root")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@torch.inference_mode()
def largest_difference(classifier: TextClassifier, other: nn.Module, longest: int) -> float:
    """The largest difference of logits at several batch sizes and lengths, with and without padding.

    Args:
        classifier: in evaluation mode.
        other: called as the classifier's model is.
        longest: the most tokens of a sequence.
    """
    generator = torch.Generator().manual_seed(0)
    size, pad = len(classifier.tokenizer), classifier.tokenizer.pad_token_id
    worst = 0.0
    for rows, tokens in ((1, 1), (1, min(7, longest)), (7, min(33, longest)), (2, longest)):
        ids = torch.randint(size, (rows, tokens), generator=generator)
        ids[ids == pad] = (int(pad or 0) + 1) % size  # a padding token is none to read, for RoBERTa's positions
        mask = torch.ones_like(ids)
        if rows > 1:
            mask[0, (tokens + 1) // 2 :] = 0
            ids[0, (tokens + 1) // 2 :] = pad
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
        inputs = {name: inputs[name] for name in classifier.tokenizer.model_input_names if name in inputs}
        worst = max(worst, float((classifier(**inputs) - other(**inputs).logits).abs().max()))
    return worst


def quantize_int8(path: Path, made: Path, *, narrowing: bool) -> None:
    """Writes a model with int8 weights, a scale for each output channel; the last layer stays as it is.

    Activations are quantized while they are computed, with one scale for a whole batch (onnxruntime's dynamic
    quantization). Those between the two products of a feed-forward layer have the widest range, and most of the error
    comes from there.

    Args:
        path: the float32 model.
        made: where the other one is to be.
        narrowing: whether products that have fewer outputs than inputs, the second ones of feed-forward layers, are
            quantized too.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(path, load_external_data=False).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    kept = [node.name for node in graph.node if "logits" in node.output]
    if not narrowing:
        kept += [node.name for node in graph.node if _narrows(node, shapes)]
    with _quiet():
        quantize_dynamic(
            path,
            made,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
            nodes_to_exclude=kept,
        )


def _narrows(node: Any, shapes: Mapping[str, list[int]]) -> bool:
    """Whether a node multiplies with a weight that has fewer outputs than inputs."""
    weight = next((shapes[name] for name in node.input if len(shapes.get(name, ())) == 2), None)
    if node.op_type not in ("MatMul", "Gemm") or weight is None:
        return False
    turned = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    inputs, outputs = reversed(weight) if turned else weight
    return inputs > outputs


def put_int8_in_place(stored: StoredRun, folder: Path, data: TextDataModule, most: float) -> None:
    """Quantizes a folder's model as far as the validation rows allow.

    All products first; if that costs too much, all but those of :func:`quantize_int8`'s `narrowing`.

    Args:
        stored: the checkpoint.
        folder: what :func:`write_onnx` has filled.
        data: gives the validation rows.
        most: the largest drop that is accepted, of :data:`MEASURED_BY`'s metric.

    Raises:
        UserError: if both cost more.
    """
    data.sets.target, data.sets.trained_on = stored.target, stored.trained_on
    classifier = TextClassifier(**stored.model, **stored.carried())
    data.prepare("validate", classifier)
    path, metric, warmth = folder / MODEL, MEASURED_BY[stored.target.task], classifier.calibration.temperature
    exact = _measured(classifier, OnnxModel(path, temperature=warmth), data)
    rows = count(len(exact["logits"]), "validation row")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        made = Path(name) / MODEL
        for narrowing in (True, False):
            quantize_int8(path, made, narrowing=narrowing)
            rounded = _measured(classifier, OnnxModel(made, temperature=warmth), data)
            of_labels = ""
            if stored.target.task == "single_label":
                changed = int((exact["logits"].argmax(-1) != rounded["logits"].argmax(-1)).sum())
                of_labels = f", {count(changed, 'label')} changed"
            drop = exact[metric] - rounded[metric]
            say(
                f"export: int8{'' if narrowing else ' but for feed-forward outputs'}, {_megabytes(made.parent)}; "
                f"{metric} {rounded[metric]:.4f} with it, {exact[metric]:.4f} without ({rows}{of_labels}; largest "
                f"difference of logits {(exact['logits'] - rounded['logits']).abs().max():.2g})"
            )
            if drop <= most:
                break
        else:
            raise UserError(
                f"--quantize int8 costs {drop:.4f} of {metric} on {rows}, more than --max_accuracy_drop {most}; "
                "raise it, or export without --quantize"
            )
        for old in folder.glob(f"{MODEL}*"):
            old.unlink()
        for new in made.parent.iterdir():
            shutil.move(new, folder / new.name)


def _megabytes(folder: Path) -> str:
    return f"{sum(path.stat().st_size for path in folder.glob(f'{MODEL}*')) / 1e6:.1f} MB"


@torch.inference_mode()
def _measured(classifier: TextClassifier, model: nn.Module, data: TextDataModule) -> dict[str, Any]:
    """The validation metrics of a model in the classifier's place, and its `logits`, float32 `(rows, outputs)`."""
    classifier.attach(model)
    found = []
    for batch in data.val_dataloader():
        logits = classifier.logits_of(batch)
        classifier.measure("val", logits, batch["target"])
        found.append(logits)
    return {**classifier.stage_metrics("val").compute(alone=True), "logits": torch.cat(found)}
