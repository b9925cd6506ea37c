"""The model card of an exported model: what it is, how good it is, and how it was trained, from its run's folder."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

import torch
import transformers

from lit_textclf.classifier.inference.stored import CheckpointInfo
from lit_textclf.export.exporter import Exporter
from lit_textclf.utils.messages import UserError, clean
from lit_textclf.utils.run_folder import options_of_run, read_metrics, run_of
from lit_textclf.version import __version__

TEMPLATE = Path(__file__).with_name("model_card.md.jinja")
SETTINGS = (
    "model.model_name_or_path", "model.learning_rate", "model.weight_decay", "model.warmup_ratio", "model.lr_scheduler",
    "model.class_weights", "model.label_smoothing", "model.lora", "model.freeze", "model.layerwise_lr_decay",
    "data.batch_size", "data.max_length", "data.long_text",
    "trainer.max_epochs", "trainer.precision", "seed_everything",
)  # fmt: skip


def model_card(stored: CheckpointInfo, name: str, exporter: Exporter, quantized: str | None = None) -> str:
    """A model card in the Hub's format (https://huggingface.co/docs/hub/model-cards).

    Settings and metrics come from the run's folder, if the checkpoint is still in it. `quantized` is what the weights
    were rounded to.
    """
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    metrics: dict[str, float] = {}
    with contextlib.suppress(UserError):  # a card can do without
        found = read_metrics(run_of(stored.path)).items()
        metrics = {key: value for key, value in found if key.startswith(("val_", "test_")) and not math.isnan(value)}
    task = "text-classification"
    results = [
        EvalResult(task, "own", "the training run's validation rows", key.partition("_")[2], value, metric_name=key)
        for key, value in metrics.items()
    ]
    data = ModelCardData(
        library_name=exporter.library,
        pipeline_tag=task,
        tags=["lit_textclf", task],
        model_name=name if results else None,
        eval_results=results or None,
    )
    long_text, pooling = stored.data.get("long_text", "truncate"), stored.model.get("pooling", "own")
    card = ModelCard.from_template(
        data,
        str(TEMPLATE),
        name=name,
        pair=stored.data.get("text_pair_column"),
        target=stored.target,
        clean=clean,
        usage=exporter.usage(stored),
        metrics=metrics,
        settings=_settings(options_of_run(stored.path)),
        max_length=stored.max_length,
        temperature=stored.calibration.temperature,
        quantized=quantized,
        fixed_pooling=pooling if exporter.carries_pooling_as_weights and pooling != "own" else None,
        long_text=None if exporter.carries_long_text or long_text == "truncate" else long_text,
        version=__version__,
        torch=torch.__version__,
        transformers=transformers.__version__,
    )
    return f"{str(card).rstrip()}\n"


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """The run's settings that shape a model, and the names of its files."""
    found = {key: config[key] for key in SETTINGS if config.get(key) is not None}
    model = "model.model_name_or_path"
    if model in found and Path(found[model]).is_absolute():
        found[model] = Path(found[model]).name
    for key in ("data.train_file", "data.validation_file"):
        if files := config.get(key):
            found[key] = ", ".join(Path(file).name for file in ([files] if isinstance(files, str) else files))
    if config.get("data.dataset_name"):
        found["data.dataset_name"] = config["data.dataset_name"]
    return found
