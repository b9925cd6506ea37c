"""The options of `serve`."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from lit_textclf.utils.messages import UserError


@dataclass(frozen=True)
class ServeOptions:
    """How the server answers, and what it refuses; this docstring is the command's `--help`.

    Args:
        host: the address to listen on; 0.0.0.0 is every IPv4 address of this machine
        port: the port to listen on; 0 takes a free one
        min_score: assign no label to texts whose score is below this probability: label is null, and abstained is true
        top_k: the number of probabilities in an answer, the highest first; null gives all, in label order
        max_batch_size: texts in a batch; requests that wait are batched together
        batch_timeout: seconds that a batch waits for more requests while it is not full; 0 computes what is there
        workers_per_device: processes with a model of their own, on the CPU or on each GPU
        timeout: seconds for a request's body to arrive, and again for its answer; later ones get 408 and 504
        max_body_bytes: larger bodies of requests get 413
        max_texts: requests with more texts get 413
        max_queue: requests that are accepted and not answered yet; further ones get 503, with Retry-After
        max_connections: open connections; further ones get 503
        api_key_env: the environment variable with a key that requests must carry, as Authorization: Bearer KEY or
            X-API-Key: KEY; only the page and /health need none
        log_requests: write a line for each request to stderr, with its path, and texts in messages of errors

    Raises:
        UserError: if a value is out of its range, or the key is missing.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    min_score: float | None = None
    top_k: int | None = None
    max_batch_size: int = 64
    batch_timeout: float = 0.0
    workers_per_device: int = 1
    timeout: float = 30.0
    max_body_bytes: int = 2_000_000
    max_texts: int = 256
    max_queue: int = 256
    max_connections: int = 1024
    api_key_env: str | None = None
    log_requests: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UserError(f"--port {self.port}: must be a port, from 0 to 65535")
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise UserError(f"--min_score {self.min_score}: must be a probability from 0 to 1")
        for name in ("max_batch_size", "workers_per_device", "max_body_bytes", "max_texts", "max_queue",
                     "max_connections", "top_k"):  # fmt: skip
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"--{name} {value}: must be at least 1")
        if not 0 < self.timeout < math.inf:
            raise UserError(f"--timeout {self.timeout}: must be a number of seconds above 0")
        if not 0 <= self.batch_timeout < self.timeout:
            raise UserError(f"--batch_timeout {self.batch_timeout}: must be from 0 to --timeout {self.timeout}")
        if self.api_key_env is not None and not self.api_key:
            raise UserError(f"--api_key_env {self.api_key_env}: this environment variable is not set, or empty")

    @property
    def api_key(self) -> str | None:
        """The key that requests must carry; None if they need none."""
        return None if self.api_key_env is None else os.environ.get(self.api_key_env, "").strip()
