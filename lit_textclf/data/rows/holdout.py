"""Holds rows out by a hash of their text, so that equal texts are never in two parts."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from lit_textclf.utils.messages import UserError, plural


def folds_of(keys: np.ndarray, strata: np.ndarray | None, folds: int) -> np.ndarray:
    """The fold of each row, `(rows,)`, from 0. Equal texts share a fold, and classes are spread evenly.

    Texts are sorted by stratum, then by hash, and dealt to the folds in turn, as scikit-learn's `StratifiedKFold` deals
    rows. `keys` are :func:`text_keys`, `strata` class indices or None, each `(rows,)`.

    Raises:
        UserError: if there are fewer different texts than folds; lower `data.folds`.
    """
    groups, inverse, stratum = _strata_of_texts(keys, strata)
    if len(groups) < folds:
        raise UserError(f"data.folds {folds}: only {plural(len(groups), 'different text')}; lower it")
    fold = np.empty(len(groups), np.int64)
    fold[np.argsort(stratum, kind="stable")] = np.arange(len(groups)) % folds
    return np.asarray(fold[inverse])


def _strata_of_texts(keys: np.ndarray, strata: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sorted text keys, the index of each row's text in them, and each text's stratum (its rarest label's)."""
    groups, inverse = np.unique(keys, return_inverse=True)
    stratum = np.zeros(len(groups), np.int64)
    if strata is not None:
        labels, rows = np.unique(strata, return_counts=True)
        rank = np.argsort(np.argsort(rows, kind="stable"), kind="stable")  # 0 for the rarest label
        stratum = np.full(len(groups), len(rank))
        np.minimum.at(stratum, inverse, rank[np.searchsorted(labels, strata)])
    return groups, inverse, stratum


def hold_out(
    keys: np.ndarray, strata: np.ndarray | None, first: float | None, second: float | None = None
) -> list[np.ndarray]:
    """Splits rows into a training part and up to two held-out parts.

    Within each stratum, texts are sorted by their hash. The first part takes texts from the front until its share is
    reached, the second from the back. So neither depends on the other's share (as long as a stratum has texts for
    both), a smaller share is part of a larger one, and rows added later hardly move the others. A text with several
    labels belongs to the stratum of its rarest. Each stratum keeps at least one text to train on.

    Args:
        keys: :func:`text_keys`, `(rows,)`.
        strata: class indices, `(rows,)`, or None.
        first: the first part's share of the rows, between 0 and 1; None or 0 for an empty part.
        second: the second part's share.

    Returns:
        Sorted row indices of the training part, the first part and the second part.
    """
    wanted = [first or 0.0, second or 0.0]
    if any(not 0 <= share < 1 for share in wanted) or sum(wanted) >= 1:
        raise UserError(
            f"data.validation_split and data.test_split {wanted}: must be between 0 and 1, and below 1 together"
        )
    groups, inverse, stratum = _strata_of_texts(keys, strata)
    sizes = np.bincount(inverse, minlength=len(groups))
    side = np.zeros(len(groups), np.int64)
    members: dict[int, list[int]] = defaultdict(list)
    for group, of in enumerate(stratum):  # np.unique has sorted the groups by their hash
        members[int(of)].append(group)
    for listed in members.values():
        order = np.array(listed)
        front = _texts_for(sizes[order], wanted[0], len(order) - 1)
        back = _texts_for(sizes[order][::-1], wanted[1], len(order) - 1 - front)
        side[order[:front]] = 1
        side[order[len(order) - back :]] = 2
    return [np.flatnonzero(side[inverse] == part) for part in range(3)]


def _texts_for(sizes: np.ndarray, share: float, most: int) -> int:
    """How many texts from the front have that share of all rows, to the nearest text; `sizes` counts rows per text."""
    ends = np.cumsum(sizes)
    return max(0, min(int(np.searchsorted(ends - sizes / 2, share * ends[-1])), most))


def stratified_sample(codes: np.ndarray | None, rows: int, size: int, seed: int) -> np.ndarray:
    """Sorted indices of a seeded sample; each class keeps its share, and at least one row.

    `codes` are class indices, `(rows,)`, or None for a plain sample.
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
