"""Searches learning rate, batch size and warm-up with Optuna, and prunes bad trials after an epoch.

What:     a study in an SQLite file. Run it again with the same file to continue, also from several processes.
Needs:    pip install 'lit-textclf[tune]'
Run:      python configs/optuna_search.py --trials 20 --study study.db -- --config cfg.yaml
          What follows `--` goes to `fit`.
"""

from __future__ import annotations

import argparse
import json
import math

import optuna
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from lit_textclf import main
from lit_textclf.classifier.metrics.table import higher_is_better


class Prune(Callback):
    """Reports each epoch's value to the study, and ends trials that the pruner gives up."""

    def __init__(self, trial: optuna.Trial, metric: str) -> None:
        self.trial, self.metric = trial, metric

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reports the value; raises TrialPruned."""
        if trainer.sanity_checking:
            return
        self.trial.report(float(trainer.callback_metrics[self.metric]), trainer.current_epoch)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def search(arguments: list[str] | None = None, pruner: optuna.pruners.BasePruner | None = None) -> optuna.Study:
    """Parses the arguments and runs the trials."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--study", default="study.db", help="an SQLite file")
    parser.add_argument("--metric", default="val_f1_macro", help="a metric of fit: val_loss, val_pearson, ...")
    parser.add_argument("fit", nargs="*", help="options of fit, after --")
    options = parser.parse_args(arguments)

    def objective(trial: optuna.Trial) -> float:
        tried = {
            "model.learning_rate": trial.suggest_float("learning_rate", 1e-5, 2e-4, log=True),
            "model.warmup_ratio": trial.suggest_float("warmup_ratio", 0.0, 0.2),
            "data.batch_size": trial.suggest_categorical("batch_size", [16, 32, 64]),
        }
        flags = [f"--{name}={value}" for name, value in tried.items()]
        metrics = main(["fit", *options.fit, *flags], callbacks=[Prune(trial, options.metric)])
        return float(metrics.get(options.metric, math.nan))

    study = optuna.create_study(
        study_name="lit_textclf", storage=f"sqlite:///{options.study}", load_if_exists=True, pruner=pruner,
        direction="minimize" if higher_is_better(options.metric) is False else "maximize",
    )  # fmt: skip
    study.optimize(objective, n_trials=options.trials)
    if study.get_trials(states=(optuna.trial.TrialState.COMPLETE,)):
        found = f"{options.metric} {study.best_value:.4f} with {json.dumps(study.best_params)}"
        print(f"best of {len(study.trials)}: {found}")
    else:
        print(f"none of {len(study.trials)} trials completed: all were pruned or failed")
    return study


if __name__ == "__main__":
    search()
