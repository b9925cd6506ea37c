"""Runs Lightning in this process: quiets it, closes its process group, and tells the user's mistakes from bugs."""

from __future__ import annotations

import logging
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException, SIGTERMException
from transformers.utils import logging as transformers_logging

from lit_textclf.utils.messages import SHOW_TRACEBACK, UserError, rank

IGNORED_WARNINGS = (
    # jsonargparse 4.53 with lightning 2.6.6: four blocks at every start, about names that Lightning uses.
    r"(?s)\s*.*(was deprecated in v4\.|JsonargparseDeprecationWarning).*",
    # Workers are an option, data.num_workers: rows are cut from a memory-mapped file, and 0 is fastest on few cores.
    r".*does not have many workers.*",
    # torch.utils._pytree, called by Lightning 2.6.6 (Lightning-AI/pytorch-lightning#21240).
    r".*LeafSpec.*is deprecated.*",
    # Matters only to fit, which notes the states that it does not restore in one line.
    r".*callbacks used to create the checkpoint need to be provided.*",
    # Without validation; a note at the end says so, and what best.ckpt is.
    r".*could not find the monitored key in the returned metrics.*",
    # A run that resumes in its own folder finds its files there; a note reports a new folder.
    r".*Checkpoint directory .* exists and is not empty.*",
    r".*The dirpath has changed from.*",
    # Short runs log fewer points than trainer.log_every_n_steps.
    r".*number of training batches .* is smaller than the logging interval.*",
    # Memory-mapped token ids are read-only; every batch copies them.
    r".*given NumPy array is not writable.*",
    # Pearson's r of constant predictions is NaN, and the tables show NaN.
    r".*variance of predictions or target is close to zero.*",
    # trainer.overfit_batches does not shuffle, as Lightning documents.
    r".*requested to overfit but enabled train dataloader shuffling.*",
)

_CALLERS = (
    "jsonargparse.",  # builds the classes that trainer.* names
    "lit_textclf.cli.",
    "lit_textclf.training.trainer.",
    # Asks for the number of steps, for which Lightning looks at trainer.val_check_interval and others.
    "lit_textclf.classifier.module.configure_optimizers",
    "lit_textclf.classifier.optimizer.",
    "lit_textclf.training.epochs.",
)
"""Code that hands what a user typed to Lightning."""
_KINDS = (ValueError, TypeError, RuntimeError, ImportError, MisconfigurationException)


@contextmanager
def lightning_process() -> Iterator[None]:
    """Quiets the libraries, turns Lightning's refusals into UserErrors, and closes the process group at the end.

    Raises:
        UserError: for a value of `trainer.*` or a seed that Lightning refuses.
        SystemExit: with code 1 after SIGTERM, or where another rank failed.
    """
    # Our own notes report the same, with counts.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for pattern in IGNORED_WARNINGS:
        warnings.filterwarnings("ignore", message=pattern)
    try:
        yield
    except SIGTERMException:  # a SystemExit of Lightning's, with the exit code of success
        raise SystemExit(1) from None
    except Exception as error:
        if _other_rank_failed(error):
            print(f"rank {rank()} exits because another rank failed; see that rank's message", file=sys.stderr)
            raise SystemExit(1) from None
        if (refusal := lightning_refusal(error)) is not None:
            words = str(refusal).strip() or type(refusal).__name__
            raise UserError(f"trainer: {words} (set {SHOW_TRACEBACK}=1 for the traceback)") from error
        raise
    finally:
        # Lightning leaves the group open, and gloo's threads may then abort the process at its exit.
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _other_rank_failed(error: Exception) -> bool:
    """Whether gloo or NCCL lost the connection to another process; torch 2.13 has no exception type for gloo's."""
    lost = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "remote process exited")
    return isinstance(error, RuntimeError) and any(words in str(error) for words in lost)


def lightning_refusal(error: Exception) -> BaseException | None:
    """The error that Lightning raised on purpose about an option; None for a bug.

    Lightning raised it on purpose if a `raise` statement in its code was reached from the command line, without other
    code in between. If an expression failed, or a callback or the classifier called Lightning, the bug is ours.
    """
    if isinstance(error, RuntimeError) and "Error(s) in loading state_dict" in str(error):
        return error  # raised by torch, for a checkpoint of another architecture
    refusal: BaseException = error
    while _functions(refusal)[0].startswith("jsonargparse.") and refusal.__cause__ is not None:
        refusal = refusal.__cause__  # of the constructor of a class that trainer.* names
    functions = _functions(refusal)
    libraries = {"lightning", "torch", *sys.stdlib_module_names}
    caller = next((function for function in functions if function.partition(".")[0] not in libraries), "")
    statement = next((frame.line or "" for frame in reversed(traceback.extract_tb(refusal.__traceback__))), "")
    on_purpose = functions[0].startswith("lightning.") and statement.startswith("raise ")
    return refusal if isinstance(refusal, _KINDS) and on_purpose and caller.startswith(_CALLERS) else None


def _functions(error: BaseException) -> list[str]:
    """The functions of an error's traceback as `module.function`, the one that raised it first."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return [f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}" for frame in reversed(frames)] or [""]
