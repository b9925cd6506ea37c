"""From batches to predictions.csv: written in parts, joined in input order."""
