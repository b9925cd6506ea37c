"""The command `serve`: answers requests over HTTP."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from lit_textclf.cli.engine import Engine, add_engine_options
from lit_textclf.cli.parser import Parser
from lit_textclf.export.onnx_runtime import CPU, import_onnxruntime
from lit_textclf.serving.options import ServeOptions
from lit_textclf.serving.served_model import ServedModel
from lit_textclf.utils.messages import UserError
from lit_textclf.utils.paths import expand_path


def serve(args: Sequence[str]) -> tuple[dict[str, Any], list[Path]]:
    """Serves a model until SIGTERM or Ctrl-C; writes no files."""
    parser = _parser()
    options = parser.parse_args(list(args[1:]))
    if options.engine == "torch" and options.ckpt_path is None:
        raise UserError("serve needs --ckpt_path (a checkpoint, last or best), or --engine onnx with --model_dir")
    own = ServeOptions(**{field.name: options[field.name] for field in fields(ServeOptions)})
    for module, package in (("litserve", "litserve"), ("prometheus_client", "prometheus-client")):
        if importlib.util.find_spec(module) is None:
            raise UserError(f"{package} is not installed; pip install 'lit-textclf[serve]'")
    engine = Engine.from_options(options)
    served, accelerator = _of_checkpoint(options, own) if engine is None else (_of_folder(engine, options, own), "cpu")
    from lit_textclf.serving.server import TextServer  # here: LitServe is an extra

    TextServer(served, own, accelerator).serve()
    return {}, []


def _parser() -> Parser:
    parser = Parser(
        prog="lit-textclf serve",
        description="Answers POST /predict as classify does, in batches of the requests that wait; GET /health, /info "
        "and /metrics, and a page at / to try the model.",
    )
    parser.add_argument("--ckpt_path", type=str | None, default=None, help="a file, a run's folder, last or best")
    parser.add_argument("--trainer.default_root_dir", type=str, default=".", help="where to look for last and best")
    add_engine_options(parser)
    parser.add_class_arguments(ServeOptions)
    return parser


def _of_folder(engine: Engine, options: Any, own: ServeOptions) -> ServedModel:
    """The model of `--engine onnx`, which needs no torch."""
    import_onnxruntime()  # its absence is said here, not in a worker
    provider = engine.execution_provider
    return ServedModel.of(
        engine.stored, "onnx", engine.digest, own, options.threshold, provider, on_cpu=provider == CPU
    )  # fmt: skip


def _of_checkpoint(options: Any, own: ServeOptions) -> tuple[ServedModel, str]:
    """The model of a checkpoint, and what computes it."""
    import torch

    from lit_textclf.classifier.checkpoint import digest_of, find_checkpoint, read_checkpoint

    root = expand_path(options.trainer.default_root_dir, "trainer.default_root_dir")
    stored = read_checkpoint(find_checkpoint(options.ckpt_path, root))
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    on_cpu = accelerator == "cpu"
    return ServedModel.of(stored, "torch", digest_of(stored.path), own, options.threshold, on_cpu=on_cpu), accelerator
