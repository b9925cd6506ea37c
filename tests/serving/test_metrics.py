from __future__ import annotations

import pytest

pytest.importorskip("prometheus_client")

from lit_textclf.serving.metrics import ServerMetrics


def test_counts_what_prometheus_reads() -> None:
    from prometheus_client.parser import text_string_to_metric_families

    metrics = ServerMetrics(["no", "yes", "never"], lambda: 3)
    metrics.answered([{"label": "yes"}, {"label": "no"}, {"label": None}], 3, 0.015)
    metrics.answered([{"labels": ["yes", "no"]}], 0, 4)
    metrics.answered([{"prediction": 2.5}], 1, 4)
    metrics.refused(503, "queue")
    text, kind = metrics.text()
    assert kind.startswith("text/plain")
    found = {
        (sample.name.removeprefix("lit_textclf_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }
    assert found["requests_total", "200"] == 3
    assert found["requests_total", "503"] == found["errors_total", "queue"] == 1
    assert found[("rows_total",)] == 5
    assert [found["labels_total", name] for name in ("no", "yes", "", "never")] == [2, 2, 1, 0]
    assert found["request_seconds_bucket", "0.02"] == 1
    assert found[("request_seconds_count",)] == 3
    assert found[("batch_texts_count",)] == 2
    assert found[("batch_texts_sum",)] == 4
    assert found[("queue",)] == 3
