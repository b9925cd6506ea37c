"""The table of the classifier's half of label tasks; the rows' half is in `data/labels/table.py`."""

from __future__ import annotations

from lit_textclf.classifier.tasks.multi_label import MultiLabelRules
from lit_textclf.classifier.tasks.regression import RegressionRules
from lit_textclf.classifier.tasks.rules import TaskRules
from lit_textclf.classifier.tasks.single_label import SingleLabelRules
from lit_textclf.data.labels.target import Target

RULES: dict[str, TaskRules] = {
    "single_label": SingleLabelRules(),
    "multi_label": MultiLabelRules(),
    "regression": RegressionRules(),
}


def rules_of(target: Target) -> TaskRules:
    """The rules of the target's task."""
    return RULES[target.task]
