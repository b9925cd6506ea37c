"""The evaluation of a split: errors, each label's scores, label issues."""
