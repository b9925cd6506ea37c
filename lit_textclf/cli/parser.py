"""The parser of every command, with errors of one line. It does not import Lightning, which `compare` never needs."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

from jsonargparse import ActionConfigFile, ArgumentParser  # type: ignore[attr-defined]

from lit_textclf.utils.messages import UserError, did_you_mean, either
from lit_textclf.utils.run_folder import SECTIONS

P = ParamSpec("P")
T = TypeVar("T")
_MEANT = {
    "trainer.max_epochs": "epochs num_epochs n_epochs num_train_epochs nb_epochs",
    "model.learning_rate": "lr base_lr",
    "seed_everything": "seed random_seed random_state",
    "trainer.default_root_dir": "output_dir save_dir log_dir logging_dir checkpoint_dir",
    "trainer.precision 16-mixed": "fp16 half amp mixed_precision",
    "trainer.precision bf16-mixed": "bf16",
    "trainer.accelerator cpu": "no_cuda use_cpu cpu",
    "trainer.accelerator": "device cuda gpu",
    "trainer.devices": "gpus num_gpus n_gpu num_devices",
    "trainer.accumulate_grad_batches": "gradient_accumulation_steps grad_accum accumulation_steps",
    "trainer.gradient_clip_val": "max_grad_norm grad_clip clip_grad_norm",
    "trainer.val_check_interval": "eval_steps evaluation_strategy eval_strategy",
    "trainer.log_every_n_steps": "logging_steps log_steps",
    "trainer.checkpoint_every_n_steps": "save_steps save_strategy",
    "model.model_name_or_path": "model model_name pretrained_model pretrained_model_name_or_path base_model",
    "model.tokenizer_name_or_path": "tokenizer tokenizer_name",
    "model.lr_scheduler": "scheduler lr_scheduler_type",
    "model.warmup_ratio": "warmup warmup_steps",
    "model.label_smoothing": "label_smoothing_factor smoothing",
    "model.weight_decay": "wd",
    "data.train_file": "train train_data train_path training_file data_path",
    "data.validation_file": "val valid dev validation val_file valid_file dev_file eval_file validation_data val_data",
    "data.test_file": "test test_data test_path",
    "data.predict_file": "input input_file infile predict_data",
    "data.batch_size": "bs train_batch_size per_device_train_batch_size per_gpu_train_batch_size",
    "data.eval_batch_size": "per_device_eval_batch_size per_gpu_eval_batch_size test_batch_size",
    "data.max_length": "max_len max_seq_len max_seq_length seq_length max_tokens",
    "data.text_column": "text_col text_column_name text_column_names text_field",
    "data.label_column": "label_col target target_column label_column_name label_field",
    "data.delimiter": "sep separator delim field_separator",
    "data.num_workers": "workers dataloader_num_workers preprocessing_num_workers",
    "data.validation_split": "val_split test_size validation_size val_size",
    "ckpt_path": "checkpoint checkpoint_path ckpt resume resume_from_checkpoint",
    "output": "out output_file outfile o",
    "config": "config_file cfg",
}
"""What people type who come from other tools, by the option that is meant, with its value where that follows."""
_EXPLAINED = {
    "warmup warmup_steps": "type {option} 0.1: the share of all steps, not their number",
    "evaluation_strategy eval_strategy": "remove it: validation follows each epoch; {option} 0.5 is twice an epoch",
    "eval_steps": "type {option}: a number of batches, or a share of the epoch such as 0.5",
    "save_strategy": "remove it: checkpoints are written after each epoch; {option} is for long epochs",
    "val_split test_size validation_size val_size": "type {option} 0.1: the share of the rows, not their number",
}
"""What to type for names whose unit or meaning differs from that of the option in :data:`_MEANT`."""
_COMMANDS = {"fit": "do_train train_model", "validate": "do_eval", "test": "do_test", "predict": "do_predict"}
_OPTION_OF = {name: option for option, names in _MEANT.items() for name in names.split()}
_EXPLANATION_OF = {name: words for names, words in _EXPLAINED.items() for name in names.split()}
_COMMAND_OF = {name: command for command, names in _COMMANDS.items() for name in names.split()}
_EXPECTED = {"threshold": "a probability such as 0.7, best, or {label: 0.7}"}


class Parser(ArgumentParser):
    """A parser that raises errors of one line, and does not complete abbreviated options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    @property
    def option_keys(self) -> list[str]:
        """The keys of all options, as `data.batch_size`."""
        return [action.dest for action in self._actions]

    def error(self, message: str, ex: Exception | None = None) -> Any:
        """Raises a UserError with the message, and with the nearest option if one was mistyped."""
        raise UserError(one_line(message, self.option_keys))


def built_once(build: Callable[P, T]) -> Callable[P, T]:
    """Builds a parser at the first call, and copies it at each: 5 ms in place of 100 for that of `fit`.

    Commands that run one after another in a process need the same parsers, as the folds of `cross_validate` do. Each
    gets its own, because `set_defaults` changes it.
    """
    built = functools.cache(build)

    @functools.wraps(build)
    def copied(*args: P.args, **kwargs: P.kwargs) -> T:
        return copy.deepcopy(built(*args, **kwargs))  # type: ignore[arg-type]

    return copied


def config_parser(**settings: Any) -> Parser:
    """A parser that accepts configs of `fit`."""
    parser = Parser(**settings)
    parser.add_argument(
        "--config", "-c", action=ActionConfigFile, help="a config of fit; keys that do not matter here are ignored"
    )
    for name in ("seed_everything", "ckpt_path"):  # a saved config has them
        parser.add_argument(f"--{name}", type=Any, default=None, help="not used")
    return parser


def add_data_options(parser: ArgumentParser, owner: type) -> None:
    """Adds the options of data; what Python leaves open until a checkpoint is known has its default here.

    Args:
        parser: the parser.
        owner: the class that takes them: :class:`TextData`, or one derived from it.
    """
    from lit_textclf.classifier.options import CARRIED  # here: compare, which reads no data, has the parser too
    from lit_textclf.data.options import READS_TEXT

    parser.add_class_arguments(owner, "data", skip=set(CARRIED), sub_configs=False)
    parser.set_defaults({f"data.{name}": value for name, value in READS_TEXT.items() if value is not None})


def what_is_meant(key: str, known: Iterable[str], dashes: str = "--") -> str:
    """`; type ...` with the option that another tool's name stands for, or else with the nearest one, or nothing."""
    known, name = list(known), key.replace("-", "_").rpartition(".")[2]
    if name in _COMMAND_OF:
        return f"; the command is lit-textclf {_COMMAND_OF[name]}"
    option = _OPTION_OF.get(name)
    if option is not None and option.split()[0] in known:
        return f"; {_EXPLANATION_OF.get(name, 'type {option}').format(option=dashes + option)}"
    same = [other for other in known if other.rpartition(".")[2] == name]
    return did_you_mean(same[0] if same else key, [other for other in known if other not in SECTIONS])


def _of_a_file(known: Iterable[str]) -> str:
    """The option that a file without an option belongs to in the command with these options."""
    if "data.train_file" not in known:
        return "ckpt_path" if "ckpt_path" in known else "output"
    if "text" in known:
        return "data.predict_file"
    return "data.test_file" if "engine" in known else "data.train_file"


def one_line(message: str, known: list[str]) -> str:
    """Turns a parser's paragraph into a line: the key, the value and what was expected."""
    if match := re.search(r"[Uu]nrecognized arguments: *--([\w.-]+)", message):
        return f"no option --{match[1]}{what_is_meant(match[1], known)}"
    if match := re.search(r"[Uu]nrecognized arguments: *(-\w+)", message):
        return f"no option {match[1]}{what_is_meant(match[1][1:], known)}"
    if match := re.search(r"[Uu]nrecognized arguments: *([^\s-]\S*)", message):
        return f"{match[1]}: a value without an option; options have names, as --{_of_a_file(known)} {match[1]}"
    if match := re.search(r'Parser key "(\w+)": Unable to load config [\'"](.*?)[\'"]', message):
        return f"no option --{match[1]} with a value ({match[2]}){what_is_meant(match[1], known)}"
    key = re.search(r'(?:Parser key|[Kk]ey) "?([\w.]+)"?', message)
    value = re.search(r"(?:Given value|Got value): (.*)", message)
    missing = re.search(r"arguments are required: (\w+)", message)
    if key and missing:
        of = re.search(r"class_path='(?:[\w.]*\.)?(\w+)'", value[1] if value else "")
        return (
            f"{key[1]}: {of[1] if of else 'its class'} needs {missing[1]}; add --{key[1]}.{missing[1]} VALUE after it"
        )
    expected = re.findall(r"Expected an? (.*?)(?:\. Got|$)", message, re.MULTILINE)
    if not key or not expected:
        return message
    names = [re.sub(r"<class '(.*?)'>|typing\.", r"\1", name) for name in dict.fromkeys(expected)]
    names = ["null" if name == "NoneType" else name for name in names]
    names = [re.sub(r"^Literal\[(.*)\]$", r"one of \1", name) for name in names]
    given = f"{value[1]:.80}" if value else "this"
    if key[1] in _EXPECTED:
        return f"--{key[1]} {given}: must be {_EXPECTED[key[1]]}"
    remedy = ""
    if value and any(name.startswith("list") for name in names) and not value[1].startswith(("[", "{")):
        remedy = f"; a list is written as [{', '.join(value[1].split(','))}]"
    elif key[1] == "data.labels":
        remedy = "; YAML reads names such as yes, no and 1 as something else: put them in quotes, as ['no', 'yes']"
    return f"{key[1]}: {given} is not {either(names)}{remedy}"
