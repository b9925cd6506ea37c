"""A classifier's model, built: configured for its labels, with pretrained or random weights, and made fast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lit_textclf.architecture import compile_model, from_config, from_pretrained, head_in_float32, set_dropout
from lit_textclf.attention import use_fast_kernels
from lit_textclf.errors import UserError
from lit_textclf.first_token import read_first_token_only
from lit_textclf.labels import Target, Task

if TYPE_CHECKING:
    from lit_textclf.classifier import TextClassifier

PROBLEM_TYPES: dict[Task, Any] = {
    "single_label": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}
"""What transformers calls our tasks."""


def build_model(classifier: TextClassifier, target: Target) -> Any:
    """Builds a classifier's model: from the pretrained weights, or from its configuration where the weights follow.

    Raises:
        UserError: if the pretrained weights cannot be had, or the tokenizer does not fit them.
    """
    config, tokenizer = classifier.config, classifier.tokenizer
    config.num_labels = target.num_outputs
    config.id2label = dict(enumerate(target.labels or ("LABEL_0",)))
    config.label2id = {name: index for index, name in config.id2label.items()}
    config.problem_type = PROBLEM_TYPES[target.task]
    if classifier.dropout is not None:
        set_dropout(config, classifier.dropout)
    if config.pad_token_id is None:
        config.pad_token_id = tokenizer.pad_token_id
    random = classifier.weights_follow or classifier.from_scratch is not None
    model = from_config(config) if random else from_pretrained(classifier.model_name_or_path, config)
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        raise UserError(
            f"the tokenizer has {len(tokenizer):,} tokens, the model knows "
            f"{model.get_input_embeddings().num_embeddings:,}; model.tokenizer_name_or_path does not fit the model"
        )
    if classifier.compiled:
        compile_model(model)
    elif classifier.fast_kernels:
        use_fast_kernels(model)
        read_first_token_only(model)
    head_in_float32(model, target.num_outputs)
    return model
