"""Writes a run's config into its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback


class SaveRunConfig(SaveConfigCallback):
    """Writes a run's whole config into its folder.

    That of `fit` is without `ckpt_path`: used again it must not go on with that run. That of `validate` and `test`
    says which checkpoint was measured.

    Args:
        parser: the command's parser.
        config: the command's options.
        folder: the run's folder.
    """

    def __init__(self, parser: LightningArgumentParser, config: Any, folder: Path) -> None:
        super().__init__(parser, config)
        self.folder = folder

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Writes `config.yaml`; called before the run begins."""
        if trainer.is_global_zero:
            config = self.config.clone()
            if stage == "fit":
                config.ckpt_path = None
            elif config.ckpt_path is not None:
                config.ckpt_path = str(Path(config.ckpt_path).resolve())
            self.parser.save(config, str(self.folder / "config.yaml"), skip_none=False, overwrite=True, multifile=False)
