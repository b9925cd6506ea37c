"""A look at the data before training: what is in it, what is wrong with it, and which options fit it."""

from lit_textclf.check.examine import Examination, examine
from lit_textclf.check.findings import Finding

__all__ = ["Examination", "Finding", "examine"]
