"""The table of label tasks. A new task is a file here, one in `classifier/tasks`, and a line in each table."""

from __future__ import annotations

from typing import Literal

from lit_textclf.data.labels.multi_label import MultiLabel
from lit_textclf.data.labels.regression import Regression
from lit_textclf.data.labels.single_label import SingleLabel
from lit_textclf.data.labels.task import LabelTask

Task = Literal["single_label", "multi_label", "regression"]
TaskOption = Literal["auto", Task]

REGRESSION = Regression()
# `data.task: auto` takes the first task that fits, in this order.
TASKS: dict[str, LabelTask] = {task.name: task for task in (MultiLabel(), REGRESSION, SingleLabel())}
