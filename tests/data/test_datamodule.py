"""The data module: splits, samples, data sets, and use without a Trainer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.accelerators import XLAAccelerator
from transformers import BertTokenizer

from lit_textclf import TextClassifier, TextDataModule, Trainer, UserError
from lit_textclf.data.batches.parts import targets_if_all
from lit_textclf.data.readers.tables import ReadOptions
from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.data.rows.read import read_files
from lit_textclf.data.tokens.tokenizer import load_tokenizer
from tests.conftest import sentences, write_csv


@pytest.fixture
def tokenizer(tiny_bert: Path) -> BertTokenizer:
    return BertTokenizer.from_pretrained(tiny_bert)


@pytest.fixture
def hub(reviews: dict[str, Path], tmp_path: Path) -> Path:
    """A folder that `datasets` loads, with a file for each split."""
    folder = tmp_path / "hub"
    folder.mkdir()
    for split, path in reviews.items():
        path.rename(folder / f"{split}.csv")
    return folder


def texts(data: TextDataModule, split: str) -> list[str]:
    return data.rows[split].text.to_pylist()


def test_batches_without_a_trainer(reviews: dict[str, Path], tokenizer: BertTokenizer, tiny_bert: Path) -> None:
    data = TextDataModule(train_file=str(reviews["train"]), batch_size=7, max_length=10, tokenizer=tokenizer)
    data.setup("fit")
    batches = list(data.train_dataloader())
    assert [len(batch["row"]) for batch in batches] == [7, 7, 7, 7, 7, 7, 6]
    assert sorted(torch.cat([batch["row"] for batch in batches]).tolist()) == list(range(48))
    given = texts(data, "train")
    for batch in batches:
        expected = tokenizer(
            [given[row] for row in batch["row"]], truncation=True, max_length=10, padding=True, return_tensors="pt"
        )
        assert batch["inputs"].keys() == expected.keys()
        for name in expected:
            assert torch.equal(batch["inputs"][name], expected[name]), name
        assert batch["tokens"] == int(expected["attention_mask"].sum())
    model = TextClassifier(str(tiny_bert), target=data.target)
    model.configure_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.training_step(batches[0]).backward()
    optimizer.step()


def test_held_out_rows_are_the_same_in_every_command(reviews: dict[str, Path]) -> None:
    options = {"train_file": str(reviews["train"]), "validation_split": 0.2, "test_split": 0.2}
    fit, test = TextDataModule(**options), TextDataModule(**options)
    fit.read("fit")
    assert fit.target is not None
    test.use_checkpoint(fit.target, None)
    test.read("test")
    for split in ("train", "validation", "test"):
        assert texts(fit, split) == texts(test, split)
    assert not set(texts(fit, "train")) & (set(texts(fit, "test")) | set(texts(fit, "validation")))
    assert len(fit.rows["test"]) == len(fit.rows["validation"]) == 10


def test_a_file_beats_a_share(reviews: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    data = TextDataModule(
        train_file=str(reviews["train"]), validation_file=str(reviews["validation"]), validation_split=0.5
    )
    data.read("fit")
    assert len(data.rows["train"]) == 48
    assert "data.validation_split is not used" in capsys.readouterr().err


def test_samples(reviews: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def sampled(seed: str) -> list[str]:
        monkeypatch.setenv("PL_GLOBAL_SEED", seed)
        data = TextDataModule(
            train_file=str(reviews["train"]), validation_file=str(reviews["validation"]), max_train_samples=10,
            max_eval_samples=3,
        )  # fmt: skip
        data.read("fit")
        assert texts(data, "validation") == [text for text, _ in sentences(79)[48:51]]
        assert data.rows["train"].label is not None
        assert data.rows["train"].label.to_pylist().count("positive") == 5
        return texts(data, "train")

    assert sampled("1") == sampled("1") != sampled("2")
    assert "train: 10 of 48 rows used" in capsys.readouterr().err


def test_rows_for_a_probe(reviews: dict[str, Path], tokenizer: BertTokenizer) -> None:
    data = TextDataModule(train_file=str(reviews["train"]), max_length=10, tokenizer=tokenizer)
    data.setup("fit")
    labels = data.rows["train"].label
    assert labels is not None

    def rows(most_rows: int, most_tokens: int) -> list[int]:
        batches = list(data.probe_dataloader(most_rows, most_tokens))
        lengths = torch.cat([batch["inputs"]["attention_mask"].sum(1) for batch in batches]).tolist()
        assert lengths == sorted(lengths, reverse=True)
        return torch.cat([batch["row"] for batch in batches]).tolist()

    assert sorted(rows(100, 10_000)) == list(range(48))
    few = rows(10, 10_000)
    assert [labels[row].as_py() for row in few].count("positive") == 5
    assert few == rows(10, 10_000)
    mean = sum(data.encoded["train"].lengths) / 48
    assert len(rows(100, int(20 * mean) + 1)) == 20


def test_padding_to_max_length(reviews: dict[str, Path], tokenizer: BertTokenizer) -> None:
    data = TextDataModule(train_file=str(reviews["train"]), max_length=20, pad_to_max_length=True, tokenizer=tokenizer)
    data.setup("fit")
    assert {batch["inputs"]["input_ids"].shape[1] for batch in data.train_dataloader()} == {20}


def test_workers_give_the_same_batches(reviews: dict[str, Path], tokenizer: BertTokenizer) -> None:
    found = []
    for workers in (0, 2):
        data = TextDataModule(
            test_file=str(reviews["test"]), num_workers=workers, eval_batch_size=4, tokenizer=tokenizer
        )
        fitted = TextDataModule(train_file=str(reviews["train"]))
        fitted.read("fit")
        assert fitted.target is not None
        data.use_checkpoint(fitted.target, None)
        data.setup("test")
        found.append(torch.cat([batch["row"] for batch in data.test_dataloader()]).tolist())
    assert found[0] == found[1]
    assert sorted(found[0]) == list(range(15))


def test_a_hub_data_set_from_a_folder(hub: Path) -> None:
    data = TextDataModule(dataset_name=str(hub), max_eval_samples=9)
    data.read("fit")
    assert (len(data.rows["train"]), len(data.rows["validation"])) == (48, 9)
    assert texts(data, "train") == [text for text, _ in sentences(48)]


def test_the_own_split_of_a_data_set_is_not_passed_over_in_silence(
    hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = TextDataModule(dataset_name=str(hub), validation_split=0.25)
    data.read("fit")
    assert (len(data.rows["train"]), len(data.rows["validation"])) == (36, 12)
    assert "validation: the data set's own validation rows are not used" in capsys.readouterr().err


def test_targets_of_rows_with_some_labels(tmp_path: Path) -> None:
    train = write_csv(tmp_path / "t.csv", ["text", "label"], sentences(6))
    fitted = TextDataModule(train_file=str(train))
    fitted.read("fit")
    assert fitted.target is not None
    for label, reason in (("", "the label is missing (1 such row)"), ("neutral", "'neutral' is unknown")):
        some = write_csv(tmp_path / "p.csv", ["text", "label"], [("a", "positive"), ("b", label)])
        rows = read_files(str(some), ColumnNames(), ReadOptions(), option="data.predict_file")
        targets, why = targets_if_all(fitted.target, rows)
        assert targets is None
        assert why is not None
        assert reason in why
    whole = write_csv(tmp_path / "p.csv", ["text", "label"], [("a", "positive"), ("b", "negative")])
    rows = read_files(str(whole), ColumnNames(), ReadOptions(), option="data.predict_file")
    targets, why = targets_if_all(fitted.target, rows)
    assert np.array_equal(targets, [1, 0])
    assert why is None


def test_a_tokenizer_is_needed(reviews: dict[str, Path]) -> None:
    with pytest.raises(UserError, match="has no tokenizer"):
        TextDataModule(train_file=str(reviews["train"])).setup("fit")


def test_a_checkpoint_is_not_measured_on_rows_it_was_trained_on(
    reviews: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = str(reviews["train"])
    lines = reviews["train"].read_text(encoding="utf-8").splitlines()
    other_order = tmp_path / "reversed.csv"
    other_order.write_text("\n".join([lines[0], *lines[:0:-1]]), encoding="utf-8")
    fit = TextDataModule(train_file=train, validation_split=0.2)
    fit.read("fit")

    def use_checkpoint(data: TextDataModule) -> None:
        assert fit.target is not None
        data.use_checkpoint(fit.target, fit.state_dict()["trained_on"].numpy().view(np.uint64))

    def measured(split: str, file: str = train, **options: float) -> TextDataModule:
        data = TextDataModule(train_file=file, **options)
        use_checkpoint(data)
        data.read("validate" if split == "validation" else split)
        return data

    assert texts(measured("validation", validation_split=0.2), "validation") == texts(fit, "validation")
    measured("validation", str(other_order), validation_split=0.1)
    for file in (train, str(other_order)):
        with pytest.raises(UserError, match=r"^validation: \d+ of 14 rows were trained on .* same --data.validation"):
            measured("validation", file, validation_split=0.3)
        with pytest.raises(UserError, match=r"^validation: .* were trained on"):
            measured("validation", file, folds=4, fold=1)
        with pytest.raises(UserError, match=r"^test: .* were trained on"):
            measured("test", file, test_split=0.2)
    capsys.readouterr()
    data = TextDataModule(test_file=train)
    use_checkpoint(data)
    data.read("test")
    assert "test: 38 of 48 rows were trained on (first: " in capsys.readouterr().err


def test_labels_come_from_all_training_rows(tmp_path: Path) -> None:
    rows = [*sentences(6), ("a rare one", "rare")]
    train = write_csv(tmp_path / "t.csv", ["text", "label"], rows)
    data = TextDataModule(train_file=str(train), max_train_samples=3)
    data.read("fit")
    assert data.target is not None
    assert data.target.labels == ("negative", "positive", "rare")
    with pytest.raises(UserError, match=r"data\.max_train_samples 2: must be at least 3"):
        TextDataModule(train_file=str(train), max_train_samples=2).read("fit")


def test_on_a_tpu_batches_are_padded_to_one_length(
    reviews: dict[str, Path], tiny_bert: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no TPU here: the accelerator is another library's, and only its kind is pretended."""
    tokenizer = BertTokenizer.from_pretrained(tiny_bert)
    data = TextDataModule(train_file=str(reviews["train"]), max_length=16, tokenizer=tokenizer)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    monkeypatch.setattr(Trainer, "accelerator", property(lambda self: XLAAccelerator.__new__(XLAAccelerator)))
    data.prepare("fit")
    data.trainer = trainer
    assert {batch["inputs"]["input_ids"].shape[1] for batch in data.train_dataloader()} == {16}
    assert "data.pad_to_max_length is true on a TPU" in capsys.readouterr().err


def test_control_characters_of_labels_do_not_reach_the_terminal(tiny_bert: Path) -> None:
    rows = [(f"good {row}", ["\x1b[31mred", "two\nlines"][row % 2]) for row in range(8)]
    write_csv(Path("odd.csv"), ["text", "label"], rows)
    data = TextDataModule(train_file="odd.csv", tokenizer=load_tokenizer(str(tiny_bert), "x"))
    data.setup("fit")
    assert data.summary() == "single_label, 2 labels (\\x1b[31mred 4, two\\nlines 4); 8 rows train"
