"""`-` in place of a file: what is piped into the process, and what it writes to its standard output."""

from __future__ import annotations

import gzip
import io
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lit_textclf import TextDataModule, UserError, main
from lit_textclf.utils.messages import note
from lit_textclf.utils.paths import resolve_files
from tests.conftest import write_csv

Pipe = Callable[[bytes], None]
CSV = b"text,label\na good film,x\na bad film,y\n"
JSON = b'{"text": "a good film", "label": "x"}\n{"text": "a bad film", "label": "y"}\n'


class _Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Pipe:
    """Pipes bytes into this process."""
    return lambda content: monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


def as_parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["a good film", "a bad film"], "label": ["x", "y"]}), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (CSV, "CSV"),
        (CSV.replace(b",", b";"), "CSV"),
        (CSV.replace(b",", b"\t"), "CSV"),
        (b"\xef\xbb\xbf" + CSV, "CSV"),
        (JSON, "JSON"),
        (b'\n [{"text": "a good film", "label": "x"}, {"text": "a bad film", "label": "y"}]', "JSON"),
        (gzip.compress(CSV, mtime=0), "CSV (gzip)"),
        (pa.compress(CSV, "zstd", asbytes=True), "CSV (zstd)"),
        (gzip.compress(JSON, mtime=0), "JSON (gzip)"),
        (as_parquet(), "Parquet"),
    ],
)  # fmt: skip
def test_the_format_is_found_and_reported(
    content: bytes, kind: str, pipe: Pipe, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe(content)
    data = TextDataModule("-")
    data.read("fit")
    assert data.rows["train"].text.to_pylist() == ["a good film", "a bad film"]
    assert data.rows["train"].where(1) == "standard input: row 1"
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"standard input: {len(content):,} bytes, read as {kind}"
    assert all("/" not in line for line in lines)  # no name of the copy
    data.forget()
    data.read("fit")  # reads the copy again
    assert len(data.rows["train"]) == 2


def test_the_copy_is_private_and_removed(pipe: Pipe) -> None:
    pipe(CSV)
    (path,) = resolve_files("-", "data.train_file")
    assert path.read_bytes() == CSV
    assert path.parent.stat().st_mode & 0o077 == 0
    code = "from lit_textclf.utils.paths import resolve_files; print(*resolve_files('-', 'data.train_file'))"
    done = subprocess.run([sys.executable, "-c", code], input=CSV, capture_output=True, check=True)
    assert Path(done.stdout.decode().strip()).name == "standard_input.csv"
    assert not Path(done.stdout.decode().strip()).parent.exists()


def test_a_worker_process_reads_the_copy(pipe: Pipe) -> None:
    pipe(CSV)
    (path,) = resolve_files("-", "data.predict_file")
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(resolve_files, ("-", "data.predict_file")) == [path]


def test_the_device_of_standard_input_is_read_the_same_way(pipe: Pipe) -> None:
    pipe(CSV)
    assert resolve_files("/dev/stdin", "data.train_file") == resolve_files("-", "data.train_file")


def test_errors_and_notes_name_standard_input(pipe: Pipe, capsys: pytest.CaptureFixture[str]) -> None:
    pipe(CSV + b"one,two,three\n")
    with pytest.raises(UserError, match=r"^standard input: row 2 \(line 4\) has 3 fields, the header has 2"):
        TextDataModule("-").read("fit")
    (path,) = resolve_files("-", "data.train_file")
    note(f"{path}: something")
    assert capsys.readouterr().err.splitlines()[-1] == "standard input: something"


def test_what_cannot_be_read(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(b"")
    with pytest.raises(UserError, match=r"^standard input: the file is empty"):
        TextDataModule("-").read("fit")
    pipe(CSV)
    with monkeypatch.context() as patch:
        patch.setenv("WORLD_SIZE", "2")
        with pytest.raises(UserError, match=r"^data\.train_file -: several processes cannot share standard input"):
            TextDataModule("-").read("fit")
    with pytest.raises(UserError, match=r"^data\.train_file and data\.test_file: only one can read standard input"):
        TextDataModule("-", test_file=["a.csv", "-"])
    monkeypatch.setattr("sys.stdin", _Terminal(io.BytesIO()))
    with pytest.raises(UserError, match=r"^data\.train_file -: standard input is a terminal; pipe the rows into it"):
        TextDataModule("-").read("fit")
    for closed in (None, io.StringIO("text")):
        monkeypatch.setattr("sys.stdin", closed)
        with pytest.raises(UserError, match=r"^data\.train_file -: standard input is closed"):
            TextDataModule("-").read("fit")


@pytest.mark.usefixtures("fitted")
def test_a_pipe_gives_the_bytes_of_a_file(
    reviews: dict[str, Path], pipe: Pipe, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """With labels, whose metrics are a table on standard output otherwise."""
    args = ["predict", "--ckpt_path", "best", "--trainer.accelerator", "cpu", "--trainer.devices", "1"]
    metrics = main([*args, "--data.predict_file", str(reviews["test"]), "--output", "p.csv"])
    capsysbinary.readouterr()
    pipe(reviews["test"].read_bytes())
    assert main([*args, "--data.predict_file", "-", "--output", "-"]) == metrics
    out, err = capsysbinary.readouterr()
    assert out == Path("p.csv").read_bytes()
    assert b"standard input: " in err
    assert b"predict_accuracy" in err
    assert b"wrote" not in err
    assert {path.name for path in Path().glob("*p.csv*")} == {"p.csv"}
    main([*args, "--text", "good", "--output", "-", "--with_logits"])
    assert capsysbinary.readouterr().out.startswith(b"row,label,score,prob_negative")


@pytest.mark.usefixtures("fitted")
def test_one_process_of_predict_writes_to_standard_output(fails: Callable[[Sequence[str]], str]) -> None:
    write_csv(Path("a.csv"), ["text", "label"], [("a", "x"), ("b", "y")])
    line = fails(["init", "--data.train_file", "a.csv", "--output", "-"])
    assert line == "error: --output -: only predict writes to standard output; name a file"
    assert not Path("-").exists()
    line = fails(
        ["predict", "--ckpt_path", "best", "--text", "good", "--output", "-", "--trainer.accelerator", "cpu",
         "--trainer.devices", "2", "--trainer.strategy", "ddp"]
    )  # fmt: skip
    assert line == "error: --output -: several processes cannot share standard output; name a file"


@pytest.mark.slow
@pytest.mark.usefixtures("fitted")
def test_a_shell_pipe_and_its_early_end(reviews: dict[str, Path]) -> None:
    command = f"{sys.executable} -m lit_textclf predict --ckpt_path best --trainer.accelerator cpu --trainer.devices 1"
    shell = f"cat {reviews['test']} | {command} --data.predict_file - --output - --data.num_workers 1"
    done = subprocess.run(shell, shell=True, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 16
    shell = f"cat {reviews['test']} | {command} --data.predict_file - --output - | true; exit ${{PIPESTATUS[1]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "stdout is closed" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_two_ranks_train_on_what_was_piped(fit_args: list[str], reviews: dict[str, Path]) -> None:
    fit_args[fit_args.index("--trainer.devices") + 1] = "2"
    command = [sys.executable, "-m", "lit_textclf", *fit_args, "--trainer.strategy", "ddp", "--data.train_file", "-"]
    done = subprocess.run(
        command, input=reviews["train"].read_bytes(), capture_output=True, check=False, timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr.count(b"standard input: ") >= 1
    assert done.stderr.count(b"48 rows train") == 1
