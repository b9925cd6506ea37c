"""The options of `data.*`, and the rows they name: without batches, Lightning and torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from lit_textclf.data.labels.table import TaskOption
from lit_textclf.data.options import READS_TEXT, check_data
from lit_textclf.data.splits import Splits
from lit_textclf.data.tokens.long_text import LongText, Mode
from lit_textclf.data.tokens.token_cache import default_cache_dir

if TYPE_CHECKING:
    from lit_textclf.data.tokens.tokenizer import TextTokenizer

    Files: TypeAlias = Any
    """Paths, or in Python also rows in memory, see :func:`table_of`."""
else:
    Files = str | list[str] | None  # what the command line takes


class TextData(Splits):
    """Rows of text with labels, and how texts are read.

    Args:
        train_file: a path, a glob or a list of paths: .csv, .tsv, .jsonl, .json (also .gz, .zst), .parquet, .arrow,
            .xlsx, or a folder with one sub-folder of .txt files for each class; package:NAME/PATH means inside an
            installed Python package, and - is standard input
        validation_file: the same, for the evaluation after each epoch
        test_file: the same, for the test command
        predict_file: the same, for the predict command; labels are optional
        dataset_name: a data set on the Hugging Face Hub, or a folder saved by datasets, in place of files
        dataset_config_name: its configuration, if it has several
        dataset_splits: the data set's names of the splits, if they are not train, validation and test, as
            {validation: validation_matched}; predict reads that of test unless named
        validation_split: share of the training rows to hold out for validation if that has no file; stratified,
            by a hash of the text, so that equal texts stay together
        test_split: the same for test
        folds: the number of folds of k-fold cross-validation; one of them is held out for validation
        fold: the fold to hold out, from 0; the cross_validate command takes each in turn
        text_column: the column that the model reads; null finds text, a usual pair (text_a and text_b, ...), sentence,
            or another usual name (review, comment, content, message, body, title, question, tweet, document); the
            columns of a list, as [title, body], are joined by line ends
        text_pair_column: the column of the second text, for pairs
        label_column: the column of the labels; null finds label or another usual name (labels, category, class, target,
            sentiment, intent, topic, rating, score)
        label_columns: in place of label_column, one column of zeros and ones for each label of a multi-label task
        id_column: a column that predictions carry along
        encoding: the files' encoding; the encodings of a list are tried in order, file by file; null means utf-8, or
            cp1252 (Windows) for a file that is not
        delimiter: the character between columns; null means a tab in a .tsv, and in a .csv a comma, or ; tab | if the
            header and the first rows have that
        quote_char: the character around fields that contain the delimiter; an empty string if quotes have no meaning
        readers: readers of your own for other file formats, as {.xml: my_pkg.read_xml}; each is a function or a class
            (or {class_path: ..., init_args: ...}) that is called with the path and the options, and yields pyarrow
            tables or lists of dictionaries
        task: single_label, multi_label or regression; auto decides by the labels and reports it: multi_label if they
            are lists, regression if all are numbers and at least one is not an integer
        labels: the names of the labels in order; null takes them from the training rows, sorted
        positive_label: with two labels, the label that val_f1, val_precision, val_recall and val_auroc refer to; null
            means the last
        max_length: the most tokens to read of a row, special tokens included; in Python, None (here and in the next
            three) reads texts as the classifier's checkpoint did, else as the command line does
        long_text: how longer texts are read: truncate keeps the beginning; head_tail keeps both ends, half each;
            window reads overlapping windows of max_length, whose logits are pooled (model.window_pooling)
        window_stride: tokens from the beginning of a window to that of the next; null means half a window
        max_windows: the most windows of a text; the rest is cut off and counted
        pad_to_max_length: pad to max_length instead of to the longest row of each batch
        batch_by_length: put rows of similar length into a batch, which needs little padding: training rows are
            shuffled, then sorted within windows of 100 batches; false only shuffles them
        batch_size: rows of a training batch, per device
        max_tokens_per_batch: in place of batch_size, the most tokens of a training batch, padding included; a batch has
            as many rows of similar length as fit; in one process
        sampler: the order of training rows: shuffled, length_grouped or token_budget (which needs
            max_tokens_per_batch), or a sampler class of your own as {class_path: my_pkg.MySampler, init_args: {...}};
            null decides by batch_by_length and max_tokens_per_batch
        eval_batch_size: rows of a batch in validation, test and prediction, per device
        num_workers: processes that prepare batches
        allow_blank_text: train and validate on rows without text, too
        max_train_samples: train on a seeded, stratified sample of this many rows
        max_eval_samples: validate and test on the first rows only, at most this many
        max_predict_samples: predict the first rows only, at most this many
        cache_dir: where tokenized texts are cached; null means lit_textclf/tokens in the user's cache folder
        tokenizer: the tokenizer, or its name or path; None takes the classifier's when the run begins
    """

    def __init__(
        self,
        train_file: Files = None,
        validation_file: Files = None,
        test_file: Files = None,
        predict_file: Files = None,
        dataset_name: str | None = None,
        dataset_config_name: str | None = None,
        dataset_splits: dict[str, str] | None = None,
        validation_split: float | None = None,
        test_split: float | None = None,
        folds: int | None = None,
        fold: int | None = None,
        text_column: str | list[str] | None = None,
        text_pair_column: str | None = None,
        label_column: str | None = None,
        label_columns: list[str] | None = None,
        id_column: str | None = None,
        encoding: str | list[str] | None = None,
        delimiter: str | None = None,
        quote_char: str = '"',
        readers: dict[str, str | dict[str, Any]] | None = None,
        task: TaskOption = "auto",
        labels: list[str] | None = None,
        positive_label: str | None = None,
        max_length: int | None = None,
        long_text: Mode | None = None,
        window_stride: int | None = None,
        max_windows: int | None = None,
        pad_to_max_length: bool = False,
        batch_by_length: bool = True,
        batch_size: int = 32,
        max_tokens_per_batch: int | None = None,
        sampler: str | dict[str, Any] | None = None,
        eval_batch_size: int = 64,
        num_workers: int = 0,
        allow_blank_text: bool = False,
        max_train_samples: int | None = None,
        max_eval_samples: int | None = None,
        max_predict_samples: int | None = None,
        cache_dir: str | None = None,
        tokenizer: TextTokenizer | str | os.PathLike[str] | None = None,
    ) -> None:
        options = locals()  # every argument by its name
        check_data(options)
        super().__init__(options)
        self.pad_to_max_length = pad_to_max_length
        self.batch_by_length, self.max_tokens_per_batch, self.sampler = batch_by_length, max_tokens_per_batch, sampler
        self.batch_size, self.eval_batch_size, self.num_workers = batch_size, eval_batch_size, num_workers
        self.cache_dir = Path(cache_dir).expanduser() if cache_dir else default_cache_dir()
        self._typed = {name: options[name] for name in READS_TEXT if options[name] is not None}
        self._read_texts_as(READS_TEXT | self._typed)
        self._take_over(options)

    def _take_over(self, options: Mapping[str, Any]) -> None:
        """Called at the end of the construction, for what a derived class does with the arguments by name."""

    def _read_texts_as(self, settings: Mapping[str, Any]) -> None:
        """Sets how much of a text is read, from a value for each of :data:`READS_TEXT`."""
        self.max_length = self._max_length = int(settings["max_length"])
        self.long_text = LongText(settings["long_text"], settings["window_stride"], settings["max_windows"])
