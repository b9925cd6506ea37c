"""Batches of like length: every row once an epoch, little padding, the same on every machine, fair to all ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, Sampler

from lit_textclf import TextDataModule, UserError, main
from lit_textclf.data.batches.samplers import (
    LengthGroupedSampler,
    ShuffledSampler,
    SortedWindowSampler,
    TokenBudgetBatchSampler,
    make_sampler,
)
from lit_textclf.data.tokens.tokenizer import load_tokenizer
from tests.conftest import sentences, write_csv

repeatable = settings(max_examples=60, deadline=None, database=None, derandomize=True)


def lengths_of(rows: int, seed: int = 0) -> np.ndarray:
    """About the lengths of sentences: log-normal, median 24 tokens."""
    return np.exp(np.random.default_rng(seed).normal(np.log(24), 0.5, rows)).astype(int) + 2


def padding(lengths: np.ndarray, order: list[int], batch_size: int) -> float:
    batches = [lengths[batch] for batch in BatchSampler(order, batch_size, drop_last=False)]
    return 1 - sum(batch.sum() for batch in batches) / sum(batch.max() * len(batch) for batch in batches)


@repeatable
@given(st.integers(1, 500), st.integers(1, 40), st.integers(0, 5))
def test_every_row_once_an_epoch(rows: int, batch_size: int, epoch: int) -> None:
    sampler = LengthGroupedSampler(lengths_of(rows), batch_size, seed=1)
    sampler.set_epoch(epoch)
    order = list(sampler)
    assert len(order) == len(sampler) == rows
    assert sorted(order) == list(range(rows))
    assert list(sampler) == order


@repeatable
@given(st.integers(1, 300), st.integers(1, 20), st.integers(2, 5))
def test_ranks_share_the_rows(rows: int, batch_size: int, replicas: int) -> None:
    lengths = lengths_of(rows)
    orders = [list(LengthGroupedSampler(lengths, batch_size, 1, replicas, rank)) for rank in range(replicas)]
    assert len({len(order) for order in orders}) == 1
    taken = sorted(row for order in orders for row in order)
    assert len(taken) - rows == -rows % replicas
    assert set(taken) == set(range(rows))


def test_ranks_have_batches_of_like_length_at_the_same_time() -> None:
    lengths = lengths_of(6400)
    orders = [np.array(list(LengthGroupedSampler(lengths, 32, 1, 2, rank))).reshape(-1, 32) for rank in range(2)]
    longest = [lengths[order].max(1) for order in orders]
    assert np.abs(longest[0] - longest[1]).mean() < 1


def test_epochs_and_seeds_differ() -> None:
    lengths = lengths_of(1000)
    sampler = LengthGroupedSampler(lengths, 32, seed=1)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    assert orders[0] != orders[1] != orders[2]
    assert list(LengthGroupedSampler(lengths, 32, seed=2)) != orders[0]
    assert list(LengthGroupedSampler(lengths, 32, seed=1)) == orders[0]
    pairs = [{frozenset(batch) for batch in BatchSampler(order, 32, drop_last=False)} for order in orders]
    assert len(pairs[0] & pairs[1]) <= 1  # not the same rows together again


def test_little_is_padded_and_batches_are_not_in_the_order_of_their_lengths() -> None:
    lengths = lengths_of(6920)
    order = list(LengthGroupedSampler(lengths, 32, seed=0))
    shuffled = np.random.default_rng(0).permutation(6920).tolist()
    assert padding(lengths, order, 32) < 0.05 < 0.4 < padding(lengths, shuffled, 32)
    assert padding(lengths, list(SortedWindowSampler(lengths, 6400)), 64) < 0.05
    longest = np.array([lengths[batch].max() for batch in BatchSampler(order, 32, drop_last=False)])
    assert abs(np.corrcoef(longest[1:], longest[:-1])[0, 1]) < 0.2


def test_no_length_is_more_likely_to_be_in_the_smaller_batch() -> None:
    lengths = np.arange(330)
    sampler = LengthGroupedSampler(lengths, 32, seed=0)
    left_out = []
    for epoch in range(200):
        sampler.set_epoch(epoch)
        left_out += list(sampler)[-10:]
    assert np.mean(left_out) == pytest.approx(164.5, abs=4 * 95 / np.sqrt(2000))


def test_evaluation_holds_one_window() -> None:
    lengths = lengths_of(1000)
    sampler = SortedWindowSampler(lengths, 400)
    order = list(sampler)
    assert len(sampler) == 1000
    for start in range(0, 1000, 400):
        rows = range(start, min(start + 400, 1000))
        assert sorted(order[rows.start : rows.stop]) == list(rows)
        assert np.all(np.diff(lengths[order[rows.start : rows.stop]]) <= 0)


@pytest.mark.usefixtures("fitted")
def test_predictions_come_in_input_order_with_or_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lit_textclf.data.batches.parts.PART_BATCHES", 3)
    write_csv(Path("p.csv"), ["text"], [(text,) for text, _ in [*sentences(20), *sentences(27)]])
    found = []
    for batch_size, by_length in ((4, "true"), (4, "false"), (5, "true"), (12, "true"), (13, "true"), (64, "true")):
        main(["predict", "--ckpt_path", "last", "--data.predict_file", "p.csv", "--overwrite", "--trainer.precision",
              "32-true", "--data.eval_batch_size", str(batch_size), "--data.batch_by_length", by_length])  # fmt: skip
        lines = Path("predictions.csv").read_text(encoding="utf-8").splitlines()[1:]
        found.append(np.array([[float(value) for value in line.split(",")[2:]] for line in lines]))
        assert [line.split(",")[0] for line in lines] == [str(number) for number in range(47)]
    for other in found[1:]:
        assert other == pytest.approx(found[0], abs=1e-6)


@pytest.mark.usefixtures("fitted")
def test_equal_rows_are_computed_once_and_have_equal_predictions(capfd: pytest.CaptureFixture[str]) -> None:
    texts = [text for text, _ in sentences(5)] * 3
    write_csv(Path("p.csv"), ["text", "id"], [(text, str(number)) for number, text in enumerate(texts)])
    write_csv(Path("l.csv"), ["text", "label"], [(text, "positive") for text in texts])
    main(["predict", "--ckpt_path", "last", "--data.predict_file", "p.csv", "--data.id_column", "id"])
    assert "predict: 10 rows equal to another one, computed once" in capfd.readouterr().err
    rows = [line.split(",") for line in Path("predictions.csv").read_text(encoding="utf-8").splitlines()[1:]]
    assert [row[:2] for row in rows] == [[str(number), str(number)] for number in range(15)]
    assert [row[2:] for row in rows[:5]] == [row[2:] for row in rows[5:10]] == [row[2:] for row in rows[10:]]
    metrics = main(["predict", "--ckpt_path", "last", "--data.predict_file", "l.csv", "--overwrite"])
    assert "predict: 10 rows equal to another one, computed once" in capfd.readouterr().err
    labels = [line.split(",")[1] for line in Path("predictions.csv").read_text(encoding="utf-8").splitlines()[1:]]
    assert metrics["predict_accuracy"] == pytest.approx(labels.count("positive") / 15)


def test_it_can_be_turned_off(reviews: dict[str, Path], tiny_bert: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_bert), "x")
    for by_length in (True, False):
        data = TextDataModule(
            train_file=str(reviews["train"]), batch_by_length=by_length, batch_size=8, tokenizer=tokenizer
        )
        data.setup("fit")
        assert isinstance(data.train_dataloader().sampler, LengthGroupedSampler) == by_length
        rows = [row for batch in data.train_dataloader() for row in batch["row"].tolist()]
        assert sorted(rows) == list(range(48)) != rows


def test_the_padding_share_is_written(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    metrics = main([*fit_args, "--trainer.max_epochs", "1"])
    plain = main([*fit_args, "--trainer.max_epochs", "1", "--data.batch_by_length", "false"])
    assert 0 <= metrics["padding_share"] < plain["padding_share"] < 1
    assert f"{metrics['padding_share']:.1%} padding" in capfd.readouterr().err


@repeatable
@given(st.integers(1, 200), st.integers(1, 50), st.integers(1, 6))
def test_ranks_evaluate_every_row_once(rows: int, window: int, replicas: int) -> None:
    lengths = lengths_of(rows)
    samplers = [SortedWindowSampler(lengths, window, replicas, rank) for rank in range(replicas)]
    taken = [list(sampler) for sampler in samplers]
    assert [len(sampler) for sampler in samplers] == [len(order) for order in taken]
    assert sorted(row for order in taken for row in order) == list(range(rows))
    assert max(map(len, taken)) - min(map(len, taken)) <= 1
    if window == 1:
        assert taken == [list(range(rank, rows, replicas)) for rank in range(replicas)]


@repeatable
@given(st.integers(0, 500), st.integers(1, 40), st.integers(0, 5))
def test_a_budget_of_tokens_holds_for_every_row_and_epoch(rows: int, share: int, epoch: int) -> None:
    lengths = lengths_of(rows)
    budget = int(lengths.max(initial=1)) * share
    batches = TokenBudgetBatchSampler(lengths, budget, seed=1)
    batches.set_epoch(epoch)
    found = list(batches)
    assert len(found) == len(batches)
    assert sorted(row for batch in found for row in batch) == list(range(rows))
    assert all(len(batch) * lengths[batch].max() <= budget for batch in found)
    assert found == list(batches)


def test_a_budget_is_used_up_and_other_rows_meet_each_epoch() -> None:
    lengths = lengths_of(5000)
    batches = TokenBudgetBatchSampler(lengths, 2048, seed=1)
    first = list(batches)
    assert lengths.sum() / (len(first) * 2048) > 0.92
    assert 1 - lengths.sum() / sum(lengths[batch].max() * len(batch) for batch in first) < 0.05
    batches.set_epoch(1)
    second = list(batches)
    again = {frozenset(batch) for batch in first} & {frozenset(batch) for batch in second}
    assert len(again) <= 2  # the very longest rows are few, and of lengths far apart
    assert [len(batch) for batch in first] != sorted(len(batch) for batch in first)


def test_a_row_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.max_tokens_per_batch 10: the longest row has 12 tokens"):
        TokenBudgetBatchSampler(np.array([3, 12, 4]), 10, seed=0)


def test_fit_with_a_budget(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    metrics = main([*fit_args, "--data.max_tokens_per_batch", "64", "--trainer.max_epochs", "2"])
    err = capfd.readouterr().err
    assert "of up to 64 tokens" in err
    assert metrics["epochs"] == 2
    assert metrics["padding_share"] < 0.2
    with pytest.raises(SystemExit):
        main([*fit_args, "--data.max_tokens_per_batch", "3"])
    assert "error: data.max_tokens_per_batch 3: the longest row has" in capfd.readouterr().err
    with pytest.raises(SystemExit):
        main([*fit_args, "--data.max_tokens_per_batch", "64", "--data.long_text", "window"])
    assert "does not go with data.long_text window" in capfd.readouterr().err


class InOrder(Sampler[int]):
    """What a user may write: input order, from `first` on."""

    def __init__(
        self, lengths: np.ndarray, batch_size: int, seed: int, replicas: int, rank: int, first: int = 0
    ) -> None:
        self.rows, self.first = len(lengths), first

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[int]:
        return iter([*range(self.first, self.rows), *range(self.first)])


class PairsInOrder(InOrder):
    """The same, two rows at a time."""

    yields_batches = True

    def __iter__(self) -> Iterator[list[int]]:
        return iter([[row, row + 1] for row in range(0, self.rows, 2)])

    def __len__(self) -> int:
        return self.rows // 2


MINE = f"{__name__}.InOrder"


def order_of(data: TextDataModule) -> list[list[int]]:
    return [batch["row"].tolist() for batch in data.train_dataloader()]


def test_a_sampler_by_its_name_is_the_one_that_the_other_options_choose(
    reviews: dict[str, Path], tiny_bert: Path
) -> None:
    tokenizer = load_tokenizer(str(tiny_bert), "the tokenizer")
    chosen = {
        "shuffled": {"batch_by_length": False},
        "length_grouped": {"batch_by_length": True},
        "token_budget": {"max_tokens_per_batch": 64},
    }
    found = []
    for name, options in chosen.items():
        orders = []
        for more in ({}, {"sampler": name, **({"batch_by_length": False} if name == "length_grouped" else {})}):
            data = TextDataModule(train_file=str(reviews["train"]), tokenizer=tokenizer, **{**options, **more})
            data.setup("fit")
            orders.append(order_of(data))
        assert orders[0] == orders[1]
        found.append(orders[0])
    assert found[0] != found[1] != found[2]


def test_a_sampler_of_ones_own(reviews: dict[str, Path], tiny_bert: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_bert), "the tokenizer")
    for sampler, first in (
        (MINE, [0, 1, 2, 3]),
        ({"class_path": MINE, "init_args": {"first": 46}}, [46, 47, 0, 1]),
        (f"{__name__}.PairsInOrder", [0, 1]),
    ):
        data = TextDataModule(train_file=str(reviews["train"]), tokenizer=tokenizer, batch_size=4, sampler=sampler)
        data.setup("fit")
        found = order_of(data)
        assert found[0] == first
        assert sorted(row for batch in found for row in batch) == list(range(48))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["sorted"], "data.sampler 'sorted': must be shuffled, length_grouped, token_budget or the dotted name of a"),
        (["shufled"], "did you mean 'shuffled'?"),
        (["token_budget"], "data.sampler token_budget: needs --data.max_tokens_per_batch"),
        (["shuffled", "--data.max_tokens_per_batch", "64"], "does not go with data.max_tokens_per_batch"),
        (["no_such_module.Mine"], "data.sampler no_such_module.Mine: no module 'no_such_module'"),
        ([f"{{class_path: {MINE}, init_args: {{last: 1}}}}"], "unexpected keyword argument 'last'"),
    ],
)
def test_samplers_that_cannot_be(
    options: list[str], message: str, fit_args: list[str], fails: Callable[[Sequence[str]], str]
) -> None:
    assert message in fails([*fit_args, "--data.sampler", *options])


def test_a_sampler_for_one_process_is_not_replaced_on_several() -> None:
    lengths = lengths_of(20)
    assert isinstance(make_sampler("shuffled", lengths, 4, 0, 2, 1), ShuffledSampler)
    with pytest.raises(UserError, match=r"data\.sampler InOrder: must be a torch DistributedSampler to run on 2 ranks"):
        make_sampler(MINE, lengths, 4, 0, 2, 1)
    with pytest.raises(UserError, match="works in one process"):
        make_sampler("token_budget", lengths, 400, 0, 2, 1)
