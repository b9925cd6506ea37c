"""Examines data before training: what it contains, what is wrong with it, and which options fit it."""

from lit_textclf.check.examine import CHECKS
from lit_textclf.check.findings import Examination, Finding

__all__ = ["CHECKS", "Examination", "Finding"]
