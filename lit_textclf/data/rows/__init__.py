"""Rows: read, with their columns and sources, and held out."""
