"""Holding rows out: by a hash of the text, so that equal texts are never in two parts."""

from __future__ import annotations

import hashlib
from collections import defaultdict

import numpy as np

from lit_textclf.data.rows.normalize import normalized
from lit_textclf.data.rows.rows import Rows
from lit_textclf.utils.messages import UserError, plural

_TEXTS_AT_A_TIME = 65_536


def text_keys(rows: Rows) -> np.ndarray:
    """A 64-bit hash for each row, `(rows,)`, equal for texts that differ only in case, spaces and punctuation.

    It is the same on every machine and in every run: BLAKE2b of the text as :func:`normalized` gives it.
    """
    return rows.once("text keys", lambda: _hashes(rows))


def _hashes(rows: Rows) -> np.ndarray:
    keys = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), _TEXTS_AT_A_TIME):
        texts = normalized(rows.text.slice(start, _TEXTS_AT_A_TIME)).to_pylist()
        pairs = [""] * len(texts)
        if rows.text_pair is not None:
            pairs = normalized(rows.text_pair.slice(start, _TEXTS_AT_A_TIME)).to_pylist()
        for index, (text, pair) in enumerate(zip(texts, pairs, strict=True)):
            digest = hashlib.blake2b(f"{text}\x1f{pair}".encode(), digest_size=8).digest()
            keys[start + index] = int.from_bytes(digest, "little")
    return keys


def folds_of(keys: np.ndarray, strata: np.ndarray | None, folds: int) -> np.ndarray:
    """The fold of each row, `(rows,)`, from 0: equal texts in one fold, classes spread evenly over all.

    The texts, by stratum and then in the order of their hash, are dealt out in turn, as scikit-learn's
    `StratifiedKFold` does with rows.

    Args:
        keys: :func:`text_keys`, `(rows,)`.
        strata: class indices, `(rows,)`, or None.
        folds: how many.

    Raises:
        UserError: if there are fewer texts than folds.
    """
    groups, inverse, stratum = _strata_of_texts(keys, strata)
    if len(groups) < folds:
        raise UserError(f"data.folds {folds}: there are only {plural(len(groups), 'different text')}")
    fold = np.empty(len(groups), np.int64)
    fold[np.argsort(stratum, kind="stable")] = np.arange(len(groups)) % folds
    return np.asarray(fold[inverse])


def _strata_of_texts(keys: np.ndarray, strata: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The texts in the order of their hash, each row's text, and each text's stratum: the rarest of its rows'."""
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

    Within each stratum the texts stand in the order of their hash. The first part takes texts from the front until its
    share is reached, the second from the back: neither depends on the other's share (as long as a stratum has texts for
    both), a smaller share is part of a larger one, and rows added later hardly move the others. A text with several
    labels counts with its rarest. Each stratum keeps a text to train on.

    Args:
        keys: :func:`text_keys`, `(rows,)`.
        strata: class indices, `(rows,)`, or None.
        first: the first part's share of the rows, between 0 and 1; None or 0 for an empty part.
        second: the second part's, in the same way.

    Returns:
        Sorted row indices: the training part's, the first part's and the second's.
    """
    wanted = [first or 0.0, second or 0.0]
    if any(not 0 <= share < 1 for share in wanted) or sum(wanted) >= 1:
        raise UserError(
            f"data.validation_split and data.test_split are shares between 0 and 1, below 1 together: {wanted}"
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
    """How many texts from the front have the share of all rows, to the nearest text; `sizes` are each text's rows."""
    ends = np.cumsum(sizes)
    return max(0, min(int(np.searchsorted(ends - sizes / 2, share * ends[-1])), most))


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


def label_codes(rows: Rows) -> np.ndarray:
    """Class indices by sorted name, only to keep classes apart; -1 without a label."""
    assert rows.label is not None
    encoded = rows.label.combine_chunks().dictionary_encode()
    names = encoded.dictionary.to_pylist()
    rank = {name: place for place, name in enumerate(sorted(names))}
    ranks = np.array([rank[name] for name in names] + [-1])
    return np.asarray(ranks[encoded.indices.fill_null(len(names)).to_numpy()])
