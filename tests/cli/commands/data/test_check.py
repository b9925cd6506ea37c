"""What `check` finds: planted mistakes, counted by hand and by plain Python."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_textclf import main
from lit_textclf.cli.commands.data.check import _add_own_options, parsed, plain_parser
from lit_textclf.cli.sections import parser_of
from tests.conftest import sentences, write_csv


def checked(*options: str, train: str = "train.csv") -> dict[str, Any]:
    return main(["check", "--data.train_file", train, *options])


def found(result: dict[str, Any], kind: str, split: str = "train") -> dict[str, Any]:
    """The one finding of a kind in a split."""
    (finding,) = [each for each in result["findings"] if (each["kind"], each["split"]) == (kind, split)]
    return dict(finding)


@pytest.fixture
def tokenizer(tiny_bert: Path) -> list[str]:
    return ["--model.tokenizer_name_or_path", str(tiny_bert)]


def test_numbers_by_hand(tokenizer: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    train = [
        ("good film", "pos"), ("good film", "pos"), ("Good film!", "neg"), ("bad film", "neg"), ("bad film", "pos"),
        ("a very very bad meal", "neg"), ("", "neg"), ("zebra", "pos"),
    ]  # fmt: skip
    test = [("bad film", "neg"), ("BAD, film", "neg"), ("fine", "pos"), ("fine", "pos")]
    write_csv(Path("train.csv"), ["text", "label"], train)
    write_csv(Path("test.csv"), ["text", "label"], test)
    capfd.readouterr()
    result = checked("--data.test_file", "test.csv", *tokenizer, "--data.max_length", "6", "--format", "json")
    assert json.loads(capfd.readouterr().out) == result
    assert result["splits"]["train"] == {
        "rows": 8, "labels": {"neg": 4, "pos": 4}, "blank": 1, "duplicates": 2, "conflicts": 1, "near_duplicates": 3,
        # with [CLS] and [SEP]: 4 4 5 4 4 7 2 3
        "tokens": {"p5": 2, "p50": 4, "p95": 7, "p99": 7, "max": 7, "unknown_share": pytest.approx(2 / 17)},
        "truncated": 1,
    }  # fmt: skip
    assert result["splits"]["test"]["duplicates"] == 1
    assert result["leaks"]["train"] == {"exact": 0, "near": 0}
    assert result["leaks"]["test"] == {"exact": 1, "near": 2, "from_train": {"exact": 1, "near": 2}}
    assert found(result, "blank")["severity"] == "severe"
    conflict = found(result, "conflicts")
    assert (conflict["count"], conflict["severity"]) == (1, "severe")
    assert conflict["examples"] == ["train.csv: row 3: 'bad film' has neg, pos"]
    assert found(result, "duplicates")["examples"][0] == "train.csv: row 1: 'good film' is train.csv: row 0"
    assert found(result, "leak", "test")["examples"] == ["test.csv: row 0: 'bad film'"]
    assert [finding["severity"] for finding in result["findings"]] == sorted(
        (finding["severity"] for finding in result["findings"]), key=["severe", "warning", "note"].index
    )


def test_pairs_are_compared_by_both_texts(tokenizer: list[str]) -> None:
    rows = [("a", "b", "x"), ("a", "c", "y"), ("a", "b", "y"), ("b", "a", "x")]
    write_csv(Path("train.csv"), ["text_a", "text_b", "label"], rows)
    numbers = checked(*tokenizer)["splits"]["train"]
    assert (numbers["duplicates"], numbers["conflicts"]) == (1, 1)
    assert numbers["tokens"]["max"] == 5


PLANTED = {
    "mojibake": [
        "\u00c3\u201eapfel",
        "\u00c3\u0178",
        "\u00e2\u201a\u00ac 5",
        "\u00d0\u00bf\u00d1\u20ac",
        "\u00f0\u0178\u02dc\u20ac",
        "\u00e6\u2014\u00a5\u00e6\u0153\u00ac",
        "It\u00e2\u0080\u0099s",
        "caf\u00c3\u00a9",
        "\u00e2\u20ac\u2122",
        "\u00ef\u00bb\u00bfx",
        "a\ufffdb",
    ],
    "control_characters": ["a\x07b", "a\x92b", "\x7f"],
    "invisible_characters": ["a\u200bb", "\ufeffa", "soft\u00adhyphen"],
    "html": ["a &amp; b", "&#39;", "<br>", "<br />", '<a href="x">y</a>'],
    "line_breaks": ["a\nb", "a\r\nb"],
}
FINE = [
    "\u00c9t\u00e9 \u00e0 la No\u00ebl",
    "S\u00e3o Paulo",
    "a < b > c",
    "AT&T; I <3 you",
    "caf\u00e9\u201d\u2014 yes",
    "\u00c0\u201d",
    "x & y",
    "tab\there",
    "\u4e2d\u6587",
]


@pytest.mark.parametrize("kind", PLANTED)
def test_characters(kind: str, tokenizer: list[str]) -> None:
    rows = [(text, "xy"[index % 2]) for index, text in enumerate([*PLANTED[kind], *FINE])]
    write_csv(Path("train.csv"), ["text", "label"], rows)
    result = checked(*tokenizer)
    assert found(result, kind)["count"] == len(PLANTED[kind])
    assert len(found(result, kind)["examples"]) == min(3, len(PLANTED[kind]))


def test_nothing_is_found_in_good_texts(tokenizer: list[str]) -> None:
    write_csv(Path("train.csv"), ["text", "label"], [(text, "xy"[index % 2]) for index, text in enumerate(FINE)])
    kinds = {finding["kind"] for finding in checked(*tokenizer)["findings"]}
    assert not kinds & {
        *PLANTED,
        "blank",
        "duplicates",
        "near_duplicates",
        "conflicts",
        "constant_text",
        "id_like_text",
    }


def test_wrong_columns(tokenizer: list[str]) -> None:
    rows = [(f"r-{index}", "same", text, label) for index, (text, label) in enumerate(sentences(40))]
    write_csv(Path("train.csv"), ["key", "topic", "review", "label"], rows)
    assert found(checked("--data.text_column", "key", *tokenizer), "id_like_text")["severity"] == "severe"
    assert found(checked("--data.text_column", "topic", *tokenizer), "constant_text")["severity"] == "severe"
    write_csv(Path("train.csv"), ["text", "body", "label"], [("on it", "so long " * 20, label) for *_, label in rows])
    assert "'body' (mean 160 characters)" in found(checked(*tokenizer), "longer_column")["message"]
    write_csv(Path("train.csv"), ["text", "label"], [(text, f"{text} 7") for text, _ in sentences(120)])
    assert found(checked(*tokenizer), "label_column")["severity"] == "severe"


def test_labels(tokenizer: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    rows = [(text, "rare" if index == 0 else "common") for index, (text, _) in enumerate(sentences(30))]
    write_csv(Path("train.csv"), ["text", "label"], rows)
    write_csv(Path("v.csv"), ["text", "label"], [("x y", "common"), ("y z", ""), ("z", "strange")])
    result = checked("--data.validation_file", "v.csv", *tokenizer)
    assert found(result, "imbalance")["message"] == "1 row has the label 'rare', 29 have 'common': 29.0 times as many"
    assert found(result, "rare_labels")["count"] == 1
    assert found(result, "unlabelled", "validation")["examples"] == ["v.csv: row 1: 'y z'"]
    assert "'strange' is unknown" in found(result, "labels", "validation")["message"]
    out = capfd.readouterr().out
    assert "class_weights: balanced" in out
    assert "warning: train: 1 row has the label 'rare'" in out
    write_csv(Path("train.csv"), ["text", "label"], [("a", "x"), ("b", ""), ("c", "y")])
    assert found(checked(*tokenizer), "unlabelled")["count"] == 1
    write_csv(Path("train.csv"), ["text", "label"], [("a", "x"), ("b", "x")])
    assert "have the label 'x'" in found(checked(*tokenizer), "target")["message"]


def test_names_of_labels(tokenizer: list[str]) -> None:
    def labelled(*labels: str) -> dict[str, Any]:
        write_csv(
            Path("train.csv"), ["text", "label"], [(f"good film {i}", label) for i, label in enumerate(labels * 3)]
        )
        return checked(*tokenizer)

    assert found(labelled("pos", "Pos", " pos", "neg"), "similar_labels")["count"] == 3
    assert found(labelled("a|b", "b|c", "a"), "joined_labels")["count"] == 2
    assert found(labelled("1", "2", "3", "4", "5", "nan"), "almost_numbers")["count"] == 1
    assert "'nan' among numbers" in found(labelled("1.5", "2.5", "3", "4", "5", "nan"), "target")["message"]


def test_conflicts_compare_sets_and_numbers(tokenizer: list[str]) -> None:
    lines = [{"text": "t", "label": names} for names in (["a", "b"], ["b", "a"], [])]
    Path("train.jsonl").write_text(
        "\n".join(map(json.dumps, [*lines[:2], {"text": "u", "label": ["a"]}])), encoding="utf-8"
    )
    assert checked(*tokenizer, train="train.jsonl")["splits"]["train"]["conflicts"] == 0
    Path("train.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert checked(*tokenizer, train="train.jsonl")["splits"]["train"]["conflicts"] == 1
    write_csv(Path("train.csv"), ["text", "label"], [("t", "1"), ("t", "1.0"), ("u", "0.5")])
    assert checked(*tokenizer)["splits"]["train"]["conflicts"] == 0


def test_label_sets_and_numbers(tokenizer: list[str]) -> None:
    Path("train.jsonl").write_text(
        '{"text": "a", "label": ["x", "y"]}\n{"text": "b", "label": []}\n{"text": "c", "label": ["x"]}\n',
        encoding="utf-8",
    )
    numbers = checked(*tokenizer, train="train.jsonl")["splits"]["train"]
    assert (numbers["labels"], numbers["empty_label_sets"]) == ({"x": 2, "y": 1}, 1)
    write_csv(Path("train.csv"), ["text", "label"], [("a", "0.5"), ("b", "2"), ("c", "3.5")])
    numbers = checked(*tokenizer)["splits"]["train"]
    assert (numbers["labels"], numbers["values"]) == ({}, {"min": 0.5, "mean": 2.0, "max": 3.5})


def test_unknown_tokens(tokenizer: list[str]) -> None:
    rows = [("\u0436\u0438\u0437\u043d\u044c \u0434\u0430", "x"), ("good film", "y"), ("\u0434\u0430 good", "x")]
    write_csv(Path("train.csv"), ["text", "label"], rows)
    finding = found(checked(*tokenizer), "unknown_tokens")
    assert (finding["severity"], finding["count"]) == ("severe", 2)  # rows; 3 of 6 tokens
    assert "tokens that are unknown to the tokenizer: 50.0 % of all tokens" in finding["message"]


def test_strict(tokenizer: list[str], reviews: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    checked(*tokenizer, "--strict", train=str(reviews["train"]))
    with pytest.raises(SystemExit) as raised:
        checked(*tokenizer, "--strict", "--data.test_file", str(reviews["train"]), train=str(reviews["train"]))
    assert raised.value.code == 1
    assert "1 severe: leak" in capfd.readouterr().err


def test_held_out_splits_are_those_of_fit(tokenizer: list[str], reviews: dict[str, Path]) -> None:
    result = checked(
        *tokenizer, "--data.validation_split", "0.25", "--data.test_split", "0.25", train=str(reviews["train"])
    )
    assert {split: numbers["rows"] for split, numbers in result["splits"].items()} == {
        "train": 24, "validation": 12, "test": 12,
    }  # fmt: skip
    assert all(leaks["near"] == 0 for leaks in result["leaks"].values())


def test_without_a_tokenizer_words_are_counted(reviews: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    result = checked(train=str(reviews["train"]))
    words = [len(text.split()) + 2 for text, _ in sentences(48)]
    assert result["splits"]["train"]["tokens"]["max"] == max(words)
    captured = capfd.readouterr()
    assert "lengths are words between spaces" in captured.err
    assert "train: words of each row" in captured.out


def test_a_config_of_fit_is_taken(tokenizer: list[str], reviews: dict[str, Path], fails: Callable[..., str]) -> None:
    Path("c.yaml").write_text(
        f"data: {{train_file: {reviews['train']}, max_length: 8}}\ntrainer: {{max_epochs: 2}}\n", encoding="utf-8"
    )
    assert main(["check", "--config", "c.yaml", *tokenizer])["splits"]["train"]["truncated"] > 0
    assert "no training rows to check: type --data.train_file FILE" in fails(["check", *tokenizer])
    assert "did you mean 'format'?" in fails(["check", "--fromat", "json"])
    assert "none.csv: no such file" in fails(["check", "--data.train_file", "none.csv"])
    assert "no tokenizer could be loaded" in fails([
        "check", "--data.train_file", str(reviews["train"]), "--model.tokenizer_name_or_path", "org/none"
    ])  # fmt: skip


def test_the_next_command_is_named_and_runs(reviews: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    train = f"--data.train_file={reviews['train']}"
    main(["check", train, "--strict", "--format", "table", "--data.validation_split", "0.25"])
    *_, before, last = capfd.readouterr().err.splitlines()
    assert before.startswith(f"next: lit-textclf baseline {train} --data.validation_split 0.25, for the scores")
    main(shlex.split(before.removeprefix("next: ").partition(",")[0])[1:])
    assert last == f"next: lit-textclf init {train} --data.validation_split 0.25, for a config with these options"
    main(shlex.split(last.removeprefix("next: ").partition(",")[0])[1:])
    assert Path("config.yaml").is_file()
    main(["check", "--config", "config.yaml"])
    assert capfd.readouterr().err.splitlines()[-1] == "next: lit-textclf fit --config config.yaml"
    main(["check", train, "--format", "json"])
    assert "next:" not in capfd.readouterr().err


SAME = [
    "",
    "--data.labels [a,b] --data.max_length 32 --data.encoding [utf-8,cp1252] --data.fold 1 --data.quote_char ''",
    "--data.readers '{.x: my.read}' --data.dataset_splits.validation dev --data.text_column [a,b]",
    "--model.model_name_or_path m --model.tokenizer_name_or_path t --model.from_scratch.hidden_size 8",
    "--model.learning_rate 1e-4 --model.freeze embeddings --model.class_weights balanced --model.lora {}",
    "--model.metrics '{a: b.C}' --model.optimizer torch.optim.SGD --model.pooling mean --model.head_init probe",
    "--trainer.max_epochs 3 --trainer.devices 2 --trainer.accelerator cpu --trainer.strategy ddp_spawn",
    "--trainer.max_epochs auto --trainer.devices [0,1] --trainer.gradient_clip_val null",
    "--trainer.precision 16 --trainer.default_root_dir runs --trainer.accumulate_grad_batches 2",
    "--tensorboard.embeddings 5 --tensorboard.graph true --seed_everything 7 --ckpt_path x",
    "--config cfg.yaml --strict --format json",
]


@pytest.mark.parametrize("typed", SAME)
def test_options_are_the_same_with_and_without_lightning(typed: str) -> None:
    config = {"data": {"batch_size": 8, "labels": ["1"]}, "model": {"from_scratch": {"hidden_size": 8}}}
    Path("cfg.yaml").write_text(json.dumps({**config, "trainer": {"max_epochs": 5, "devices": "2"}}), encoding="utf-8")
    plain, complete = plain_parser(), parser_of("check", "")
    for parser in (plain, complete):
        _add_own_options(parser)
    options, expected = (parsed(parser, ["check", *shlex.split(typed)])[0] for parser in (plain, complete))
    for section in ("data", "model", "tensorboard"):
        assert options[section].as_dict() == expected[section].as_dict()
    found = options.trainer.as_dict()
    assert found == {name: value for name, value in expected.trainer.as_dict().items() if name in found}
    assert (options.format, options.strict) == (expected.format, expected.strict)


def test_what_the_plain_options_lack_is_left_to_the_complete_parser(
    tokenizer: list[str], fails: Callable[[list[str]], str]
) -> None:
    write_csv(Path("train.csv"), ["text", "label"], sentences(8))
    config = "model: {learning_rate: 1e-4}\ntrainer: {logger: false, strategy: {class_path: DDPStrategy}}\n"
    Path("cfg.yaml").write_text(config, encoding="utf-8")
    assert checked(*tokenizer, "--config", "cfg.yaml") == checked(*tokenizer)
    for typed, line in {
        ("--model.learning_rate", "fast"): "error: model.learning_rate: fast is not float or one of 'auto'",
        ("--epochs", "3"): "error: no option --epochs; type --trainer.max_epochs",
        ("--trainer.precision", "7"): "error: trainer.precision",
        ("--data.max_length", "long"): "error: data.max_length: long is not int or null",
        ("--formt", "json"): "error: no option --formt; did you mean 'format'?",
    }.items():
        assert line in fails(["check", "--data.train_file", "train.csv", *typed])


SCRIPT = """
import sys
from lit_textclf.cli.main import main_script
main_script()
assert "pyarrow" in sys.modules and "pandas" not in sys.modules
"""


def test_the_console_script_imports_no_pandas(tokenizer: list[str]) -> None:
    write_csv(Path("train.csv"), ["text", "label"], sentences(8))
    command = [sys.executable, "-c", SCRIPT, "check", "--data.train_file", "train.csv", "--format", "json", *tokenizer]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == checked(*tokenizer)
