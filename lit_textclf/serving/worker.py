"""The worker process: LitServe's API with our model, and the loop that answers its batches.

This module, `endpoint.py` and `server.py` import LitServe, an extra; only the command `serve` imports them.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from multiprocessing.connection import Connection
from typing import Any

from litserve import LitAPI
from litserve.loops.base import LitLoop

from lit_textclf.serving.dispatcher import Answered
from lit_textclf.serving.processes import depend_on_the_server
from lit_textclf.serving.requests import Texts
from lit_textclf.serving.served_model import ServedModel
from lit_textclf.utils.imports.postponed import postpone_unneeded
from lit_textclf.utils.messages import UserError


class TextAPI(LitAPI):  # type: ignore[misc]
    """Loads the model and answers batches of requests.

    Args:
        served: the model.
        threads: of the model on the CPU; None leaves that to its library.
        log_texts: whether errors are printed with their message, which may contain texts.

    Attributes:
        refused: why the model cannot be loaded; empty if it can.
    """

    refused = ""

    def __init__(self, served: ServedModel, threads: int | None = None, log_texts: bool = False) -> None:
        super().__init__(max_batch_size=served.batch_size, loop=BatchLoop())
        self.served, self.threads, self.log_texts = served, threads, log_texts

    def setup(self, device: str) -> None:
        """Loads the model, and has it answer once."""
        depend_on_the_server()
        postpone_unneeded()
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        if self.threads is not None:
            os.environ.setdefault("OMP_NUM_THREADS", str(self.threads))
        try:
            self.model = self.served.load(device)
        except UserError as error:
            self.refused = str(error)
            return
        self.served.answers(self.model, ["ready"], ["ready"] if self.served.reads_pairs else None)

    def predict(self, x: list[Texts], **kwargs: Any) -> list[Answered]:
        """Answers the requests of a batch, which `classify` sorts by length together."""
        firsts = [text for texts in x for text in texts.firsts]
        seconds = [text for texts in x for text in texts.seconds or ()] if self.served.reads_pairs else None
        try:
            answers = iter(self.served.answers(self.model, firsts, seconds))
        except Exception as error:
            if len(x) == 1:
                self._report(error)
                return [Answered(None, len(firsts))]
            return [answered for texts in x for answered in self.predict([texts])]  # only one of them may be at fault
        found = [[next(answers) for _ in texts.firsts] for texts in x]
        return [Answered(each, 0 if index else len(firsts)) for index, each in enumerate(found)]

    def _report(self, error: Exception) -> None:
        """Prints a traceback, without texts."""
        traceback.print_tb(error.__traceback__)
        print(f"{type(error).__name__}{f': {error}' if self.log_texts else ''}", file=sys.stderr, flush=True)


class BatchLoop(LitLoop):  # type: ignore[misc]
    """Answers the batches of the :class:`Dispatcher`, which come on a connection in place of LitServe's queue."""

    def __call__(
        self, lit_api: TextAPI, device: str, worker_id: int, request_queue: Connection, transport: Any,
        workers_setup_status: Any, callback_runner: Any,
    ) -> None:  # fmt: skip
        """Answers until the server sends None."""
        with contextlib.suppress(OSError, EOFError):  # the server is gone
            request_queue.send(lit_api.refused)
            for batch in iter(request_queue.recv, None):
                request_queue.send(lit_api.predict(batch))
