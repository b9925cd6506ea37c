"""What `/metrics` reports, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class ServerMetrics:
    """The counters of one server.

    Args:
        labels: of the model, which are all counted from 0.
        waiting: how many requests are accepted and not answered yet.
    """

    def __init__(self, labels: Iterable[str], waiting: Callable[[], float]) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

        disable_created_metrics()  # type: ignore[no-untyped-call]  # the time at which each counter began
        own: dict[str, Any] = {"namespace": "lit_textclf", "registry": CollectorRegistry()}
        self._registry = own["registry"]
        self._requests = Counter("requests", "Requests to /predict by HTTP status", ["status"], **own)
        self._errors = Counter("errors", "Requests without an answer, by reason", ["reason"], **own)
        self._rows = Counter("rows", "Texts, or pairs of texts, that were answered", **own)
        self._labels = Counter("labels", "Labels that were given, an empty one where none was", ["label"], **own)
        self._seconds = Histogram("request_seconds", "Seconds of answered requests", buckets=_SECONDS, **own)
        self._batches = Histogram("batch_texts", "Texts in each batch", buckets=_TEXTS, **own)
        queue = Gauge("queue", "Requests that are accepted and not answered yet", **own)
        queue.set_function(waiting)
        for label in labels:
            self._labels.labels(label)

    def answered(self, answers: Iterable[Mapping[str, Any]], batch_texts: int, seconds: float) -> None:
        """Counts an answered request.

        Args:
            answers: by text.
            batch_texts: the texts of the batch, or 0 if another request counts it.
            seconds: from the request's first byte to its answer.
        """
        self._requests.labels("200").inc()
        self._seconds.observe(seconds)
        if batch_texts:
            self._batches.observe(batch_texts)
        for answer in answers:
            self._rows.inc()
            for label in answer.get("labels", [answer["label"]] if "label" in answer else []):
                self._labels.labels(label or "").inc()

    def refused(self, status: int, reason: str) -> None:
        """Counts a request that got an error."""
        self._requests.labels(str(status)).inc()
        self._errors.labels(reason).inc()

    def text(self) -> tuple[bytes, str]:
        """All metrics in Prometheus' text format, and its content type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self._registry), CONTENT_TYPE_LATEST
