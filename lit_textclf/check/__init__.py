"""Examines data before training: what it contains, what is wrong with it, and which options fit it.

A new check is one function and a line of the table here.
"""

from lit_textclf.check.duplicates import check_conflicts, check_duplicates, check_leaks
from lit_textclf.check.findings import Check
from lit_textclf.check.labels import check_absent_labels, check_balance, check_label_names, check_labels
from lit_textclf.check.lengths import check_lengths
from lit_textclf.check.texts import check_columns, check_texts

CHECKS: tuple[Check, ...] = (
    check_labels,  # first, because others use its counts
    check_texts,
    check_duplicates,
    check_conflicts,
    check_leaks,
    check_columns,
    check_label_names,
    check_balance,
    check_absent_labels,
    check_lengths,
)
