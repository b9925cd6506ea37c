"""Writes a run's config into its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback

from lit_textclf.classifier.module import TextClassifier
from lit_textclf.utils.run_folder import CONFIG


class SaveRunConfig(SaveConfigCallback):
    """Writes a run's complete config into its folder.

    For `fit` it has no `ckpt_path`, so that reusing the config does not resume that run, and the numbers that `auto`
    came to. For `validate` and `test` it names the checkpoint that was evaluated.
    """

    def __init__(self, parser: LightningArgumentParser, config: Any, folder: Path) -> None:
        super().__init__(parser, config)
        self.folder = folder

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Writes the config of `validate` and `test`."""
        if stage != "fit":
            config = self.config.clone()
            if config.ckpt_path is not None:
                config.ckpt_path = str(Path(config.ckpt_path).resolve())
            self._write(trainer, config)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the config of `fit`, with what `auto` came to."""
        assert isinstance(pl_module, TextClassifier)
        config = self.config.clone()
        config.ckpt_path = None
        for name in ("learning_rate", "pooling"):
            config.model[name] = pl_module.resolved[name]
        if config.trainer.max_epochs == "auto":
            config.trainer.max_epochs = trainer.max_epochs
        self._write(trainer, config)

    def _write(self, trainer: pl.Trainer, config: Any) -> None:
        if trainer.is_global_zero:
            file = str(self.folder / CONFIG)
            self.parser.save(config, file, skip_none=False, skip_validation=True, overwrite=True, multifile=False)
