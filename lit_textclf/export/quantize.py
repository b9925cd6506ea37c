"""An ONNX model with int8 weights, and what they cost."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lit_textclf.classifier.inference.stored import CheckpointInfo
from lit_textclf.classifier.metrics.table import quality_of
from lit_textclf.classifier.module import TextClassifier
from lit_textclf.classifier.tasks.table import rules_of
from lit_textclf.data.datamodule import TextDataModule
from lit_textclf.export.onnx_model import OnnxModel, megabytes, quiet
from lit_textclf.export.onnx_runtime import MODEL
from lit_textclf.utils.messages import UserError, note, plural


def quantize_int8(path: Path, made: Path, *, narrowing: bool) -> None:
    """Writes a model with int8 weights, a scale for each output channel; the last layer stays as it is.

    Activations are quantized while they are computed, with one scale for each batch (onnxruntime's dynamic
    quantization). Those between the two products of a feed-forward layer have the widest range, and most of the error
    comes from there.

    Args:
        path: the float32 model.
        made: the file to write.
        narrowing: whether products that have fewer outputs than inputs, the second ones of feed-forward layers, are
            quantized too.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(path)
    graph = model.graph
    graph.ClearField("value_info")  # torch 2.10 states shapes of weights before it transposed them; they are inferred
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    kept = [node.name for node in graph.node if "logits" in node.output]
    if not narrowing:
        kept += [node.name for node in graph.node if _narrows(node, shapes)]
    with quiet():
        quantize_dynamic(
            model,
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


def put_int8_in_place(stored: CheckpointInfo, folder: Path, data: TextDataModule, most: float) -> None:
    """Quantizes a folder's model as far as the validation rows allow.

    All products first; if that costs too much, all except those of :func:`quantize_int8`'s `narrowing`.

    Raises:
        UserError: if both cost more than `most` of :func:`quality_of`'s metric.
    """
    data.use_checkpoint(stored.target, stored.trained_on)
    classifier = TextClassifier(**stored.model, **stored.carried())
    data.prepare("validate", classifier)
    path, metric, folded = folder / MODEL, quality_of(stored.target.task), classifier.calibration
    exact = _measured(classifier, OnnxModel(path, folded=folded), data)
    rows = plural(len(exact["logits"]), "validation row")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        made = Path(name) / MODEL
        for narrowing in (True, False):
            quantize_int8(path, made, narrowing=narrowing)
            rounded = _measured(classifier, OnnxModel(made, folded=folded), data)
            of_labels = ""
            if stored.target.has_probabilities:
                before, after = (_decided(classifier, measured["logits"]) for measured in (exact, rounded))
                changed = int((before != after).reshape(len(before), -1).any(1).sum())
                what = "label set" if stored.target.has_label_sets else "label"
                of_labels = f", {plural(changed, what)} changed"
            drop = exact[metric] - rounded[metric]
            note(
                f"export: int8{'' if narrowing else ' except for feed-forward outputs'}, {megabytes(made.parent)}; "
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


def _decided(classifier: TextClassifier, logits: Tensor) -> Tensor:
    """The labels or label sets of raw logits, as `predict` decides them."""
    assert classifier.target is not None
    return rules_of(classifier.target).decide(classifier.target, classifier.calibration.apply(logits))


@torch.inference_mode()
def _measured(classifier: TextClassifier, model: nn.Module, data: TextDataModule) -> dict[str, Any]:
    """The validation metrics of a classifier with this model, and its `logits`, float32 `(rows, outputs)`."""
    classifier.attach(model)
    found = []
    for batch in data.val_dataloader():
        logits = classifier.logits_of(batch)
        classifier.measure("val", logits, batch["target"])
        found.append(logits)
    return {**classifier.stage_metrics("val").compute(alone=True), "logits": torch.cat(found)}
