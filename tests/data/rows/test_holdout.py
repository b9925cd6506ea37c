"""Holding rows out by a hash of the text."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_textclf.data.rows.holdout import folds_of, hold_out, stratified_sample
from lit_textclf.data.rows.rows import rows_of_texts
from lit_textclf.data.rows.text_keys import text_keys
from lit_textclf.utils.messages import UserError

repeatable = settings(max_examples=60, deadline=None, database=None, derandomize=True)


def test_the_ends_of_the_order_of_hashes_are_held_out_in_every_run_and_on_every_machine() -> None:
    texts = [f"text {number}" for number in range(20)]
    keys = text_keys(rows_of_texts(texts))
    strata = np.array([number % 2 for number in range(20)])
    train, test, validation = hold_out(keys, strata, 0.2, 0.3)
    expected: tuple[list[int], list[int]] = ([], [])
    for stratum in (0, 1):
        order = sorted(np.flatnonzero(strata == stratum).tolist(), key=lambda row: int(keys[row]))
        expected[0].extend(order[:2])
        expected[1].extend(order[-3:])
    assert test.tolist() == sorted(expected[0])
    assert validation.tolist() == sorted(expected[1])
    assert train.tolist() == sorted(set(range(20)) - set(expected[0]) - set(expected[1]))


rows_with_repeats = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), min_size=1, max_size=60)
shares = st.one_of(st.none(), st.floats(0, 0.45))


@repeatable
@given(rows_with_repeats, shares, shares)
def test_every_row_is_on_one_side_and_equal_texts_on_the_same(
    rows: list[tuple[int, int]], first: float | None, second: float | None
) -> None:
    keys, strata = np.array([key for key, _ in rows], np.uint64), np.array([stratum for _, stratum in rows])
    parts = hold_out(keys, strata, first, second)
    assert len(parts) == 3
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(rows)))
    assert all(part.tolist() == sorted(part.tolist()) for part in parts)
    sides = [set(keys[part].tolist()) for part in parts]
    assert len(set.union(*sides)) == sum(len(side) for side in sides)
    for part, share in zip(parts[1:], (first, second), strict=True):
        assert share or not len(part)


@repeatable
@given(st.lists(st.integers(1, 25), min_size=1, max_size=5), st.floats(0, 0.3), st.floats(0, 0.3), st.integers(0, 99))
def test_each_class_gives_its_share_within_one_row(sizes: list[int], first: float, second: float, seed: int) -> None:
    strata = np.repeat(np.arange(len(sizes)), sizes)
    keys = np.random.default_rng(seed).permutation(len(strata)).astype(np.uint64)
    train, *held = hold_out(keys, strata, first, second)
    for stratum, size in enumerate(sizes):
        assert (strata[train] == stratum).any()
        for part, share in zip(held, (first, second), strict=True):
            assert abs((strata[part] == stratum).sum() - share * size) <= 1


@repeatable
@given(st.lists(st.integers(1, 6), min_size=1, max_size=20), st.floats(0.05, 0.4))
def test_repeated_texts_miss_the_share_by_half_a_text(copies: list[int], share: float) -> None:
    keys = np.repeat(np.arange(len(copies)), copies).astype(np.uint64)
    train, held, _ = hold_out(keys, None, share)
    assert len(train)
    assert abs(len(held) - share * len(keys)) <= max(copies) / 2 or len(set(keys[train].tolist())) == 1


@pytest.mark.parametrize("share", [None, 0.0, 0.1, 0.5, 0.7])
def test_neither_part_depends_on_the_other_share(share: float | None) -> None:
    keys = text_keys(rows_of_texts([f"text {number}" for number in range(97)]))
    strata = np.arange(97) % 3
    _, first, _ = hold_out(keys, strata, 0.2)
    _, _, second = hold_out(keys, strata, None, 0.2)
    assert hold_out(keys, strata, 0.2, share)[1].tolist() == first.tolist()
    assert hold_out(keys, strata, share, 0.2)[2].tolist() == second.tolist()


def test_a_smaller_share_is_part_of_a_larger_one() -> None:
    keys = text_keys(rows_of_texts([f"text {number}" for number in range(60)]))
    for part in (1, 2):
        small, large = (hold_out(keys, None, share, share)[part] for share in (0.1, 0.3))
        assert set(small.tolist()) < set(large.tolist())


def test_the_order_of_the_rows_does_not_matter() -> None:
    keys = text_keys(rows_of_texts([f"text {number}" for number in range(50)]))
    strata = np.arange(50) % 3
    _, held, _ = hold_out(keys, strata, 0.3)
    order = np.random.default_rng(0).permutation(50)
    _, held_again, _ = hold_out(keys[order], strata[order], 0.3)
    assert set(keys[held].tolist()) == set(keys[order][held_again].tolist())


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_every_class_keeps_a_training_row(share: float) -> None:
    strata = np.array([0, 1, 1, 2, 2, 2])
    train, *_ = hold_out(np.arange(6).astype(np.uint64), strata, share)
    assert set(strata[train].tolist()) == {0, 1, 2}


def test_a_class_whose_only_text_also_has_another_label_keeps_a_training_row() -> None:
    keys = np.array([0, 1, 2, 3, 0], np.uint64)
    strata = np.array([0, 0, 0, 0, 1])
    train, held, _ = hold_out(keys, strata, 0.4)
    assert len(held)
    assert 1 in strata[train]


@pytest.mark.parametrize("shares", [(-0.1,), (1.0,), (1.5,), (0.5, 0.5), (0.9, 0.2), (float("nan"),)])
def test_shares_that_cannot_be(shares: tuple[float, ...]) -> None:
    with pytest.raises(UserError) as raised:
        hold_out(np.arange(10).astype(np.uint64), None, *shares)
    for part in ("data.validation_split", "data.test_split", str(shares[0])):
        assert part in str(raised.value)


def test_a_sample_is_seeded_and_stratified() -> None:
    codes = np.repeat([0, 1, 2], [600, 300, 100])
    sample = stratified_sample(codes, 1000, 100, seed=7)
    assert Counter(codes[sample].tolist()) == {0: 60, 1: 30, 2: 10}
    assert sample.tolist() == sorted(set(sample.tolist()))
    assert stratified_sample(codes, 1000, 100, seed=7).tolist() == sample.tolist()
    assert stratified_sample(codes, 1000, 100, seed=8).tolist() != sample.tolist()


@repeatable
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.floats(0, 1), st.integers(0, 9))
def test_a_sample_has_every_class_and_none_beyond_its_share(sizes: list[int], part: float, seed: int) -> None:
    codes = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    size = len(sizes) + int(part * (len(codes) - len(sizes)))
    counts = Counter(codes[stratified_sample(codes, len(codes), size, seed)].tolist())
    assert counts.total() == size
    for code, of_class in enumerate(sizes):
        assert 1 <= counts[code] <= size * of_class / len(codes) + 1


def test_a_sample_without_classes() -> None:
    sample = stratified_sample(None, 50, 10, seed=1)
    assert len(set(sample.tolist())) == 10
    assert sample.tolist() == sorted(sample.tolist())
    assert 0 <= sample.min() <= sample.max() < 50


@repeatable
@given(rows_with_repeats, st.integers(2, 6))
def test_folds_part_the_rows_and_keep_equal_texts_together(rows: list[tuple[int, int]], folds: int) -> None:
    keys, strata = np.array([key for key, _ in rows], np.uint64), np.array([stratum for _, stratum in rows])
    if len(set(keys.tolist())) < folds:
        with pytest.raises(UserError, match=rf"data\.folds {folds}: only"):
            folds_of(keys, strata, folds)
        return
    fold = folds_of(keys, strata, folds)
    assert set(fold.tolist()) == set(range(folds))
    assert len(set(zip(keys.tolist(), fold.tolist(), strict=True))) == len(set(keys.tolist()))
    order = np.random.default_rng(0).permutation(len(rows))
    assert folds_of(keys[order], strata[order], folds).tolist() == fold[order].tolist()


@repeatable
@given(st.lists(st.integers(1, 25), min_size=1, max_size=5), st.integers(2, 5), st.integers(0, 99))
def test_classes_are_spread_evenly_over_the_folds(sizes: list[int], folds: int, seed: int) -> None:
    strata = np.repeat(np.arange(len(sizes)), sizes)
    keys = np.random.default_rng(seed).permutation(len(strata)).astype(np.uint64)
    if len(keys) < folds:
        return
    fold = folds_of(keys, strata, folds)
    for part in [fold, *(fold[strata == stratum] for stratum in range(len(sizes)))]:
        counts = np.bincount(part, minlength=folds)
        assert counts.max() - counts.min() <= 1
