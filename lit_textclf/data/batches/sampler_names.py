"""The table of training orders, by name. Does not import torch, whose classes the samplers are."""

from __future__ import annotations

from lit_textclf.utils.class_path import Spec, load_class
from lit_textclf.utils.messages import UserError, did_you_mean

_SAMPLERS = "lit_textclf.data.batches.samplers"
SAMPLERS = {
    "shuffled": f"{_SAMPLERS}.ShuffledSampler",
    "length_grouped": f"{_SAMPLERS}.LengthGroupedSampler",
    "token_budget": f"{_SAMPLERS}.TokenBudgetBatchSampler",
}
"""The training orders by their name in `data.sampler`."""


def check_sampler(sampler: Spec, max_tokens: int | None) -> None:
    """Refuses values of `data.sampler` that cannot work.

    Raises:
        UserError: for an unknown name or class, or one that contradicts `data.max_tokens_per_batch`.
    """
    if not isinstance(sampler, str) or "." in sampler:
        load_class(sampler, "data.sampler")
        return
    if sampler not in SAMPLERS:
        raise UserError(
            f"data.sampler {sampler!r}: must be {', '.join(SAMPLERS)} or the dotted name of a class"
            f"{did_you_mean(sampler, SAMPLERS)}"
        )
    if (sampler == "token_budget") != (max_tokens is not None):
        raise UserError(
            f"data.sampler {sampler}: needs --data.max_tokens_per_batch"
            if max_tokens is None
            else f"data.sampler {sampler}: does not go with data.max_tokens_per_batch; use token_budget"
        )
