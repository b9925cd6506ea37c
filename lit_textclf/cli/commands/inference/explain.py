"""The command `explain`: which words speak for a label, and how much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lit_textclf.classifier.explanation.explain import GRADIENTS, OCCLUSION, ExplainsTexts, index_of_label
from lit_textclf.cli.engine import (
    Engine,
    add_runtime_options,
    carried_data,
    check_rows_or_text,
    fill_in,
    refuse_text_and_file,
)
from lit_textclf.cli.parser import Parser, add_data_options
from lit_textclf.cli.precedence import in_order_of_precedence
from lit_textclf.data.batches.dataset import TokenizedDataset
from lit_textclf.data.encoded_data import EncodedData
from lit_textclf.data.options import READS_TEXT
from lit_textclf.evaluation.explanations import Explanations, print_telling_words
from lit_textclf.export.load import OnnxClassifier
from lit_textclf.prediction.output_file import PredictionFile
from lit_textclf.utils.csv_format import check_csv_name
from lit_textclf.utils.messages import UserError, note, still_working
from lit_textclf.utils.paths import expand_path

if TYPE_CHECKING:
    from lit_textclf.classifier.inference.stored import CheckpointInfo
    from lit_textclf.classifier.module import TextClassifier

EXPLANATIONS = "explanations.csv"
_ROWS = 64
"""Rows that are explained together."""


def explain(args: Sequence[str]) -> tuple[dict[str, Any], list[Path]]:
    """Writes one line for each word: what it adds to the evidence for the predicted label, or for another one."""
    parser = _parser()
    typed = in_order_of_precedence(args, parser.option_keys, environment={})  # which has options of fit
    options = parser.parse_args(typed.args[1:])
    refuse_text_and_file(typed.text, options.data)
    engine, stored = _stored(options)
    values = carried_data(stored, parser.option_keys)
    parser.set_defaults({f"data.{name}": value for name, value in values.items()})
    options = parser.parse_args(typed.args[1:])
    stored = fill_in(options, stored, {"data": values}, typed)
    index_of_label(stored.target, options.label)
    check_csv_name(options.output)
    output = PredictionFile(expand_path(options.output, "--output"), overwrite=options.overwrite)
    data = EncodedData(**options.data.as_dict())
    data.use_checkpoint(stored.target, stored.trained_on, id_required=typed.set_by_user("data.id_column"))
    check_rows_or_text(typed.text, data, "explain")
    if engine is not None:
        engine.note()
        found = _write(OnnxClassifier(stored, engine.execution_provider), data, options, output)
    else:
        from lit_textclf.cli.lightning_process import lightning_process

        with lightning_process():
            found = _write(_classifier(stored), data, options, output)
    for line in found.report():
        note(f"explain: {line}")
    print_telling_words(found)
    return found.metrics(), [output.path]


def _write(model: ExplainsTexts, data: EncodedData, options: Any, output: PredictionFile) -> Explanations:
    """Explains the rows, a few at a time, and writes the file."""
    data.prepare("predict", model)
    assert data.stream is not None
    assert model.target is not None
    model.trained_with = {name: data.carried[name] for name in READS_TEXT}
    found, tally = Explanations(model.target, data.stream.columns), Counter[str]()
    with output.writing(), still_working("explain"):
        output.append(output.encode(found.header(), first=True))
        for _, rows in data.stream.parts(_ROWS, range(-(-data.stream.total // _ROWS))):
            pairs = None if rows.text_pair is None else rows.text_pair.to_pylist()
            answers = model.explain(rows.text.to_pylist(), pairs, label=options.label, method=options.method)
            output.append(output.encode(found.lines(rows, answers)))
            tally.update(TokenizedDataset(rows, data.tokenizer, data.max_length, data.long_text).tally())
    note(f"explain: {data.predict_report(tally)}")
    return found


def _parser() -> Parser:
    parser = Parser(prog="lit-textclf explain", description=explain.__doc__)
    parser.add_argument("--ckpt_path", type=str | None, help="the checkpoint: a file, a run's folder, last or best")
    add_runtime_options(parser)
    parser.add_argument("--text", type=str | None, default=None, help="explain this text in place of a file")
    parser.add_argument("--output", type=str, default=EXPLANATIONS, help="the file to write")
    parser.add_argument("--overwrite", type=bool, default=False, help="replace the file if it exists")
    parser.add_argument(
        "--label", type=str | None, default=None,
        help="the label that words speak for or against; null means the predicted one, of label sets the most probable",
    )  # fmt: skip
    parser.add_argument(
        "--method", type=Literal["gradients", "occlusion"] | None, default=None,
        help=f"{GRADIENTS}: integrated gradients, which needs a checkpoint and the extra explain; {OCCLUSION}: the "
        "model without each word in turn; null means gradients with a checkpoint, occlusion with --engine onnx",
    )  # fmt: skip
    parser.add_argument("--trainer.default_root_dir", type=str, default=".", help="where to look for last and best")
    add_data_options(parser, EncodedData)
    return parser


def _stored(options: Any) -> tuple[Engine | None, CheckpointInfo]:
    """The engine, None for torch, and what the checkpoint or the exported folder contains."""
    engine = Engine.from_options(options)
    if engine is not None:
        return engine, engine.stored
    if options.ckpt_path is None:
        raise UserError("explain needs --ckpt_path: a checkpoint, last or best (or --engine onnx --model_dir DIR)")
    from lit_textclf.classifier.checkpoint import find_checkpoint, read_checkpoint

    root = expand_path(options.trainer.default_root_dir, "trainer.default_root_dir")
    return None, read_checkpoint(find_checkpoint(options.ckpt_path, root))


def _classifier(stored: CheckpointInfo) -> TextClassifier:
    """The checkpoint's classifier, on a GPU if there is one."""
    import torch

    from lit_textclf.classifier.module import TextClassifier

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return TextClassifier.load_from_checkpoint(stored.path, map_location=device).eval()
