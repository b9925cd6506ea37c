"""A prediction that was stopped goes on: with the same command, from the parts that are done, to the same file."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lit_textclf import PredictionWriter, Target, TextClassifier, TextDataModule, Trainer, UserError, main
from lit_textclf.data.batches.parts import REMEMBERED, Part, SeenTexts
from lit_textclf.data.rows.rows import rows_of_texts
from lit_textclf.data.tokens.tokenizer import tokenizer_from_files
from tests.conftest import sentences, write_csv

ROWS = 80
COMMAND = ["predict", "--ckpt_path", "last", "--data.predict_file", "rows.csv", "--data.eval_batch_size", "2"]
PARTS = Path("predictions.csv.parts")


@pytest.fixture
def _fitted(fitted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run, and rows whose prediction has four parts of ten batches."""
    monkeypatch.setattr("lit_textclf.data.batches.parts.PART_BATCHES", 10)
    write_csv(Path("rows.csv"), ["text"], [(text,) for text, _ in sentences(ROWS)])


def cut_short(parts: int) -> None:
    """Leaves what a process leaves that was killed when so many parts were done."""
    from lit_textclf.prediction.writing.parts import PredictionParts

    write, written = PredictionParts.write, list[int]()

    def stop_at(self: PredictionParts, part: object, logits: object) -> None:
        if len(written) == parts:
            raise KeyboardInterrupt
        write(self, part, logits)  # type: ignore[arg-type]
        written.append(1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PredictionParts, "write", stop_at)
        with pytest.raises(SystemExit):
            main(COMMAND)


@pytest.mark.usefixtures("_fitted")
def test_what_is_done_is_kept_and_said(capfd: pytest.CaptureFixture[str]) -> None:
    main([*COMMAND, "--output", "whole.csv"])
    cut_short(2)
    assert "predict: kept 2 of 4 parts in predictions.csv.parts; run the same command" in capfd.readouterr().err
    assert not Path("predictions.csv").exists()
    main(COMMAND)
    err = capfd.readouterr().err
    assert "predict: resuming: 2 of 4 parts (predictions.csv.parts) already done" in err
    assert "predict: 80 rows, 0 (0.0%) truncated to 16 tokens; 40 rows in" in err
    assert Path("predictions.csv").read_bytes() == Path("whole.csv").read_bytes()
    assert not PARTS.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("_fitted")
@pytest.mark.parametrize("workers", ["0", "2"])
def test_equal_rows_far_apart_are_computed_once(workers: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Also when the part that computed them was made before the prediction was stopped, and by several workers."""
    texts = [text for text, _ in sentences(ROWS // 2)]
    write_csv(Path("rows.csv"), ["text"], [(text,) for text in [*texts, *texts]])
    command = [*COMMAND, "--data.num_workers", workers]
    main([*command, "--output", "whole.csv"])
    assert "equal to another one, computed once" in capfd.readouterr().err
    lines = [line.split(",", 1) for line in Path("whole.csv").read_text(encoding="utf-8").splitlines()[1:]]
    assert [line[0] for line in lines] == [str(row) for row in range(ROWS)]
    assert [line[1] for line in lines[: ROWS // 2]] == [line[1] for line in lines[ROWS // 2 :]]
    main([*command, "--data.batch_by_length", "false", "--trainer.precision", "32-true", "--output", "each.csv"])
    main([*command, "--trainer.precision", "32-true", "--output", "once.csv"])
    each, once = ([line.split(",") for line in Path(name).read_text(encoding="utf-8").splitlines()[1:]]
                  for name in ("each.csv", "once.csv"))  # fmt: skip
    assert [line[:2] for line in each] == [line[:2] for line in once]
    assert [float(line[3]) for line in each] == pytest.approx([float(line[3]) for line in once], abs=1e-6)
    cut_short(2)
    main(COMMAND)
    if workers == "0":  # with others other parts are known
        assert Path("predictions.csv").read_bytes() == Path("whole.csv").read_bytes()


def test_texts_are_remembered_for_some_parts_only() -> None:
    seen, parts = SeenTexts(), []
    for index in range(REMEMBERED + 3):
        rows = rows_of_texts(["always", f"only {index}", "first" if index in (0, REMEMBERED + 2) else "x", "always"])
        parts.append(Part(index, 4 * index, rows, Target("regression")))
        seen.take_equal_rows_once(parts[-1])
    assert parts[0].taken.tolist() == [0, 1, 2, 0]
    assert parts[0].computed.tolist() == [0, 1, 2]
    assert parts[1].known == {0: (0, 0)}
    assert parts[1].computed.tolist() == [1, 2]
    assert parts[2].known == {0: (0, 0), 2: (1, 2)}
    assert parts[2].tally["equal"] == 3
    assert parts[-2].known == {2: (1, 2)}  # "always" of the first part was forgotten, and is computed again
    assert parts[-1].known == {0: (REMEMBERED + 1, 0)}


def test_a_part_of_known_texts_computes_one() -> None:
    seen = SeenTexts()
    for index in range(2):
        part = Part(index, 2 * index, rows_of_texts(["a", "b"]), Target("regression"))
        seen.take_equal_rows_once(part)
    assert part.known == {0: (0, 0), 1: (0, 1)}
    assert part.computed.tolist() == [0]


@pytest.mark.usefixtures("_fitted")
def test_parts_that_are_damaged_are_made_anew() -> None:
    main([*COMMAND, "--output", "whole.csv"])
    cut_short(3)
    lines = PARTS / "part-000001.csv"
    lines.write_bytes(lines.read_bytes()[:-40])
    (PARTS / "part-000002.json").write_text('{"rows": 100', encoding="utf-8")
    main(COMMAND)
    assert Path("predictions.csv").read_bytes() == Path("whole.csv").read_bytes()


@pytest.mark.usefixtures("_fitted")
def test_a_part_with_other_bytes_is_noticed(fails: Callable[[list[str]], str]) -> None:
    main([*COMMAND, "--output", "whole.csv"])
    cut_short(2)
    lines = PARTS / "part-000001.csv"
    content = lines.read_bytes()
    lines.write_bytes(content.replace(b"0.", b"1.", 1))
    assert "part-000001.csv: damaged; the same command writes it again" in fails(COMMAND)
    assert not Path("predictions.csv").exists()
    main(COMMAND)
    assert Path("predictions.csv").read_bytes() == Path("whole.csv").read_bytes()


@pytest.mark.usefixtures("_fitted")
@pytest.mark.parametrize(
    "changed",
    [*(pytest.param(name, marks=pytest.mark.slow) for name in ("input", "options", "checkpoint")), "model options"],
)
def test_parts_of_another_prediction_are_not_mixed_in(
    changed: str, fails: Callable[[list[str]], str], fit_args: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    cut_short(2)
    command = list(COMMAND)
    if changed == "input":
        write_csv(Path("rows.csv"), ["text"], [(text.replace("film", "book"),) for text, _ in sentences(ROWS)])
    elif changed == "options":
        command.append("--with_logits")
    elif changed == "model options":
        command += ["--model.fast_kernels", "false"]
    else:
        main([*fit_args, "--trainer.max_epochs", "1", "--seed_everything", "7"])
    error = fails(command)  # and nothing after it: not that these parts will be used
    assert f"predictions.csv.parts has 2 parts of another prediction (other {changed})" in error
    assert "--overwrite" in error
    assert len(list(PARTS.glob("part-*.json"))) == 2
    capfd.readouterr()
    main([*command, "--overwrite"])
    assert f"2 parts of another prediction (other {changed}): removed" in capfd.readouterr().err
    main([*command, "--output", "whole.csv"])
    assert Path("predictions.csv").read_bytes() == Path("whole.csv").read_bytes()


@pytest.mark.usefixtures("_fitted")
@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp_fork"])
def test_processes_that_are_spawned_or_forked_are_refused(strategy: str, fails: Callable[[list[str]], str]) -> None:
    options = ["--trainer.strategy", strategy, "--trainer.accelerator", "cpu", "--trainer.devices", "2"]
    assert "predict does not run in spawned or forked processes; use ddp" in fails([*COMMAND, *options])


def test_from_python_with_a_checkpoint_by_its_name(reviews: dict[str, Path], tiny_bert: Path) -> None:
    """Lightning's `best`, which is a file that another prediction resumes by, and weights in memory, which are not."""
    files = {f"{split}_file": str(reviews[split]) for split in ("train", "validation")}
    data = TextDataModule(**files, predict_file=str(reviews["test"]), max_length=16)
    model = TextClassifier(str(tiny_bert))
    writers = [PredictionWriter("memory.csv"), PredictionWriter("best.csv", overwrite=True)]
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(max_epochs=1, accelerator="cpu", precision="32-true", callbacks=writers[1:], **quiet)
    trainer.fit(model, data)
    Trainer(accelerator="cpu", precision="32-true", callbacks=writers[:1], **quiet).predict(model, datamodule=data)
    trainer.predict(model, datamodule=data, ckpt_path="best")
    assert Path("memory.csv").read_bytes() == Path("best.csv").read_bytes()


@pytest.mark.usefixtures("_fitted")
def test_metrics_count_the_rows_of_both_runs() -> None:
    write_csv(Path("rows.csv"), ["text", "label"], sentences(ROWS))
    expected = main([*COMMAND, "--output", "whole.csv"])
    cut_short(2)
    assert main(COMMAND) == expected


@pytest.mark.usefixtures("_fitted")
def test_two_runs_into_one_file(fails: Callable[[list[str]], str]) -> None:
    import filelock

    cut_short(1)
    with filelock.FileLock(PARTS / "lock"):
        assert "another process is writing it" in fails(COMMAND)
    main(COMMAND)
    assert len(Path("predictions.csv").read_text(encoding="utf-8").splitlines()) == ROWS + 1


@contextlib.contextmanager
def limited_files(size: int) -> Iterator[None]:
    """Limits the size of each file that is written, in bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("_fitted")
@pytest.mark.parametrize(("room", "kept"), [pytest.param(4, 0, marks=pytest.mark.slow), (9, 4)])
def test_a_full_disk_keeps_what_is_done(
    room: int, kept: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit on the size of files, in KiB, stands for it: a part of 4.4 does not fit, or the whole of 17.6."""
    write_csv(Path("rows.csv"), ["text"], [(text,) for text, _ in sentences(5 * ROWS)])
    monkeypatch.setattr("lit_textclf.data.batches.parts.PART_BATCHES", 50)
    main([*COMMAND, "--output", "whole.csv"])
    with limited_files(room * 1024), pytest.raises(SystemExit) as raised:
        main(COMMAND)
    err = capsys.readouterr().err  # captured in memory, not in a file that the limit is for, too
    assert raised.value.code == 2, err
    assert "Traceback" not in err
    assert re.search(r"error: predictions\.csv.* cannot be written \(File too large\)", err)
    assert len(list(PARTS.glob("part-*.json"))) == kept
    assert not Path("predictions.csv").exists()
    assert not list(Path().glob(".predictions.csv*"))
    main(COMMAND)
    assert Path("predictions.csv").read_bytes() == Path("whole.csv").read_bytes()


def test_no_room_for_the_tokenizers_files() -> None:
    with limited_files(1), pytest.raises(UserError, match="set TMPDIR"):
        tokenizer_from_files({"tokenizer.json": "{}"})


@pytest.mark.slow
@pytest.mark.usefixtures("_fitted")
def test_killed_at_random_moments() -> None:
    """SIGKILL five times: the same bytes as of a run that nobody stopped, and the last run does only what is left."""
    rows, moments = 30_000, random.Random(0)
    write_csv(Path("rows.csv"), ["text"], [(text,) for text, _ in sentences(rows)])
    command = [sys.executable, "-m", "lit_textclf", *COMMAND]
    command[-1] = "8"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "--output", "whole.csv"], check=True, env=environment, capture_output=True)
    parts = -(-rows // 512)
    for kill in range(5):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for = kill * parts // 6 + moments.randrange(parts // 6)
        while len(list(PARTS.glob("part-*.json"))) <= wait_for:
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(moments.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not Path("predictions.csv").exists()
    done = len([path for path in PARTS.glob("part-*.json") if json.loads(path.read_bytes())])
    last = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    assert f"resuming: {done} of {parts} parts" in last.stderr
    computed = re.search(r"tokens; ([\d,]+) rows in", last.stderr)
    assert computed is not None
    assert abs(int(computed[1].replace(",", "")) - rows * (parts - done) / parts) < 512
    assert Path("predictions.csv").read_bytes() == Path("whole.csv").read_bytes()
    assert not PARTS.exists()
