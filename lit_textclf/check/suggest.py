"""Options that fit the data: `check` suggests them, `init` writes them."""

from __future__ import annotations

import contextlib
from typing import Any

from lit_textclf.check.findings import Examination
from lit_textclf.data.rows.holdout import hold_out
from lit_textclf.data.rows.text_keys import text_keys
from lit_textclf.utils.messages import UserError

SHARES = (0.1, 0.2, 0.3, 0.5)
LENGTHS = (32, 64, 128, 256, 512)


def suggested(found: Examination, most_tokens: int | None) -> dict[str, dict[str, Any]]:
    """Options by section, only those that depend on the data; `most_tokens` is the longest sequence of the model."""
    data: dict[str, Any] = {}
    model: dict[str, Any] = {}
    kinds = {finding.kind for finding in found.findings}
    if "joined_labels" in kinds:
        data["task"] = "multi_label"
    elif found.target is not None and not kinds & {"almost_numbers", "decimal_commas"}:
        data["task"] = found.target.task
        if found.target.labels:
            data["labels"] = list(found.target.labels)
    if "train" in found.lengths:
        tokens = found.splits["train"]["tokens"]
        longest = min(LENGTHS[-1], most_tokens or LENGTHS[-1])
        data["max_length"] = next((length for length in LENGTHS if tokens["p99"] <= length <= longest), longest)
        data["batch_size"] = 32 if data["max_length"] <= 256 else 16
        if tokens["p50"] > longest:
            data["long_text"] = "head_tail"
    if "validation" not in found.splits:
        data["validation_split"] = _share(found)
    doubtful = kinds & {"joined_labels", "almost_numbers", "decimal_commas"}
    if "imbalance" in kinds and not doubtful and found.target is not None and found.target.one_label_per_row:
        model["class_weights"] = "balanced"
    return {name: section for name, section in (("data", data), ("model", model)) if section}


def _share(found: Examination) -> float | None:
    """The smallest share that holds out a row; None if even the largest does not."""
    rows = found.rows["train"]
    keys, strata = text_keys(rows), None
    if found.target is not None:
        with contextlib.suppress(UserError):  # rows without a label, which the findings report
            strata = found.target.strata(rows)
    return next((share for share in SHARES if len(hold_out(keys, strata, None, share)[2])), None)
