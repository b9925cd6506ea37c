"""Writes a run's config into its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback

from lit_textclf.utils.run_folder import CONFIG


class SaveRunConfig(SaveConfigCallback):
    """Writes a run's complete config into its folder.

    For `fit` it has no `ckpt_path`, so that reusing the config does not resume that run. For `validate` and `test` it
    names the checkpoint that was evaluated.
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
            self.parser.save(config, str(self.folder / CONFIG), skip_none=False, overwrite=True, multifile=False)
