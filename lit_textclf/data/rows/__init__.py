"""Rows: their columns and labels, and which of them are held out."""
