"""The model card of an exported model: what it is, how good it is, and how it was made, from its run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
import yaml

from lit_textclf.classifier.checkpoint import CheckpointInfo
from lit_textclf.utils.run_folder import read_run_file
from lit_textclf.version import __version__

SETTINGS = (
    "model.model_name_or_path", "model.learning_rate", "model.weight_decay", "model.warmup_ratio", "model.lr_scheduler",
    "model.class_weights", "model.label_smoothing", "model.lora", "model.freeze", "model.layerwise_lr_decay",
    "data.batch_size", "data.max_length", "data.long_text",
    "trainer.max_epochs", "trainer.precision", "seed_everything",
)  # fmt: skip


def model_card(stored: CheckpointInfo, name: str, *, form: str = "hf", quantized: str | None = None) -> str:
    """A model card in the Hub's form (https://huggingface.co/docs/hub/model-cards): YAML between lines, then Markdown.

    Settings and metrics are those of the run's folder, where the checkpoint still lies in it.

    Args:
        stored: the checkpoint.
        name: the model's name.
        form: `hf`, what transformers loads, or `onnx`.
        quantized: what the weights were rounded to, or None.
    """
    config, metrics = read_run_file(stored.path, "config.yaml"), read_run_file(stored.path, "metrics.json")
    values = {key: value for key, value in metrics.items() if key.startswith(("val_", "test_")) and value is not None}
    target = stored.target
    head = {
        "library_name": "transformers" if form == "hf" else "onnxruntime",
        "pipeline_tag": "text-classification",
        "tags": ["lit_textclf", "text-classification"],
        "model-index": [{"name": name, "results": [_result(values)]}] if values else None,
    }
    parts = [
        f"---\n{yaml.safe_dump({key: value for key, value in head.items() if value}, sort_keys=False)}---",
        f"# {name}",
        f"Gives each text{' pair' if stored.data.get('text_pair_column') else ''} {target.label_task.predicts}"
        + (f" out of {len(target.labels)}" if target.labels else "")
        + f"; fine-tuned with lit_textclf {__version__}.",
        _use(stored) if form == "hf" else _ONNX_USE,
    ]
    if target.labels:
        listed = "\n".join(f"{number}. `{label}`" for number, label in enumerate(target.labels))
        parts.append(f"## Labels\n\n{listed}")
    if values:
        rows = "\n".join(f"| {key} | {value:.4f} |" for key, value in values.items())
        parts.append(
            f"## Metrics\n\nOf the run's best epoch, on rows it was not trained on.\n\n| | |\n|---|---|\n{rows}"
        )
    if settings := _settings(config):
        rows = "\n".join(f"| `{key}` | {value} |" for key, value in settings.items())
        parts.append(f"## Training\n\n| option | value |\n|---|---|\n{rows}")
    parts.append(_limits(stored, form, quantized))
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, lit_textclf {__version__}"
    parts.append(f"## Versions\n\n{versions}")
    return "\n\n".join(parts) + "\n"


def _result(values: dict[str, float]) -> dict[str, Any]:
    return {
        "task": {"type": "text-classification"},
        "dataset": {"type": "own", "name": "the training run's validation rows"},
        "metrics": [{"type": key.partition("_")[2], "name": key, "value": value} for key, value in values.items()],
    }


def _use(stored: CheckpointInfo) -> str:
    given = '{"text": "one text", "text_pair": "another"}' if stored.data.get("text_pair_column") else '"a text"'
    every = ", top_k=None" if stored.target.has_label_sets else ""
    return (
        "## Use\n\n```python\nfrom transformers import pipeline\n\n"
        f'classify = pipeline("text-classification", model="."{every})\nclassify({given}, truncation=True)\n```'
    )


_ONNX_USE = """## Use

```sh
lit-textclf predict --engine onnx --model_dir . --data.predict_file texts.csv
```

```python
import onnxruntime
from transformers import AutoTokenizer

tokenizer, session = AutoTokenizer.from_pretrained("."), onnxruntime.InferenceSession("model.onnx")
inputs = tokenizer(["a text", "another"], padding=True, truncation=True, return_tensors="np")
logits = session.run(["logits"], {given.name: inputs[given.name] for given in session.get_inputs()})[0]
```"""


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """The run's settings that shape a model; of files the names alone."""
    found: dict[str, Any] = {}
    for key in SETTINGS:
        value: Any = config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            found[key] = Path(value).name if key == "model.model_name_or_path" and Path(value).is_absolute() else value
    data = config.get("data", {})
    for key in ("train_file", "validation_file", "dataset_name"):
        if isinstance(data, dict) and (value := data.get(key)):
            names = [Path(name).name for name in ([value] if isinstance(value, str) else value)]
            found[f"data.{key}"] = value if key == "dataset_name" else ", ".join(names)
    return found


def _limits(stored: CheckpointInfo, form: str, quantized: str | None) -> str:
    data, target = stored.data, stored.target
    lines = [
        f"- A text beyond {data.get('max_length', 256)} tokens is cut off; give `truncation=True`.",
        "- It knows texts like those it was trained on; of others it may be wrong and sure of it.",
    ]
    temperature = stored.calibration.temperature
    if temperature != 1:
        lines.append(
            f"- Probabilities are calibrated on validation rows (temperature {temperature:.3g}, in the weights)."
        )
    if quantized is not None:
        lines.append(f"- Weights are rounded to {quantized}: probabilities differ in the second or third digit.")
    if data.get("long_text", "truncate") != "truncate" and form == "hf":
        lines.append(
            f"- It was trained with `data.long_text: {data['long_text']}`, which this form does not carry: longer "
            "texts get other predictions than from `lit-textclf predict`."
        )
    if target.has_label_sets:
        lines.append("- A label belongs to a text from a probability of 0.5 on.")
    if not target.has_probabilities:
        lines.append("- `score` is the number itself, not a probability.")
    return "## Limits\n\n" + "\n".join(lines)
