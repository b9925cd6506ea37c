"""Batches: the torch data sets, padding, the order of rows, and loaders that resume."""
