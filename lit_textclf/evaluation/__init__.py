"""The evaluation of a split: outcomes of each row, scores of each label, label issues, reports."""
