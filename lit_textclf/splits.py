"""Holding rows out: by a hash of the text, so that equal texts never stand on two sides."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict

import numpy as np

from lit_textclf.errors import UserError
from lit_textclf.rows import Rows

_NOT_WORDS = re.compile(r"[\W_]+")


def text_keys(rows: Rows) -> np.ndarray:
    """A 64-bit hash for each row, `(rows,)`, equal for texts that differ only in case, spaces and punctuation.

    The same on every machine and in every run: BLAKE2b of the normalised text.
    """
    texts = rows.text.to_pylist()
    pairs = [""] * len(texts) if rows.text_pair is None else rows.text_pair.to_pylist()
    keys = np.empty(len(texts), np.uint64)
    for index, (text, pair) in enumerate(zip(texts, pairs, strict=True)):
        normal = _NOT_WORDS.sub(" ", text.casefold()).strip() or text  # a text of signs only stays what it is
        normal_pair = _NOT_WORDS.sub(" ", pair.casefold()).strip() or pair
        digest = hashlib.blake2b(f"{normal}\x1f{normal_pair}".encode(), digest_size=8).digest()
        keys[index] = int.from_bytes(digest, "little")
    return keys


def hold_out(keys: np.ndarray, strata: np.ndarray | None, *shares: float | None) -> list[np.ndarray]:
    """Splits rows into a training part and held-out parts.

    Within each stratum the texts stand in the order of their hash; the first held-out part takes texts from the front
    until its share is reached, the next goes on from there. A text with several labels counts with its rarest.
    A held-out part's texts thus do not depend on the shares of the parts after it, and hardly on rows added later.

    Args:
        keys: :func:`text_keys`, `(rows,)`.
        strata: class indices, `(rows,)`, or None.
        shares: each part's share of the rows, between 0 and 1; None or 0 for an empty part.

    Returns:
        Sorted row indices: first the training part's, then each held-out part's.
    """
    wanted = [share or 0.0 for share in shares]
    if any(not 0 <= share < 1 for share in wanted) or sum(wanted) >= 1:
        raise UserError(
            f"data.validation_split and data.test_split are shares between 0 and 1, below 1 together: {wanted}"
        )
    groups, inverse, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    stratum = np.zeros(len(groups), np.int64)
    if strata is not None:
        by_rarity = np.unique(strata, return_counts=True)
        rank = np.argsort(np.argsort(by_rarity[1], kind="stable"), kind="stable")  # 0 for the rarest label
        stratum = np.full(len(groups), len(rank))
        np.minimum.at(stratum, inverse, rank[np.searchsorted(by_rarity[0], strata)])
    side = np.zeros(len(groups), np.int64)
    members: dict[int, list[int]] = defaultdict(list)
    for group, of in enumerate(stratum):  # np.unique has sorted the groups by their hash
        members[int(of)].append(group)
    for listed in members.values():
        order = np.array(listed)
        ends = np.cumsum(sizes[order])
        start, taken = 0, 0.0
        for part, share in enumerate(wanted, start=1):
            taken += share * ends[-1]
            stop = min(int(np.searchsorted(ends - sizes[order] / 2, taken)), len(order) - 1)
            side[order[start:stop]] = part
            start = max(start, stop)
    return [np.flatnonzero(side[inverse] == part) for part in range(len(wanted) + 1)]


def stratified_sample(codes: np.ndarray | None, rows: int, size: int, seed: int) -> np.ndarray:
    """Sorted indices of a seeded sample in which each class keeps its share, and at least one row.

    Args:
        codes: class indices, `(rows,)`, or None for a plain sample.
        rows: the number of rows.
        size: the number of rows wanted.
        seed: the same seed gives the same sample.
    """
    order = np.random.default_rng(seed).permutation(rows)
    if codes is None:
        return np.sort(order[:size])
    # Each row's rank within its class, divided by the class's size, spreads the classes evenly over the order.
    position = np.empty(rows)
    for code in np.unique(codes):
        of_class = order[codes[order] == code]
        position[of_class] = np.arange(len(of_class)) / len(of_class)
    return np.sort(order[np.argsort(position[order], kind="stable")[:size]])
