"""One command in this process: signals, the libraries' noise, and errors that become one line."""

from __future__ import annotations

import io
import logging
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import MisconfigurationException, SIGTERMException
from lightning_utilities.core.rank_zero import rank_zero_only

from lit_textclf.cli.commands.check import check
from lit_textclf.cli.commands.compare import compare
from lit_textclf.cli.commands.cross_validate import cross_validate
from lit_textclf.cli.commands.export import export
from lit_textclf.cli.commands.init import init
from lit_textclf.cli.lightning_cli import TextCLI
from lit_textclf.utils.messages import UserError

IGNORED_WARNINGS = (
    # jsonargparse 4.53 with lightning 2.6.6: four blocks at every start, about names that Lightning uses.
    r"(?s)\s*.*(was deprecated in v4\.|JsonargparseDeprecationWarning).*",
    # Workers are an option, data.num_workers: rows are cut from a memory-mapped file, and 0 is fastest on few cores.
    r".*does not have many workers.*",
    # torch.utils._pytree, called by Lightning 2.6.6 (Lightning-AI/pytorch-lightning#21240).
    r".*LeafSpec.*is deprecated.*",
    # Only fit needs them: the same callbacks as in training, and their folder.
    r".*callbacks used to create the checkpoint need to be provided.*",
    # Where no validation took place; said once more at the end, with what best.ckpt is then.
    r".*could not find the monitored key in the returned metrics.*",
    # A run that continues in its own folder finds the folder's files there; in another it is said in our words.
    r".*Checkpoint directory .* exists and is not empty.*",
    r".*The dirpath has changed from.*",
    # Short runs log fewer points than trainer.log_every_n_steps.
    r".*number of training batches .* is smaller than the logging interval.*",
    # mmap'ed token ids are read-only; every batch copies them.
    r".*given NumPy array is not writable.*",
    # Pearson's r of predictions that are all alike is NaN, and is shown so.
    r".*variance of predictions or target is close to zero.*",
    # trainer.overfit_batches does not shuffle, as Lightning documents.
    r".*requested to overfit but enabled train dataloader shuffling.*",
)


def run(args: Sequence[str], callbacks: Sequence[Callback] = ()) -> dict[str, Any]:
    """Runs one command in this process; see :func:`lit_textclf.main`."""
    from transformers.utils import logging as transformers_logging

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal or a file whose encoding lacks a character
            stream.reconfigure(errors="backslashreplace")
    # Their progress bars and reports are in our lines already, with what matters counted.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _hang_up)
    with warnings.catch_warnings():
        for pattern in IGNORED_WARNINGS:
            warnings.filterwarnings("ignore", message=pattern)
        try:
            metrics, written = _dispatch(args[0], args, callbacks)
        except SIGTERMException:  # a SystemExit of Lightning's, with the exit code of success
            raise SystemExit(1) from None
        except Exception as error:
            if _other_rank_ended(error):
                print(f"rank {rank_zero_only.rank} ends: another one has ended, see its message", file=sys.stderr)  # type: ignore[attr-defined]
                raise SystemExit(1) from None
            if _is_usage(error):
                raise UserError(f"trainer: {str(error).strip() or type(error).__name__}") from None
            raise
        finally:
            # Lightning leaves the group open, and gloo's threads may then abort the process at its exit.
            if torch.distributed.is_available() and torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()
    if written:
        print(f"wrote {' '.join(map(str, written))}", flush=True)
    return metrics


COMMANDS: dict[str, Callable[[Sequence[str]], tuple[dict[str, Any], list[Path]]]] = {
    "check": check,
    "compare": compare,
    "cross_validate": cross_validate,
    "export": export,
    "init": init,
}
"""Commands that are none of Lightning's."""


def _dispatch(command: str, args: Sequence[str], callbacks: Sequence[Callback]) -> tuple[dict[str, Any], list[Path]]:
    """Runs a command; returns its metrics and the files that it wrote."""
    if command in COMMANDS:
        return COMMANDS[command](args)
    cli = TextCLI(args, callbacks)
    return cli.metrics, cli.written


def _hang_up(signum: int, frame: Any) -> None:
    """Ends like Ctrl-C when the terminal goes, so that nothing half-written stays."""
    raise SystemExit(1)


def _other_rank_ended(error: Exception) -> bool:
    """Whether gloo or NCCL lost the connection to another process; there is no type for it in torch 2.13 with gloo."""
    lost = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "remote process exited")
    return isinstance(error, RuntimeError) and any(words in str(error) for words in lost)


def _is_usage(error: Exception) -> bool:
    """Whether it was Lightning that refused: a value of `trainer.*` or the seed that it finds out late."""
    if isinstance(error, MisconfigurationException):
        return True
    if isinstance(error, RuntimeError) and "Error(s) in loading state_dict" in str(error):
        return True
    kinds = (ValueError, TypeError, ZeroDivisionError, RuntimeError, ModuleNotFoundError)
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    library = Path(lightning.__file__).parent
    return isinstance(error, kinds) and not isinstance(error, UserError) and library in Path(last).parents
