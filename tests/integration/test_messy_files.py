"""Files as people have them, from `check` to `predict` with no option but the file: right, or one line says why not."""

from __future__ import annotations

from pathlib import Path

from lit_textclf import main
from lit_textclf.classifier.checkpoint import find_checkpoint, read_checkpoint


def test_found_columns_are_stored_and_used_by_test_and_predict(fit_args: list[str]) -> None:
    for split in ("train", "validation", "test"):
        content = Path(f"{split}.csv").read_text(encoding="utf-8")
        Path(f"{split}.csv").write_text(content.replace("text,label,id", "Review,Sentiment,n", 1), encoding="utf-8")
    main(fit_args)
    stored = read_checkpoint(find_checkpoint("last", Path())).data
    assert (stored["text_column"], stored["label_column"]) == ("Review", "Sentiment")
    content = Path("test.csv").read_text(encoding="utf-8")
    Path("test.csv").write_text(content.replace(",n\n", ",text\n", 1), encoding="utf-8")  # usual, but not trained on
    measured = main(["test", "--ckpt_path", "last", "--data.test_file", "test.csv"])
    predicted = main(["predict", "--ckpt_path", "last", "--data.predict_file", "test.csv", "--output", "p.csv"])
    assert predicted["predict_accuracy"] == measured["test_accuracy"]
