"""One command predicts several files into a folder: what it writes is what a command for each file writes."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lit_textclf import TextClassifier, main
from lit_textclf.prediction.writing.parts import PredictionParts
from tests.conftest import sentences, write_csv

PREDICT = ["predict", "--ckpt_path", "last", "--data.eval_batch_size", "4", "--trainer.accelerator", "cpu",
           "--trainer.precision", "32-true"]  # fmt: skip
FOLDER = [*PREDICT, "--data.predict_file", "in/*", "--output", "out/"]


@pytest.fixture
def _fitted(fitted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run, and three files in three formats; one has no labels."""
    monkeypatch.setattr("lit_textclf.data.batches.parts.PART_BATCHES", 1)
    rows = sentences(31)
    Path("in").mkdir()
    write_csv(Path("in/a.csv"), ["text", "label"], rows[:9])
    lines = [json.dumps({"text": text, "label": label}) + "\n" for text, label in rows[9:20]]
    Path("in/b.x.jsonl").write_text("".join(lines), encoding="utf-8")
    write_csv(Path("in/c.tsv"), ["text"], [(text,) for text, _ in rows[20:]])


def files_in(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def one_by_one(*more: str) -> dict[str, dict[str, float]]:
    """What a command for each file writes into the folder `single`, and its metrics."""
    Path("single").mkdir()
    found = {}
    for source in sorted(Path("in").iterdir()):
        output = f"single/{source.name.rpartition('.')[0]}.csv"
        found[output] = main([*PREDICT, "--data.predict_file", str(source), "--output", output, *more])
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("_fitted")
def test_each_file_is_that_of_a_command_of_its_own(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = one_by_one("--keep_columns")
    both = [*PREDICT, "--data.predict_file", "[in/a.csv, in/b.x.jsonl]", "--output", "both.csv"]
    expected = main(both)
    loaded = []
    load = TextClassifier.on_load_checkpoint
    monkeypatch.setattr(
        TextClassifier, "on_load_checkpoint", lambda self, checkpoint: (loaded.append(1), load(self, checkpoint))
    )
    capfd.readouterr()
    found = main([*FOLDER, "--keep_columns"])
    out, err = capfd.readouterr()
    assert files_in("out") == files_in("single")
    assert list(files_in("out")) == ["a.csv", "b.x.csv", "c.csv"]
    assert loaded == [1]
    assert out.splitlines()[-1] == "wrote out/a.csv out/b.x.csv out/c.csv"
    # The loss of a batch is a float32 mean, and the batches of two files are not those of one.
    assert found == pytest.approx(expected, rel=1e-7)
    assert "last.ckpt, 2 of 3 files\n" in out
    assert "predict: file 2 of 3: in/b.x.jsonl\npredict: 11 rows\n" in err
    for output in ("a.csv", "b.x.csv"):
        of_file = metrics[f"single/{output}"]
        in_short = f"loss {of_file['predict_loss']:.4f}, f1_macro {of_file['predict_f1_macro']:.4f}"
        assert f"predict: out/{output}: {in_short}\n" in err
    assert err.count("next: ") == 1
    assert metrics["single/c.csv"] == {}


def stop_in(number: int) -> None:
    """Leaves what a process leaves that was killed in the second part of a file."""
    write, files = PredictionParts.write, list[PredictionParts]()

    def stop(self: PredictionParts, part: object, logits: object) -> None:
        if self not in files:
            files.append(self)
        if len(files) == number and self.done:
            raise KeyboardInterrupt
        write(self, part, logits)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PredictionParts, "write", stop)
        with pytest.raises(SystemExit):
            main(FOLDER)


@pytest.mark.slow
@pytest.mark.usefixtures("_fitted")
def test_a_stopped_command_resumes_after_the_complete_files(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, fails: Callable[[Sequence[str]], str]
) -> None:
    one_by_one()
    stop_in(2)
    assert "predict: 1 of 3 files complete; run the same command to resume" in capfd.readouterr().err
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.csv", "a.csv.parts", "b.x.csv.parts"]
    assert "other options" in fails([*FOLDER, "--with_logits"])
    written = []
    write = PredictionParts.write
    monkeypatch.setattr(
        PredictionParts, "write",
        lambda self, part, logits: (written.append((self.file.path.name, part.index)), write(self, part, logits)),
    )  # fmt: skip
    main(FOLDER)
    assert written == [("b.x.csv", 1), ("b.x.csv", 2), ("c.csv", 0), ("c.csv", 1), ("c.csv", 2)]
    assert files_in("out") == files_in("single")


@pytest.mark.usefixtures("_fitted")
def test_a_file_that_was_changed_since_is_not_overwritten(fails: Callable[[Sequence[str]], str]) -> None:
    stop_in(2)
    Path("out/a.csv").write_text("mine\n")
    assert "error: out/a.csv: exists already (1 of 3 files do); add --overwrite" in fails(FOLDER)
    assert Path("out/a.csv").read_text() == "mine\n"


@pytest.mark.slow
@pytest.mark.usefixtures("_fitted")
def test_what_cannot_be_is_noticed_before_anything_is_computed(
    fails: Callable[[Sequence[str]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("computed")

    monkeypatch.setattr(PredictionParts, "write", refuse)
    several = [*PREDICT, "--output", "out/", "--data.predict_file"]
    assert "none/*: no file matches this pattern; change data.predict_file" in fails([*several, "none/*"])
    assert "--output names a file here" in fails([*PREDICT, "--text", "good", "--output", "out/"])
    Path("twice").mkdir()
    shutil.copy("in/a.csv", "twice/a.csv")
    assert "in/a.csv and twice/a.csv: both would be out/a.csv; predict them in two commands" in fails(
        [*several, "[in/a.csv, twice/a.csv]"]
    )
    assert "in/a.csv: is in the folder in/, where predictions go" in fails([*FOLDER, "--output", "in/"])
    assert "in/a.csv: is in the folder in, where predictions go" in fails([*FOLDER, "--output", "in"])
    assert "error: in/a.csv/: in/a.csv is a file; write it without the /" in fails([*FOLDER, "--output", "in/a.csv/"])
    assert "the folder none does not exist; make it" in fails([*FOLDER, "--output", "none/out/"])
    Path("in/d.csv").write_text("words\ngood\n", encoding="utf-8")
    assert "in/d.csv: no column 'text'" in fails(FOLDER)
    assert not Path("out").exists()
    Path("in/d.csv").unlink()
    Path("out").mkdir()
    for name in ("b.x.csv", "c.csv"):
        Path("out", name).write_text("kept", encoding="utf-8")
    assert "out/b.x.csv: exists already (2 of 3 files do); add --overwrite, or choose another --output" in fails(FOLDER)
    assert set(files_in("out").values()) == {b"kept"}


@pytest.mark.usefixtures("_fitted")
def test_overwrite_and_a_glob_into_one_file() -> None:
    """A folder that exists needs no slash; a plain file still takes the rows of all files."""
    Path("out").mkdir()
    Path("out/a.csv").write_text("old", encoding="utf-8")
    main([*FOLDER, "--output", "out", "--overwrite"])
    Path("in/c.tsv").unlink()  # which has no labels
    main([*PREDICT, "--data.predict_file", "in/*", "--output", "all.csv"])
    with open("all.csv", encoding="utf-8", newline="") as file:
        assert [row["row"] for row in csv.DictReader(file)] == [str(number) for number in range(20)]
    assert [len(content.splitlines()) for content in files_in("out").values()] == [10, 12, 12]
