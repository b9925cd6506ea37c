"""What a format of predictions does; `formats.py` lists those that `--format` knows by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias

import numpy as np

from lit_textclf.classifier.inference.calibration import Calibration
from lit_textclf.data.rows.rows import Rows
from lit_textclf.prediction.options import PredictOptions

if TYPE_CHECKING:
    from torch import Tensor

    from lit_textclf.data.encoded_data import EncodedData

Logits: TypeAlias = "np.ndarray | Tensor"
"""Float32 `(rows, outputs)`. Only the formats of this package get arrays, which need no torch; others get tensors."""


class Model(Protocol):
    """What a format needs of a classifier."""

    @property
    def calibration(self) -> Calibration:
        """Turns raw logits into calibrated ones."""

    @property
    def thresholds(self) -> Mapping[str, float] | None:
        """Decision thresholds by label; None takes the most probable label."""


class OutputFormat(ABC):
    """How predictions become the lines of a file.

    A subclass needs :meth:`from_options`, :meth:`header` and :meth:`lines`.

    Attributes:
        ending: of the files that `--output` names by a folder.
    """

    ending: ClassVar[str] = ".csv"

    @classmethod
    def output(cls, options: PredictOptions, data: EncodedData) -> str:
        """Names the file to write, and refuses options that the format does not have, before any row is read.

        Raises:
            UserError: if the format does not have an option.
        """
        return options.output

    @classmethod
    @abstractmethod
    def from_options(cls, options: PredictOptions, model: Model, data: EncodedData) -> OutputFormat:
        """The format of a prediction whose rows are known.

        Raises:
            UserError: if the model's task or labels do not fit the format.
        """

    @abstractmethod
    def header(self) -> str:
        r"""What the file begins with: a line that ends in `\n`, or nothing."""

    @abstractmethod
    def lines(self, rows: Rows, logits: Logits) -> str:
        r"""The lines of some rows, each ending in `\n`.

        Logits are raw, float32 `(rows, outputs)`; `model.calibration` turns them into calibrated ones, by which
        :meth:`Decisions.decide` decides.
        """

    @property
    def name(self) -> str:
        """What lines depend on besides the options; a stopped prediction resumes only if it is the same."""
        return f"{type(self).__module__}.{type(self).__qualname__}"

    def tally(self, logits: Logits) -> Mapping[str, int]:
        """Counts of some rows' raw logits, float32 `(rows, outputs)`; :meth:`report` gets the sums over all rows."""
        return {}

    def report(self, tally: Mapping[str, int], *, measured: bool) -> list[str]:
        """Notes for the user at the end, from the sums of :meth:`tally`; its `rows` is the number of rows.

        `measured` says whether all rows had labels, so that metrics follow.
        """
        return []
