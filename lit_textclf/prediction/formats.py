"""The table of output formats. A new one is a file with an `OutputFormat`, and a line here."""

from __future__ import annotations

from lit_textclf.prediction.csv_output import CsvFormat
from lit_textclf.prediction.glue import GlueFormat
from lit_textclf.prediction.output_format import OutputFormat
from lit_textclf.utils.class_path import load_named

FORMATS: dict[str, type[OutputFormat]] = {"csv": CsvFormat, "glue": GlueFormat}


def find_format(name: str) -> type[OutputFormat]:
    """The format that `--format` names, from the table or by the dotted path of a user's class.

    Raises:
        UserError: if no such format exists, or the class is not an OutputFormat.
    """
    return load_named(name, FORMATS, OutputFormat, "--format")
